package task

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

// taskFlow is a Task that this process dispatches, and what was written of it.
type taskFlow struct {
	flow.Flow

	uid       types.UID // the Task's
	suspended bool      // the Task was when it was last looked at
	completed int64     // the generation that came to its end
	wrote     time.Time // when the counters were last written
	judged    time.Time // when the conditions were
	failing   bool      // the last write of the status failed
	mute      time.Time // before which it is not tried again
	reported  *dispatcher.Snapshot
	seen      *dispatcher.Snapshot // the last that called for a reconcile; guarded by the Reconciler's mutex
}

// meet sees to it that nothing is taken for the Task's that was another's, of the same name, which may have gone unseen. What runs
// for that one is begun anew: it would start workers as those of a Task that is no more.
func (f *taskFlow) meet(uid types.UID) error {
	if f.uid == uid {
		return nil
	}
	f.completed, f.reported = 0, nil
	if err := f.Close(); err != nil && !errors.Is(err, spool.ErrSuperseded) {
		return fmt.Errorf("ending the dispatcher of an earlier Task: %w", err)
	}
	f.uid = uid
	return nil
}

// stall is a reason why nothing goes on until a person acts.
type stall struct {
	reason  v1alpha1.Reason
	message string
}

func (s *stall) Error() string { return s.message }

func stalled(reason v1alpha1.Reason, format string, args ...any) error {
	return &stall{reason: reason, message: fmt.Sprintf(format, args...)}
}

// asStall finds in an error what a person must mend.
func asStall(err error) (*stall, bool) {
	if r, ok := errors.AsType[*flow.RefusedError](err); ok {
		return &stall{reason: v1alpha1.Reason(r.Reason), message: r.Message}, true
	}
	return errors.AsType[*stall](err)
}

// End has the jobs of Slurm Tasks end, which would outlive this process: until ctx ends they may finish what is in hand. It
// comes after the manager's end and before Close.
func (r *Reconciler) End(ctx context.Context) error {
	r.mu.Lock()
	flows := maps.Clone(r.flows)
	r.mu.Unlock()
	ends := make(chan error, len(flows))
	for _, f := range flows {
		go func() {
			if s := f.Spool(); s != nil && s.Spec().Type == spool.TypeSlurm {
				ends <- f.End(ctx)
			} else {
				ends <- nil
			}
		}()
	}
	var errs []error
	for range flows {
		errs = append(errs, <-ends)
	}
	return errors.Join(errs...)
}

// Close records the ends of the workers, which the caller has ended before, and lets go of all spools. It comes after
// the manager's end.
func (r *Reconciler) Close(ctx context.Context) error {
	return r.close(func(f *taskFlow) { f.Recover(ctx) })
}

// Leave lets go of all spools. The workers go on, for the next one who takes these. It comes after the manager's end.
func (r *Reconciler) Leave() error {
	return r.close(func(*taskFlow) {})
}

func (r *Reconciler) close(before func(*taskFlow)) error {
	r.mu.Lock()
	flows := maps.Clone(r.flows)
	r.flows = map[types.NamespacedName]*taskFlow{}
	r.mu.Unlock()
	var errs []error
	for _, f := range flows {
		before(f)
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
