package flow

import (
	"context"
	"errors"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/fleet"
)

// Drain has the workers end and reports whether they have, and all they held is known to the spool.
func (f *Flow) Drain(ctx context.Context, now time.Time) (bool, error) {
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
