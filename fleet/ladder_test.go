package fleet

import (
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// oneLife starts the next worker of slot 0, if it is started now, and ends it.
func (f *field) oneLife(p executor.Phase, reason spool.ExitReason) (Report, bool) {
	f.t.Helper()
	before := len(f.exec.started)
	if r := f.step(); len(f.exec.started) == before {
		return r, false
	}
	id := f.exec.started[before].ID
	f.dies(id, f.born(id), p, reason)
	f.need.Suspended = true // the Step that learns of the end is not to start another at once
	r := f.step()
	f.need.Suspended = false
	return r, true
}

// TestLadder: the pauses between bad ends grow, and progress ends them.
func TestLadder(t *testing.T) {
	f := newField(t, false)
	f.snap.Pending = 100
	for i, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if _, started := f.oneLife(executor.Failed, spool.ExitHandlerFailed); !started {
			t.Fatalf("worker %d is not started", i)
		}
		r := f.step()
		if r.Next != pause || r.Crashing == nil || r.Crashing.Reason != spool.ExitHandlerFailed {
			t.Fatalf("after end %d: %+v, want a pause of %s", i+1, r, pause)
		}
		f.now = f.now.Add(pause - time.Millisecond)
		if r := f.step(); r.Next != time.Millisecond {
			t.Fatalf("just before its time: %+v", r)
		}
		f.now = f.now.Add(time.Millisecond)
	}
	f.snap.Done++
	if r, started := f.oneLife(executor.Failed, spool.ExitHandlerFailed); !started || r.Crashing == nil {
		t.Fatalf("after progress: %+v", r)
	}
	if r := f.step(); r.Next != ladderFirst {
		t.Errorf("after progress the pause is %s", r.Next)
	}
	f.snap.Done-- // an output was removed: that is no progress
	if r := f.step(); r.Next != ladderFirst {
		t.Errorf("after a loss the pause is %s", r.Next)
	}
	f.snap.Done++
	if r := f.step(); r.Crashing != nil {
		t.Errorf("the file was made again: %+v", r)
	}
}

func TestLadderHasATop(t *testing.T) {
	l := ladder{bad: 100}
	now := time.Now()
	l.climb(now, executor.Worker{Phase: executor.Failed}, nil)
	if l.until != now.Add(ladderLast) || l.last.Failure.Type != "WorkerDied" {
		t.Errorf("%+v", l)
	}
}

func TestStalls(t *testing.T) {
	for _, c := range []struct {
		reason spool.ExitReason
		lives  int // until it stalls; 0 is never
	}{
		{spool.ExitInvalid, 1},
		{spool.ExitInvalidParams, 1},
		{spool.ExitNotFound, 1},
		{spool.ExitInputNotVisible, 1},
		{spool.ExitSetupFailed, setupLimit},
		{spool.ExitHandlerFailed, 0},
		{spool.ExitError, 0},
		{spool.ExitIdle, 0},
		{spool.ExitStopped, 0},
		{"", 0},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			f := newField(t, false)
			f.snap.Pending = 1
			for lives := 1; lives <= 6; lives++ {
				r, started := f.oneLife(executor.Failed, c.reason)
				if !started {
					t.Fatalf("worker %d is not started", lives)
				}
				if (r.Stall != nil) != (c.lives > 0 && lives >= c.lives) {
					t.Fatalf("after %d ends: %+v", lives, r.Stall)
				}
				if r.Stall != nil {
					if r.Stall.Reason != c.reason || r.Stall.Failure.Message != "because" {
						t.Errorf("stalled by %+v", r.Stall)
					}
					if r := f.step(); r.Next < stallRetry {
						t.Errorf("it is tried again after %s", r.Next)
					}
				}
				f.now = f.now.Add(ladderLast)
			}
			f.snap.Done++ // a person has mended it
			if r := f.step(); r.Stall != nil {
				t.Errorf("stalled in spite of progress: %+v", r.Stall)
			}
		})
	}
}

// TestManyEndsAtOnce: no lesson is missed, however many workers end between two Steps.
func TestManyEndsAtOnce(t *testing.T) {
	f := newField(t, false)
	f.need.Min, f.need.Max, f.need.MaxPending = 50, 50, 0
	f.step()
	for _, s := range f.exec.started {
		f.dies(s.ID, f.born(s.ID), executor.Failed, spool.ExitNotFound)
	}
	r := f.step()
	if r.Stall == nil || len(f.exec.forgot) != 50 {
		t.Errorf("stall %+v, forgot %d", r.Stall, len(f.exec.forgot))
	}
	if f.step(); len(f.exec.started) != 50 {
		t.Errorf("%d workers were started although the Task is stalled", len(f.exec.started))
	}
}

// TestDeadBeforeBirth: a worker that ended before it made its folder is learnt from, and forgotten.
func TestDeadBeforeBirth(t *testing.T) {
	f := newField(t, false)
	f.snap.Pending = 1
	f.step()
	f.phase(f.id(0, 1), executor.Failed)
	if r := f.step(); r.Crashing == nil || len(f.exec.forgot) != 1 {
		t.Errorf("%+v, forgot %v", r, f.exec.forgot)
	}
	f.now = f.now.Add(ladderFirst)
	f.step()
	f.wantStarted(f.id(0, 1), f.id(0, 2))
}
