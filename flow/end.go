package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
)

// Drain has the workers end and reports whether they have, and all they held is known to the spool.
func (f *Flow) Drain(ctx context.Context, now time.Time) (bool, error) {
	if f.dispatcher == nil || f.over() {
		return true, nil
	}
	doubts := f.doubts()
	all, err := f.executor.List(ctx)
	if err != nil {
		return false, err
	}
	report, err := f.fleet.Step(ctx, now, fleet.Need{Suspended: true}, f.dispatcher.Snapshot(), all)
	if err != nil {
		return false, err
	}
	return report.Pending+report.Running == 0 && len(f.dispatcher.Snapshot().Workers) == 0 && len(doubts) == 0, nil
}

// doubts names what may yet turn out to be workers of this Task. It comes before a list, which has those that are settled since.
func (f *Flow) doubts() []string {
	if d, ok := f.executor.(executor.Doubter); ok {
		return d.Doubts(f.lock.Spool().Path())
	}
	return nil
}

// endPatience is how long workers that were ended at once may stay in the list.
const endPatience = 30 * time.Second

// End has the workers end, where they would outlive this process: until ctx ends they may finish what is in hand, then they
// are ended at once. The error names those that may be left.
func (f *Flow) End(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if drained, err := f.Drain(ctx, time.Now()); drained && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return f.kill(context.WithoutCancel(ctx), tick.C)
}

// kill ends the workers at once and waits until none is listed.
func (f *Flow) kill(ctx context.Context, tick <-chan time.Time) error {
	if f.dispatcher == nil || f.over() { // those that there are may be another dispatcher's
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	asked := map[executor.WorkerID]bool{}
	for {
		doubts := f.doubts()
		alive, err := f.alive(ctx)
		if err == nil && len(alive)+len(doubts) == 0 {
			return nil
		}
		fresh := slices.DeleteFunc(ids(alive), func(id executor.WorkerID) bool { return asked[id] })
		if len(fresh) > 0 {
			if err = f.executor.Stop(ctx, fresh, executor.Kill); err == nil {
				for _, id := range fresh {
					asked[id] = true
				}
			}
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("workers may still run: %s", strings.Join(append(refs(alive), doubts...), " ")), err)
		}
	}
}

// alive is the workers of this Task that the list shows.
func (f *Flow) alive(ctx context.Context) ([]executor.Worker, error) {
	all, err := f.executor.List(ctx)
	return slices.DeleteFunc(all, func(w executor.Worker) bool {
		return w.ID.Key != f.lock.Spool().ID() || w.Phase.Terminal()
	}), err
}

func ids(workers []executor.Worker) (ids []executor.WorkerID) {
	for _, w := range workers {
		ids = append(ids, w.ID)
	}
	return ids
}

// refs is what the backend calls the workers.
func refs(workers []executor.Worker) (refs []string) {
	for _, w := range workers {
		refs = append(refs, cmp.Or(w.Ref, w.ID.String()))
	}
	return refs
}

// Recover waits until the dispatcher has recovered from the workers, which the caller has ended before. If ctx ends first
// the next dispatcher does it.
func (f *Flow) Recover(ctx context.Context) {
	if f.dispatcher == nil {
		return
	}
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

// Close ends the loop and lets go of the spool. The error is what ended the loop before, or what the disk refused.
func (f *Flow) Close() error {
	if f.dispatcher == nil {
		return nil
	}
	f.cancel()
	<-f.ended
	err := errors.Join(f.closeCallables(), f.lock.Close())
	if f.err != nil && !errors.Is(f.err, context.Canceled) {
		err = errors.Join(f.err, err)
	}
	f.latest.Store(f.dispatcher.Snapshot())
	f.dispatcher, f.fleet, f.earlyFleet, f.lock = nil, nil, f.fleet, nil
	return err
}
