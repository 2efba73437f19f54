package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	engine "tigerflow.dev/tigerflow/worker"
)

// loop is a dispatcher that runs by itself.
type loop struct {
	*Dispatcher
	t      testing.TB
	lock   *spool.Lock
	cancel context.CancelFunc
	result chan error
	calls  atomic.Int64 // of OnChange
}

func (r *rig) run() *loop {
	r.t.Helper()
	c := spool.Contender{Spool: r.s, Owner: testOwner, TakeOver: true}
	lock, err := c.Try()
	must(r.t, err)
	ctx, cancel := context.WithCancel(r.t.Context())
	l := &loop{t: r.t, lock: lock, cancel: cancel, result: make(chan error, 1)}
	l.Dispatcher = New(lock, Config{Settle: 20 * time.Millisecond, Log: quietLog(), OnChange: func() { l.calls.Add(1) }})
	go func() { l.result <- l.Run(ctx) }()
	r.t.Cleanup(func() { // before the rig judges
		cancel()
		<-l.over
		_ = lock.Close() // closed already by most
	})
	return l
}

func (l *loop) until(what string, holds func(*Snapshot) bool) {
	l.t.Helper()
	eventually(l.t, what, func() bool {
		s := l.Snapshot()
		if s.Staged != s.Pending+s.Running+s.Done+s.Failed {
			l.t.Fatalf("the counts do not add up: %+v", s)
		}
		return holds(s)
	})
}

// stop ends the loop in good order.
func (l *loop) stop() {
	l.t.Helper()
	l.cancel()
	must(l.t, <-l.result)
	must(l.t, l.lock.Close())
}

// TestRun is the loop with a scripted worker: news comes by hints, ends by WorkerEnded.
func TestRun(t *testing.T) {
	r := newRig(t)
	l := r.run()
	if s := New(l.lock, Config{}).Snapshot(); !s.Recovering {
		t.Error("a new dispatcher claims to know something")
	}
	l.until("the recovery", func(s *Snapshot) bool { return !s.Recovering && s.Drained })
	r.input("a.txt", "b.txt")
	w := r.worker(0, 1)
	var h *holding
	eventually(t, "a batch", func() bool { h = w.claim(); return h != nil })
	w.done(h, 0.1, h.files...)
	l.until("a done file", func(s *Snapshot) bool { return s.Done == 1 && len(s.Workers) == 1 })
	eventually(t, "a batch", func() bool { h = w.claim(); return h != nil })
	w.publish(h.files[0])
	must(t, l.WorkerEnded(t.Context(), w.id, End{Blame: true, Message: "gone"}))
	must(t, l.WorkerEnded(t.Context(), w.id, End{}))     // once more
	must(t, l.WorkerEnded(t.Context(), "x.0.r1", End{})) // it was never born, and never will be
	l.until("drained", func(s *Snapshot) bool { return s.Drained && s.Done == 2 && len(s.Workers) == 0 })
	if w, born, err := r.s.Bear("x.0.r1", spool.Born{}); born || err != nil || !r.s.IsFenced("x.0.r1") {
		t.Errorf("a worker that was said to have ended is born: %v, %v", w, err)
	}
	if l.calls.Load() == 0 {
		t.Error("nobody was told of the changes")
	}
	l.stop()
	if err := l.WorkerEnded(t.Context(), w.id, End{}); !errors.Is(err, ErrOver) {
		t.Errorf("telling a loop that has ended: %v", err)
	}
}

// TestRunQuietly: with nothing to do there are few rounds and nobody is told anything.
func TestRunQuietly(t *testing.T) {
	r := newRig(t)
	r.begin()
	r.drained()
	for range 10 {
		r.d.quiet++
	}
	if next := r.d.nextTime(r.now); next.Sub(r.now) < time.Second {
		t.Errorf("the next round of an idle Task is %s away", next.Sub(r.now))
	}
	told := 0
	r.d.cfg.OnChange = func() { told++ }
	for range 20 {
		r.after(5 * time.Second)
	}
	if told != 0 {
		t.Errorf("told %d times of nothing", told)
	}
}

// TestRunIsSuperseded: Run ends by itself when another takes over.
func TestRunIsSuperseded(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	l := r.run()
	l.until("the recovery", func(s *Snapshot) bool { return s.Staged == 1 })
	next := r.run()
	next.until("the recovery", func(s *Snapshot) bool { return s.Staged == 1 })
	must(t, os.WriteFile(r.in("b.txt"), nil, 0o666)) // wakes both
	select {
	case err := <-l.result:
		if !errors.Is(err, spool.ErrSuperseded) {
			t.Errorf("the older dispatcher ended with %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the older dispatcher goes on")
	}
	w := r.worker(0, 1)
	next.until("drained", func(s *Snapshot) bool { w.work(0.1); return s.Drained && s.Done == 2 })
	next.stop()
}

// TestRealWorkers runs the engine itself, three of them, while the dispatcher is replaced under their feet.
func TestRealWorkers(t *testing.T) {
	const files = 300
	r := newRig(t, func(s *spool.Spec) {
		s.Handler = spool.Handler{Command: []string{"cp", "{input}", "{output}"}}
		s.Concurrency = 2
	})
	r.input(numbered(files)...)
	l := r.run()
	taking, drain := context.WithCancel(t.Context())
	defer drain()
	results := make(chan error, 3)
	for i := range 3 {
		go func() {
			reason, err := engine.Run(t.Context(), taking, engine.Config{
				Spool: r.s.Path(), ID: fmt.Sprintf("%s.%d.r1", r.s.ID(), i), Log: quietLog(),
			})
			if err == nil && reason != spool.ExitDrained {
				err = fmt.Errorf("a worker ended for %s", reason)
			}
			results <- err
		}()
	}
	for n := int64(files / 4); n < files; n += files / 4 {
		l.until("progress", func(s *Snapshot) bool { return s.Done >= n })
		l.stop()
		l = r.run()
	}
	l.until("drained", func(s *Snapshot) bool { return s.Drained && s.Done == files && s.Failed == 0 })
	drain()
	for range 3 {
		must(t, <-results)
	}
	l.until("the workers' ends", func(s *Snapshot) bool { return len(s.Workers) == 0 })
	l.stop()
}
