package task

import (
	"context"
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tigerflow.dev/tigerflow/dispatcher"
)

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
