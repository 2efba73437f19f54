package fleet

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

func TestStarts(t *testing.T) {
	f := newField(t, false)
	f.need.Min = 1
	f.snap.Recovering = true
	f.step()
	f.wantStarted() // nothing is known yet
	f.snap.Recovering = false
	r := f.step()
	f.wantStarted(f.id(0, 1))
	if r.Desired != 1 || r.Pending != 1 {
		t.Errorf("report: %+v", r)
	}
	f.born(f.id(0, 1))
	f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 100, 1, 1
	f.step()
	f.wantStarted(f.id(0, 1), f.id(1, 1), f.id(2, 1))
	if args := f.exec.started[0].Args; len(args) != 0 {
		t.Errorf("the worker of minWorkers leaves when idle: %q", args)
	}
	if args := f.exec.started[1].Args; !slices.Equal(args, []string{"--idle-timeout", "1m0s"}) {
		t.Errorf("a worker beyond minWorkers has flags %q", args)
	}
}

// TestIDsAreNeverReused: neither after an end, nor when all that is left is a folder of an earlier run.
func TestIDsAreNeverReused(t *testing.T) {
	f := newField(t, false)
	_, _, err := f.s.Bear(f.id(0, 7).String(), spool.Born{})
	must(t, err)
	_, _, err = f.s.Bear(f.id(5, 2).String(), spool.Born{})
	must(t, err)
	f.snap.Pending = 1
	f.step()
	f.wantStarted(f.id(0, 8))
	w := f.born(f.id(0, 8))
	f.snap.Done++
	f.dies(f.id(0, 8), w, executor.Succeeded, spool.ExitIdle)
	f.step() // told, forgotten, and the next one started
	f.wantStarted(f.id(0, 8), f.id(0, 9))
	if !slices.Equal(f.exec.forgot, []string{f.id(0, 8).String()}) {
		t.Errorf("forgot %v", f.exec.forgot)
	}
}

func TestLostAnswerStartsNobodyTwice(t *testing.T) {
	f := newField(t, false)
	f.snap.Pending = 1
	lost := errors.New("connection reset")
	f.exec.startErr = lost
	if _, err := f.tryStep(); !errors.Is(err, lost) {
		t.Fatalf("got %v", err)
	}
	f.exec.startErr = nil
	f.phase(f.id(0, 1), executor.Pending) // it was started
	f.step()
	f.wantStarted()
}

// TestLocalIsNeverTwo: the next one is not started before the last one's end is certain and recovered from.
func TestLocalIsNeverTwo(t *testing.T) {
	f := newField(t, false, func(s *spool.Spec) { s.Type = spool.TypeLocal })
	f.need.Max = 1
	f.snap.Pending = 5
	f.step()
	w := f.born(f.id(0, 1))
	for _, p := range []executor.Phase{executor.Running, executor.Unknown, executor.Suspended, executor.Terminating} {
		f.phase(f.id(0, 1), p)
		f.step()
		f.wantStarted(f.id(0, 1))
	}
	delete(f.exec.workers, f.id(0, 1)) // the list lacks it: that is no end yet
	f.step()
	f.wantStarted(f.id(0, 1))
	f.dies(f.id(0, 1), w, executor.Failed, "")
	before := f.snap
	busy := *before
	f.step() // WorkerEnded: this Step still goes by the old Snapshot
	f.snap = &busy
	f.step() // a dispatcher that has yet to recover shows it still
	f.wantStarted(f.id(0, 1))
	f.snap = before
	f.now = f.now.Add(time.Hour)
	f.step()
	f.wantStarted(f.id(0, 1), f.id(0, 2))
}

func TestDrains(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *field)
		want   []int // slots
	}{
		{"suspend", func(f *field) { f.need.Suspended = true }, []int{0, 1, 2}},
		{"fewer", func(f *field) { f.need.Max = 1 }, []int{1, 2}},
		{"none", func(*field) {}, nil},
		{"idle", func(f *field) { f.snap.Pending = 0 }, nil}, // they end by themselves
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, false)
			f.need.Min = 3
			f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 100, 1, 1
			f.step()
			for i := range 3 {
				f.born(f.id(i, 1))
			}
			c.change(f)
			f.step()
			f.step() // once is enough
			var want []string
			for _, i := range c.want {
				want = append(want, f.id(i, 1).String())
			}
			if !slices.Equal(f.exec.drained, want) {
				t.Errorf("drained %v, want %v", f.exec.drained, want)
			}
			if len(f.exec.started) != 3 {
				t.Errorf("started %d workers", len(f.exec.started))
			}
		})
	}
}

// TestNewRevision: workers of an earlier Task are drained, and there are never more than maxWorkers meanwhile.
func TestNewRevision(t *testing.T) {
	f := newField(t, false)
	f.need.Max = 1
	f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 100, 1, 1
	f.step()
	w := f.born(f.id(0, 1))
	f.step()
	spec := *f.s.Spec()
	spec.Revision = "v2"
	must(t, f.lock.Update(f.s.Owner(), spec))
	f.step()
	f.step()
	if !slices.Equal(f.exec.drained, []string{f.id(0, 1).String()}) {
		t.Errorf("drained %v", f.exec.drained)
	}
	f.wantStarted(f.id(0, 1))
	f.dies(f.id(0, 1), w, executor.Stopped, spool.ExitInvalid) // the earlier handler was no good
	if r := f.step(); r.Stall != nil {
		t.Errorf("the end of an earlier revision's worker stalls the present one: %+v", r.Stall)
	}
	f.wantStarted(f.id(0, 1), f.id(0, 2))
}

// TestEnds: what the dispatcher is told of a worker, by what the list says and how often it said so.
func TestEnds(t *testing.T) {
	const not = -1
	for _, c := range []struct {
		name   string
		sweeps bool
		change func(f *field)
		steps  int // until it is told; -1 is not in ten
		want   dispatcher.End
	}{
		{"running", false, func(*field) {}, not, dispatcher.End{}},
		{"unknown", false, func(f *field) { f.phase(f.id(0, 1), executor.Unknown) }, not, dispatcher.End{}},
		{"failed", false, func(f *field) {
			f.exec.workers[f.id(0, 1)] = executor.Worker{ID: f.id(0, 1), Phase: executor.Failed, Exit: &executor.Exit{Code: 3}}
		}, 1, dispatcher.End{Blame: true, Message: "exit status 3"}},
		{"preempted", false, func(f *field) {
			f.exec.workers[f.id(0, 1)] = executor.Worker{ID: f.id(0, 1), Phase: executor.Lost, Reason: "NODE_FAIL"}
		}, 1, dispatcher.End{Message: "NODE_FAIL"}},
		{"absent", false, func(f *field) { clear(f.exec.workers) }, 3, dispatcher.End{Message: "not there any more"}},
		{"absent, and would have been swept", true, func(f *field) { clear(f.exec.workers) }, 1, dispatcher.End{Message: "not there any more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, c.sweeps)
			f.snap.Pending = 1
			f.step()
			f.born(f.id(0, 1))
			c.change(f)
			told := not
			for i := 1; i <= 10 && told == not; i++ {
				f.step()
				if _, ok := f.ended[f.id(0, 1).String()]; ok {
					told = i
				}
			}
			if told != c.steps || f.ended[f.id(0, 1).String()] != c.want {
				t.Errorf("told at step %d: %+v; want %d: %+v", told, f.ended, c.steps, c.want)
			}
		})
	}
}

// TestAbsenceMustLast: a list that has the worker again starts the count anew.
func TestAbsenceMustLast(t *testing.T) {
	f := newField(t, false)
	f.snap.Pending = 1
	f.step()
	f.born(f.id(0, 1))
	w := f.exec.workers[f.id(0, 1)]
	for range 4 {
		delete(f.exec.workers, w.ID)
		f.step()
		f.step()
		f.exec.workers[w.ID] = w
		f.step()
	}
	if len(f.ended) != 0 {
		t.Errorf("told of %v", f.ended)
	}
}

func TestSweepsOnce(t *testing.T) {
	f := newField(t, true)
	f.step()
	f.step()
	if s := f.fleet.executor.(*sweeping); !slices.Equal(s.swept, []string{f.s.ID()}) {
		t.Errorf("swept %v", s.swept)
	}
}

// TestOthersAreLeftAlone: the list has the workers of all Tasks.
func TestOthersAreLeftAlone(t *testing.T) {
	f := newField(t, false)
	f.need.Suspended = true
	other := executor.WorkerID{Key: "other", Index: 0, Restart: 1}
	f.phase(other, executor.Running)
	dead := executor.WorkerID{Key: "other", Index: 1, Restart: 1}
	f.phase(dead, executor.Failed)
	if r := f.step(); r.Running != 0 || len(f.exec.drained)+len(f.exec.forgot)+len(f.ended) != 0 {
		t.Errorf("%+v, drained %v, forgot %v", r, f.exec.drained, f.exec.forgot)
	}
}

// TestStopKills: who is asked to stop at once does not wait for workers that drain, and starts none.
func TestStopKills(t *testing.T) {
	f := newField(t, false)
	f.snap.Pending = 1
	f.step()
	w := f.born(f.id(0, 1))
	f.snap.Ending, f.need.Suspended = spool.RequestDrain, true
	f.step()
	if len(f.exec.killed) > 0 || !slices.Equal(f.exec.drained, []string{f.id(0, 1).String()}) {
		t.Fatalf("drained %v, killed %v", f.exec.drained, f.exec.killed)
	}
	f.snap.Ending = spool.RequestStop
	f.step()
	if !slices.Equal(f.exec.killed, []string{f.id(0, 1).String()}) {
		t.Fatalf("killed %v", f.exec.killed)
	}
	f.dies(f.id(0, 1), w, executor.Stopped, "")
	f.step()
	f.step()
	f.wantStarted(f.id(0, 1))
	if len(f.exec.killed) != 1 {
		t.Errorf("killed %v", f.exec.killed)
	}
}
