package fleet

import (
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// TestSignsOfLife: who gives them runs, whatever an old list says.
func TestSignsOfLife(t *testing.T) {
	for _, c := range []struct {
		phase   executor.Phase
		age     time.Duration
		running int
	}{
		{executor.Pending, 0, 1},
		{executor.Held, 0, 1},
		{executor.Starting, 0, 1},
		{executor.Pending, fresh, 0}, // it was requeued, say
		{executor.Held, fresh, 0},
		{executor.Unknown, fresh, 1}, // it counts as capacity all the same
	} {
		f := newField(t, false)
		f.snap.Pending, f.need.Max = 1, 1
		f.step()
		f.born(f.id(0, 1))
		f.phase(f.id(0, 1), c.phase)
		f.now = f.now.Add(c.age)
		if r := f.step(); r.Running != c.running || r.Running+r.Pending != 1 {
			t.Errorf("%s with news %s old: %+v", c.phase, c.age, r)
		}
	}
}

// TestLastWords: a worker that has left its last word has ended, whatever an old list says. It is learnt from once, and
// forgotten until the list is without it.
func TestLastWords(t *testing.T) {
	for _, c := range []struct {
		name   string
		reason spool.ExitReason
		asked  bool // to end
		phase  executor.Phase
		ended  bool
	}{
		{"idle", spool.ExitIdle, false, executor.Running, true},
		{"its list is older than it", spool.ExitIdle, false, executor.Pending, true},
		{"failed", spool.ExitHandlerFailed, false, executor.Terminating, true},
		{"drained by us", spool.ExitDrained, true, executor.Terminating, true},
		{"drained by a stranger", spool.ExitDrained, false, executor.Running, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, false)
			f.fleet = New(f.s, slow{f.exec}, f)
			f.snap.Pending = 1
			f.step()
			w := f.born(f.id(0, 1))
			f.step()
			f.need.Suspended = c.asked
			f.step()
			f.dies(f.id(0, 1), w, c.phase, c.reason)
			must(t, f.WorkerEnded(t.Context(), f.id(0, 1).String(), dispatcher.End{})) // it has seen the last word, too
			f.need.Max, f.fleet.ladder.until = 1, f.now.Add(time.Hour)                 // the next one is not to start
			for range 3 {
				if r := f.step(); (r.Running+r.Pending == 0) != c.ended {
					t.Fatalf("%+v", r)
				}
			}
			if bad := f.fleet.ladder.bad; bad > 1 {
				t.Errorf("one end counts as %d", bad)
			}
			f.phase(f.id(0, 1), executor.Succeeded)
			f.step()
			if !slices.Equal(f.exec.forgot, []string{f.id(0, 1).String()}) {
				t.Errorf("forgot %v", f.exec.forgot)
			}
		})
	}
}

// TestLivedTooShort: a worker that ended before any dispatcher showed it is found by its folder.
func TestLivedTooShort(t *testing.T) {
	f := newField(t, false)
	f.fleet = New(f.s, slow{f.exec}, f)
	f.snap.Pending = 1
	f.step()
	f.step()
	w := f.born(f.id(0, 1))
	f.dies(f.id(0, 1), w, executor.Pending, spool.ExitNotFound)
	must(t, f.WorkerEnded(t.Context(), f.id(0, 1).String(), dispatcher.End{}))
	if r := f.step(); r.Pending != 1 { // it is not looked at each time
		t.Errorf("%+v", r)
	}
	f.now = f.now.Add(lookPeriod)
	if r := f.step(); r.Stall == nil {
		t.Errorf("%+v", r)
	}
}

// TestAdopts: a live worker that no list shows is followed, not given up, and no other is started in its place.
func TestAdopts(t *testing.T) {
	f := newField(t, false)
	f.fleet = New(f.s, adopting{f.exec}, f)
	f.need.Max = 1
	f.snap.Pending = 9
	f.exec.workers[f.id(0, 3)] = executor.Worker{ID: f.id(0, 3)}
	w := f.born(f.id(0, 3))
	clear(f.exec.workers)
	for range 5 {
		if r := f.step(); r.Running != 1 {
			t.Fatalf("%+v", r)
		}
		f.now = f.now.Add(fresh)
	}
	f.wantStarted()
	if len(f.ended) != 0 {
		t.Errorf("told of %v", f.ended)
	}
	f.dies(f.id(0, 3), w, executor.Lost, "")
	f.step()
	f.step()
	f.wantStarted(f.id(0, 4))
}

// TestOneRestartNumber: the workers of one start-up share theirs.
func TestOneRestartNumber(t *testing.T) {
	f := newField(t, false)
	_, _, err := f.s.Bear(f.id(1, 4).String(), spool.Born{})
	must(t, err)
	f.need.Min = 3
	f.step()
	f.wantStarted(f.id(0, 5), f.id(1, 5), f.id(2, 5))
}

// TestDoubling: a start-up is at most twice as large as the largest that has begun, and its place in the queue is no reason to
// wait for longer than the quickest took.
func TestDoubling(t *testing.T) {
	f := newField(t, false)
	f.need.MaxPending, f.need.MaxQueued, f.need.Max = 0, 1, 9
	f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 5000, 1, 1
	total := 0
	for _, want := range []int{1, 2, 4, 2} {
		f.step()
		if n := len(f.exec.started) - total; n != want {
			t.Fatalf("%d workers were started, want %d", n, want)
		}
		f.now = f.now.Add(time.Minute)
		for _, s := range f.exec.started[total:] {
			f.born(s.ID)
		}
		total = len(f.exec.started)
	}
	f.need.Max = 20
	f.snap.Pending = 500 // 9 workers have done them in less than a minute
	f.step()
	if n := len(f.exec.started); n != total {
		t.Errorf("%d workers were started for what is done before they could begin", n-total)
	}
}

// TestQueue: of start-ups that wait in a queue there are as many as allowed, and those of the held count.
func TestQueue(t *testing.T) {
	f := newField(t, false)
	f.need.MaxPending, f.need.MaxQueued, f.need.Min, f.need.Max = 0, 1, 3, 9
	f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 3, 1, 1
	f.step()
	f.snap.Pending = 50
	if r := f.step(); r.Queued != 1 {
		t.Fatalf("%+v", r)
	}
	f.wantStarted(f.id(0, 1), f.id(1, 1), f.id(2, 1))
	f.born(f.id(0, 1))
	f.born(f.id(1, 1))
	f.exec.workers[f.id(2, 1)] = executor.Worker{ID: f.id(2, 1), Phase: executor.Held, Reason: "JobHeldAdmin", Ref: "7_2"}
	if r := f.step(); r.Held != 1 || r.HeldBy != (Example{"JobHeldAdmin", "7_2"}) || r.Waits != (Example{}) {
		t.Fatalf("%+v", r)
	}
	f.wantStarted(f.id(0, 1), f.id(1, 1), f.id(2, 1))
	f.born(f.id(2, 1))
	f.step()
	if n := len(f.exec.started); n != 9 {
		t.Errorf("%d workers were started", n)
	}
}

// TestLeavesTheQueue: workers that wait leave when they would find nothing to do, or are no longer what is asked.
func TestLeavesTheQueue(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *field)
		want   []int // slots
	}{
		{"files wait", func(*field) {}, nil},
		{"files may still come of what is settling", func(f *field) { f.snap.Pending = 0 }, nil},
		{"drained", func(f *field) { f.snap.Pending, f.snap.Drained = 0, true }, []int{1, 2}},
		{"drained, minWorkers", func(f *field) { f.snap.Pending, f.snap.Drained, f.need.Min = 0, true, 2 }, []int{2}},
		{"suspended", func(f *field) { f.need.Suspended = true }, []int{0, 1, 2}},
		{"another partition", func(f *field) { f.need.Slurm.Partition = "gpu" }, []int{1, 2}},
		{"other binds", func(f *field) { f.need.Container.Binds = []executor.Bind{{Path: "/data"}} }, nil},
		{"another process", (*field).again, nil},
		{"another partition while nobody was there", func(f *field) {
			f.again()
			f.need.Slurm.Partition = "gpu"
		}, []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, false)
			f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 100, 100, 1
			f.step()
			f.born(f.id(0, 1))
			f.phase(f.id(2, 1), executor.Held)
			f.step()
			c.change(f)
			f.step()
			f.step()
			slices.Sort(f.exec.drained)
			var want []string
			for _, i := range c.want {
				want = append(want, f.id(i, 1).String())
			}
			if !slices.Equal(f.exec.drained, want) || len(f.exec.started) != 3 {
				t.Errorf("drained %v, want %v; started %d", f.exec.drained, want, len(f.exec.started))
			}
		})
	}
}
