package fleet

import (
	"context"
	"errors"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// TestRefusals: what an executor refuses is not asked again before its time, unless something else is asked.
func TestRefusals(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name   string
		err    error
		pauses []time.Duration
	}{
		{"it will pass", errors.New("connection reset"), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		{"wait", &executor.WaitError{Until: now.Add(time.Hour)}, []time.Duration{time.Hour}},
		{"a person must act", &executor.StalledError{}, []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, false)
			f.now = now
			f.snap.Pending = 1
			e := &counting{fake: f.exec}
			f.fleet = New(f.s, e, f)
			f.exec.startErr = c.err
			for i, pause := range c.pauses {
				for range 2 {
					if _, err := f.tryStep(); !errors.Is(err, c.err) || e.starts != i+1 {
						t.Fatalf("got %v after %d calls, want %d", err, e.starts, i+1)
					}
				}
				f.now = f.now.Add(pause - time.Millisecond)
				if _, err := f.tryStep(); err == nil || e.starts != i+1 {
					t.Fatalf("before its time: %v after %d calls", err, e.starts)
				}
				f.now = f.now.Add(time.Millisecond)
			}
			f.now = now.Add(-time.Hour)
			f.need.WallTime = time.Hour
			f.exec.startErr = nil
			f.step()
			f.wantStarted(f.id(0, 1))
		})
	}
}

// counting counts the calls of Start.
type counting struct {
	*fake
	starts int
}

func (e *counting) Start(ctx context.Context, specs []executor.Spec) error {
	e.starts++
	return e.fake.Start(ctx, specs)
}

// TestHoldsOff: nobody fights an administrator. One act counts once, and the pauses grow until there is progress.
func TestHoldsOff(t *testing.T) {
	f := newField(t, false)
	f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 100, 100, 1
	restart := 1
	cancel := func() {
		t.Helper()
		f.step()
		for i := range 3 {
			f.phase(f.id(i, restart), executor.Canceled)
			_, err := f.tryStep()
			if w, ok := executor.Waiting(err); !ok || w.Reason != WorkersCanceled {
				t.Fatalf("got %v", err)
			}
		}
		restart++
	}
	for _, pause := range []time.Duration{holdFirst, 2 * holdFirst, 4 * holdFirst} {
		cancel()
		f.now = f.now.Add(pause - time.Millisecond)
		if _, err := f.tryStep(); err == nil {
			t.Fatalf("started before %s have passed", pause)
		}
		f.now = f.now.Add(time.Millisecond)
	}
	f.step()
	f.snap.Done++
	cancel()
	f.now = f.now.Add(holdFirst)
	f.step()
	if n := len(f.exec.started); n != 15 {
		t.Errorf("%d workers were started", n)
	}
}

// TestEmptyStarts: start-ups that end without a file, whoever is to blame, are told of and come with growing pauses.
func TestEmptyStarts(t *testing.T) {
	for _, c := range []struct {
		name   string
		phase  executor.Phase
		reason spool.ExitReason
		tells  bool
	}{
		{"lost", executor.Lost, "", true},
		{"wall time", executor.Expired, "", true},
		{"wall time, by its own word", executor.Succeeded, spool.ExitWallTime, true},
		{"idle", executor.Succeeded, spool.ExitIdle, false},
		{"stopped", executor.Stopped, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, false)
			f.need.Min = 2
			f.snap.Pending = 9
			for n := 1; n <= 6; n++ {
				f.step()
				if len(f.exec.started) != 2*n {
					t.Fatalf("%d workers were started, want %d", len(f.exec.started), 2*n)
				}
				for i := range 2 {
					f.dies(f.id(i, n), f.born(f.id(i, n)), c.phase, c.reason)
				}
				f.need.Suspended = true
				f.step()
				r := f.step()
				f.need.Suspended = false
				if told := r.Crashing != nil; told != (c.tells && n >= emptyLimit) {
					t.Fatalf("after %d: %+v", n, r)
				}
				if r.Crashing != nil {
					if r := f.step(); r.Next < 10*time.Second || r.Crashing.Failure.Type != "NoFileDone" {
						t.Errorf("after %d: %+v", n, r)
					}
					f.now = f.now.Add(ladderLast)
				}
			}
			f.snap.Done++
			if r := f.step(); r.Crashing != nil {
				t.Errorf("in spite of progress: %+v", r)
			}
		})
	}
}

func TestAhead(t *testing.T) {
	for _, c := range []struct{ wallTime, took, want time.Duration }{
		{2 * time.Hour, 3 * time.Second, 2 * time.Minute},
		{time.Minute, 3 * time.Second, 6 * time.Second},
		{time.Minute, 10 * time.Second, 10 * time.Second},
		{2 * time.Hour, 5 * time.Minute, 5 * time.Minute},
		{2 * time.Hour, 9 * time.Hour, 30 * time.Minute}, // a long wait in the queue
	} {
		if got := ahead(c.wallTime, c.took); got != c.want {
			t.Errorf("ahead(%s, %s) = %s, want %s", c.wallTime, c.took, got, c.want)
		}
	}
}

// TestReplacesThoseThatLeave: before their wall time is up, if files wait, and within maxWorkers.
func TestReplacesThoseThatLeave(t *testing.T) {
	for _, c := range []struct {
		name    string
		backlog int64
		max     int
		want    int // started in all
	}{
		{"files wait", 9, 2, 2},
		{"no files wait", 0, 2, 1},
		{"maxWorkers", 9, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newField(t, false)
			f.need.WallTime, f.need.Max, f.need.DrainTarget = time.Hour, c.max, time.Hour
			f.snap.Pending, f.snap.SecondsPerFile, f.snap.Done = 1, 1, 1
			f.step()
			f.born(f.id(0, 1))
			f.step()
			f.snap.Pending, f.snap.Running = c.backlog, 1
			f.now = f.now.Add(time.Hour - drainLead)
			f.step()
			if n := len(f.exec.started); n != 1 {
				t.Fatalf("%d were started before it is time", n)
			}
			f.now = f.now.Add(time.Second)
			if r := f.step(); (r.Leaving == 1) != (c.backlog > 0) {
				t.Errorf("%+v", r)
			}
			f.step()
			if n := len(f.exec.started); n != c.want || len(f.exec.drained) > 0 {
				t.Errorf("%d were started, want %d; drained %v", n, c.want, f.exec.drained)
			}
		})
	}
}
