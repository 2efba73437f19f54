package task

import (
	"path/filepath"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

// Preview is the first worker that a Task would ask for, as far as can be said before there is a spool: its key is "key".
func Preview(t *v1alpha1.Task) (executor.Spec, error) {
	spec, err := spoolSpec(t)
	if err != nil {
		return executor.Spec{}, err
	}
	dir := spool.Dir(recordsOf(&t.Spec), t.DisplayName())
	need := wantOf(t).Need
	if need.Container.Image != "" {
		need.Container.Binds = flow.Binds(&spec, dir, nil)
	}
	id := executor.WorkerID{Key: "key", Restart: 1}
	return need.Worker(id, dir, filepath.Join(dir, "logs", id.String()+".log")), nil
}
