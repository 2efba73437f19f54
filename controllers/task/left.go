package task

import (
	"context"
	"errors"
	"io/fs"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// drainLeft ends the workers of a deleted Task that no dispatcher runs for here, as an earlier process has left them, and
// reports whether none is left. Those of a spool that works for somebody else by now are that one's. What they held is
// recovered when the spool is next used.
func (r *Reconciler) drainLeft(ctx context.Context, t *v1alpha1.Task, e executor.Executor) (bool, error) {
	s, err := spool.Open(PathsOf(t).Spool)
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*spool.FormatError)) { // it was never worked on from here
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if s.Owner() != r.owner(t) {
		return true, nil
	}
	all, err := e.List(ctx)
	if err != nil {
		return false, err
	}
	var living []executor.WorkerID
	for _, w := range all {
		if w.ID.Key == s.ID() && !w.Phase.Terminal() {
			living = append(living, w.ID)
		}
	}
	if len(living) == 0 {
		return true, nil
	}
	return false, e.Stop(ctx, living, executor.Drain)
}

// owner is what a Task's spool is told of it.
func (r *Reconciler) owner(t *v1alpha1.Task) spool.Owner {
	return spool.Owner{Plane: r.Plane, Namespace: t.Namespace, Name: t.Name}
}
