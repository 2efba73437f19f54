package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// learnPoll is how soon it is looked again whether the dispatcher has recovered from a worker that has ended.
const learnPoll = 100 * time.Millisecond

// apply starts and drains workers until there are as many as desired.
func (f *Fleet) apply(ctx context.Context, now time.Time, need Need, snap *dispatcher.Snapshot, mine map[string]executor.Worker, r Report) (Report, error) {
	if snap.Ending == spool.RequestStop {
		return r, f.kill(ctx, mine)
	}
	fit, surplus := f.sort(need, mine, r.Desired)
	if len(surplus) > 0 {
		if err := f.executor.Stop(ctx, surplus, executor.Drain); err != nil {
			return r, fmt.Errorf("draining workers: %w", err)
		}
	}
	missing := r.Desired - fit
	if missing <= 0 || need.Suspended {
		return r, nil
	}
	if f.unlearnt(mine) {
		r.Next = learnPoll
		return r, nil
	}
	if r.Stall != nil {
		missing = 1 // one tries whether a person has mended it
	}
	if wait := f.ladder.until.Sub(now); wait > 0 {
		r.Next = wait
		return r, nil
	}
	if f.spool.Spec().Type == spool.TypeLocal && (anyAlive(mine) || len(snap.Workers) > 0) {
		return r, nil // never two: the next one starts when the last one's end is certain and recovered from
	}
	return f.start(ctx, need, missing, mine, r)
}

// kill ends all workers at once, also those that drain.
func (f *Fleet) kill(ctx context.Context, mine map[string]executor.Worker) error {
	var alive []executor.WorkerID
	for _, w := range mine {
		if !w.Phase.Terminal() {
			alive = append(alive, w.ID)
		}
	}
	if len(alive) == 0 {
		return nil
	}
	if err := f.executor.Stop(ctx, alive, executor.Kill); err != nil {
		return fmt.Errorf("ending workers: %w", err)
	}
	return nil
}

// sort counts the workers that are to stay and lists those that are to drain.
func (f *Fleet) sort(need Need, mine map[string]executor.Worker, desired int) (int, []executor.WorkerID) {
	var fit, surplus []executor.WorkerID
	for id, w := range mine {
		switch {
		case !w.Phase.CountsAsCapacity():
		case f.outOfDate(id):
			surplus = append(surplus, w.ID)
		default:
			fit = append(fit, w.ID)
		}
	}
	if !need.Suspended && len(fit) <= need.Max {
		return len(fit), surplus
	}
	slices.SortFunc(fit, executor.WorkerID.Compare)
	keep := min(len(fit), desired)
	return keep, append(surplus, fit[keep:]...)
}

func (f *Fleet) start(ctx context.Context, need Need, n int, mine map[string]executor.Worker, r Report) (Report, error) {
	specs, err := f.specs(need, n, mine)
	if err != nil {
		return r, err
	}
	if err := f.executor.Start(ctx, specs); err != nil {
		return r, fmt.Errorf("starting workers: %w", err)
	}
	for _, s := range specs {
		f.use(s.ID)
	}
	r.Pending += len(specs)
	return r, nil
}

// unlearnt reports whether a worker has ended that nothing was learnt from yet: how it ended may put off the next one.
func (f *Fleet) unlearnt(mine map[string]executor.Worker) bool {
	for id, w := range mine {
		if w.Phase.Terminal() && !f.told[id] {
			return true
		}
	}
	return false
}

func anyAlive(mine map[string]executor.Worker) bool {
	for _, w := range mine {
		if !w.Phase.Terminal() {
			return true
		}
	}
	return false
}

// outOfDate reports whether a worker was born for an earlier revision of the Task.
func (f *Fleet) outOfDate(id string) bool {
	revision, known := f.born[id]
	if !known {
		born, err := f.spool.ReadBorn(id)
		if err != nil { // not born yet: it will read the present Task
			return false
		}
		revision = born.Revision
		f.born[id] = revision
	}
	return revision != f.spool.Spec().Revision
}

// specs names the next workers: the lowest free slots, each for the first time since.
func (f *Fleet) specs(need Need, n int, mine map[string]executor.Worker) ([]executor.Spec, error) {
	names, err := f.spool.Workers() // those of earlier runs among them
	if err != nil {
		return nil, fmt.Errorf("listing workers: %w", err)
	}
	for _, name := range names {
		if id, err := executor.ParseWorkerID(name); err == nil {
			f.use(id)
		}
	}
	taken := map[int]bool{}
	for _, w := range mine {
		taken[w.ID.Index] = taken[w.ID.Index] || !w.Phase.Terminal()
	}
	var specs []executor.Spec
	for index := 0; len(specs) < n; index++ {
		if taken[index] {
			continue
		}
		id := executor.WorkerID{Key: f.spool.ID(), Index: index, Restart: f.used[index] + 1}
		var args []string
		if index >= need.Min && need.IdleTimeout > 0 {
			args = append(args, "--idle-timeout", need.IdleTimeout.String())
		}
		if need.WallTime > 0 {
			args = append(args, "--wall-time", need.WallTime.String())
		}
		specs = append(specs, executor.Spec{
			ID: id, Task: need.Task, Spool: f.spool.Path(), Args: args, Log: f.spool.LogPath(id.String()),
			Resources: need.Resources, DrainTimeout: need.DrainTimeout, WallTime: need.WallTime,
			Container: need.Container, Slurm: need.Slurm,
		})
	}
	return specs, nil
}
