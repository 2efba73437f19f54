package task

import (
	"context"
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/fleet"
)

// drain has the workers end and reports whether they have, and all they held is known to the spool.
func (f *flow) drain(ctx context.Context, now time.Time) (bool, error) {
	if f.dispatcher == nil || f.over() {
		return true, nil
	}
	all, err := f.executor.List(ctx)
	if err != nil {
		return false, err
	}
	report, err := f.fleet.Step(ctx, now, fleet.Need{Suspended: true}, f.dispatcher.Snapshot(), all)
	if err != nil {
		return false, err
	}
	return report.Pending+report.Running == 0 && len(f.dispatcher.Snapshot().Workers) == 0, nil
}

// Close records the ends of the workers, which the caller has ended before, and lets go of all spools. It comes after
// the manager's end.
func (r *Reconciler) Close(ctx context.Context) error {
	r.mu.Lock()
	flows := maps.Clone(r.flows)
	r.flows = map[types.NamespacedName]*flow{}
	r.mu.Unlock()
	var errs []error
	for _, f := range flows {
		if f.dispatcher != nil {
			f.settle(ctx)
			errs = append(errs, f.close())
		}
	}
	return errors.Join(errs...)
}

// settle waits until the dispatcher has recovered from the workers that ended. If there is no time the next one does it.
func (f *flow) settle(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		snap := f.dispatcher.Snapshot()
		if !snap.Recovering && len(snap.Workers) == 0 {
			return
		}
		for _, w := range snap.Workers {
			if err := f.dispatcher.WorkerEnded(ctx, w.ID, dispatcher.End{Message: "stopped"}); err != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-f.ended:
			return
		case <-tick.C:
		}
	}
}
