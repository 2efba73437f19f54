package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"tigerflow.dev/tigerflow/executor"
)

// digest stands for what a backend is asked for with each worker. A worker that waits for something else is out of date.
func (n *Need) digest() string {
	text, err := json.Marshal([]any{n.Resources, n.WallTime, n.Slurm, n.Container.Image, n.Container.SetupCommands, n.Pod})
	if err != nil { // not with these types
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// recall reads, once, what workers were asked for by an earlier process: they may wait for long.
func (f *Fleet) recall() error {
	if f.asked != nil || f.swept {
		return nil
	}
	asked, err := f.spool.Asked()
	if err != nil {
		return fmt.Errorf("reading what workers were asked for: %w", err)
	}
	f.asked = asked
	return nil
}

// remember notes what is about to be asked for. Workers that end with this process need no note on disk.
func (f *Fleet) remember(specs []executor.Spec) error {
	if f.swept {
		return nil
	}
	slots := map[int]bool{}
	for _, s := range specs {
		slots[s.ID.Index] = true
	}
	maps.DeleteFunc(f.asked, func(name, _ string) bool {
		id, err := executor.ParseWorkerID(name)
		return err != nil || slots[id.Index]
	})
	for _, s := range specs {
		f.asked[s.ID.String()] = f.ask
	}
	if err := f.spool.SetAsked(f.asked); err != nil {
		return fmt.Errorf("noting what workers are asked for: %w", err)
	}
	return nil
}
