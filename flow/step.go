package flow

import (
	"context"
	"errors"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/spool"
)

// retryAfter is when a Step is to be tried again whose workers could not be listed or started.
const retryAfter = 2 * time.Second

// Want is what a Task asks for at the time of a Step.
type Want struct {
	Need      fleet.Need
	Ends      bool          // the Task is complete once it has had nothing to do for IdleLimit
	IdleLimit time.Duration // 0 is at once
}

// State is what a Step found and did.
type State struct {
	Snapshot    *dispatcher.Snapshot
	Fleet       fleet.Report
	Unavailable error               // workers can be neither listed nor started; an *executor.StalledError if a person must act
	Waiting     *executor.WaitError // no worker is started for now; nil if that is not so
	Doubts      []string            // what may yet turn out to be a worker, as the backend calls it
	Complete    bool                // there is nothing left to do; workers drain
	Finished    bool                // and have drained: the dispatcher has ended
	Next        time.Duration
}

// wait sees to it that the next Step comes after d, or sooner.
func (s *State) wait(d time.Duration) {
	if d > 0 && (s.Next == 0 || d < s.Next) {
		s.Next = d
	}
}

// refuse notes that the executor does not do what it was asked for.
func (s *State) refuse(now time.Time, err error) {
	if w, ok := executor.Waiting(err); ok {
		s.Waiting = w
		s.wait(max(retryAfter, w.Until.Sub(now)))
		return
	}
	s.Unavailable = err
	s.wait(retryAfter)
}

// Step brings the workers of a running Flow to what is wanted and, when all is done, ends it. State.Next is when to step
// again if nothing happens before; 0 is never. The error is a *RefusedError if another has taken the Task over.
func (f *Flow) Step(ctx context.Context, now time.Time, w Want) (State, error) {
	s := State{Snapshot: f.dispatcher.Snapshot()}
	s.Complete = f.idleFor(now, s.Snapshot, w)
	s.Doubts = f.doubts()
	all, err := f.executor.List(ctx)
	if err != nil {
		s.refuse(now, err)
		return s, nil
	}
	w.Need.Suspended = w.Need.Suspended || s.Complete || s.Snapshot.Halted()
	if w.Need.Container.Image != "" {
		w.Need.Container.Binds = Binds(&f.spec, f.lock.Spool().Path(), s.Snapshot.Links)
	}
	s.Fleet, err = f.fleet.Step(ctx, now, w.Need, s.Snapshot, all)
	switch {
	case errors.Is(err, dispatcher.ErrOver):
		return s, refuse(OutputInUse, "%s", spool.ErrSuperseded)
	case err != nil:
		s.refuse(now, err)
	}
	s.wait(s.Fleet.Next)
	if s.Complete && err == nil && s.Fleet.Pending+s.Fleet.Running == 0 && len(f.dispatcher.Snapshot().Workers)+len(s.Doubts) == 0 {
		if err := f.Close(); err != nil {
			return s, err
		}
		s.Finished = true
	}
	s.wait(f.untilIdle(now, w))
	return s, nil
}

// idleFor reports whether the Task has been without work for as long as it asked to be complete.
func (f *Flow) idleFor(now time.Time, s *dispatcher.Snapshot, w Want) bool {
	if s.Recovering || !s.Drained {
		f.idleSince = time.Time{}
		return false
	}
	if f.idleSince.IsZero() {
		f.idleSince = now
	}
	return w.Ends && !w.Need.Suspended && now.Sub(f.idleSince) >= w.IdleLimit
}

// untilIdle is when idleFor may become true.
func (f *Flow) untilIdle(now time.Time, w Want) time.Duration {
	if !w.Ends || f.idleSince.IsZero() || w.Need.Suspended {
		return 0
	}
	return max(0, w.IdleLimit-now.Sub(f.idleSince))
}
