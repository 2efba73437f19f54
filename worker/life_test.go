package worker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// With files in hand, waiting and in setup, each way to end leaves nothing running and nothing held that is not told.
func TestStop(t *testing.T) {
	r := newRig(t, nil)
	r.feed("g", waits, "x", ok, "y", ok)
	w := r.start(stays)
	r.begun("g")
	w.end()
	w.ends(spool.ExitStopped)
	w.wantFiles("back", "g x y")
	if exists(r.path("out", "g.out")) {
		t.Error("a file was published behind the stop")
	}
	if notes := r.notes(); len(notes) != 1 {
		t.Errorf("a stop must not wait for a teardown: %q", notes)
	}
}

func TestEndDuringSetup(t *testing.T) {
	for _, reason := range []spool.ExitReason{spool.ExitStopped, spool.ExitDrained, spool.ExitParentGone} {
		t.Run(string(reason), func(t *testing.T) {
			r := newRig(t, nil)
			r.write("setup.py", `wait("setup")`)
			r.feed("a", ok)
			parent := make(chan struct{})
			w := r.start(func(c *Config) { c.ParentGone = parent })
			r.begun("setup")
			map[spool.ExitReason]func(){
				spool.ExitStopped: w.end, spool.ExitDrained: w.drain, spool.ExitParentGone: func() { close(parent) },
			}[reason]()
			w.ends(reason)
			w.wantFiles()
		})
	}
}

func TestParentGone(t *testing.T) {
	r := newRig(t, nil)
	r.feed("g", waits)
	parent := make(chan struct{})
	w := r.start(func(c *Config) { c.ParentGone = parent })
	r.begun("g")
	close(parent)
	w.ends(spool.ExitParentGone)
	w.wantFiles("back", "g")
}

// Setup and teardown may be long: in both a worker goes on showing that it lives, and one of a Local Task does not
// take its own silence for death.
func TestLongSetupAndTeardown(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Type = spool.TypeLocal })
	r.write("setup.py", `wait("setup")`)
	r.write("teardown.py", `wait("teardown")`)
	w := r.start(func(c *Config) { c.timing.silence = 600 * time.Millisecond })
	beats := func() int { return len(w.about(spool.EventBeat)) }
	more := int(2 * 600 * time.Millisecond / brisk.beat)
	for _, stage := range []string{"setup", "teardown"} {
		r.begun(stage)
		n := beats()
		eventually(t, "beats in "+stage, func() bool { return beats() >= n+more })
		r.release(stage)
	}
	w.ends(spool.ExitIdle)
}

// A drain lets the teardown end, a stop does not.
func TestStopDuringTeardown(t *testing.T) {
	r := newRig(t, nil)
	r.write("teardown.py", `wait("teardown")`)
	w := r.start(stays)
	r.feed("a", ok)
	r.exists("out/a.out")
	w.drain()
	r.begun("teardown")
	w.end()
	w.ends(spool.ExitStopped)
	w.wantFiles("done", "a")
}

// Draining, a handler that dies is not replaced; what it had is given back.
func TestCrashWhileDraining(t *testing.T) {
	r := newRig(t, nil)
	quick := "time.sleep(0.003)\n" + ok
	r.feed("a", quick, "b", quick, "crash", "wait('crash')\nos._exit(3)", "ahead", ok, "z", ok)
	w := r.start(stays)
	r.begun("crash")
	w.drain()
	eventually(t, "names given back", func() bool { return w.files(spool.EventBack) != "" })
	r.release("crash")
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a b", "back", "ahead crash z")
}

func TestFencedWhileIdle(t *testing.T) {
	r := newRig(t, echo)
	w := r.start(stays)
	eventually(t, "the first beat", func() bool { return len(w.events()) > 0 })
	_, err := r.lock.Fence(w.id)
	must(t, err)
	w.ends(spool.ExitFenced)
}

func TestFencedWithAFileInHand(t *testing.T) {
	r := newRig(t, nil)
	r.feed("g", waits, "x", ok)
	w := r.start(stays)
	r.begun("g")
	held, err := r.lock.Fence(w.id)
	must(t, err)
	if len(held) != 1 || len(held[0].Begun) != 1 || held[0].Begun[0] != "g.txt" {
		t.Errorf("it held %+v, want one batch with g in hand", held)
	}
	w.ends(spool.ExitFenced)
	if done := w.files(spool.EventDone); done != "" || exists(r.path("out", "g.out")) {
		t.Errorf("a fenced worker published; done: %q", done)
	}
}

// A worker that was fenced while it looked elsewhere can neither publish what it finished nor begin more.
func TestFencedUnawares(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		t.Run(string(durability), func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { s.Durability = durability })
			r.feed("g", "with open(output_file, 'w') as out:\n    out.write('mine')\n    wait('g')", "x", `note("x begun")`+"\n"+ok)
			w := r.start(func(c *Config) { stays(c); c.timing.beat = time.Hour })
			r.begun("g")
			_, err := r.lock.Fence(w.id)
			must(t, err)
			r.release("g")
			w.ends(spool.ExitFenced)
			outputs, err := filepath.Glob(r.path("out", "*.out"))
			must(t, err)
			if len(outputs) > 0 || strings.Contains(r.read("notes"), "x begun") {
				t.Errorf("a fenced worker went on: outputs %v, notes %q", outputs, r.notes())
			}
			if done := w.files(spool.EventDone); done != "" {
				t.Errorf("it says that %s is done", done)
			}
		})
	}
}

// A fence after which another has published: the zombie leaves that output alone.
func TestNeverOverwrites(t *testing.T) {
	r := newRig(t, nil)
	r.feed("g", waits)
	w := r.start(nil)
	r.begun("g")
	r.write("out/g.out", "from another")
	r.release("g")
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "g")
	if got := r.read("out/g.out"); got != "from another" {
		t.Errorf("the output is %q", got)
	}
	if temps, err := os.ReadDir(filepath.Join(r.spool.Path(), "workers", w.id, "tmp")); err != nil || len(temps) > 0 {
		t.Errorf("left in tmp: %v %v", temps, err)
	}
}

// TestCutStartIsNoVerdict: that a start was broken off says nothing of the handler, however many have died before.
func TestCutStartIsNoVerdict(t *testing.T) {
	e := newEngineIn(t, newRig(t, nil))
	l := e.lanes[0]
	l.starting, l.fruitless = true, fruitlessLimit-1
	e.onStarted(started{lane: l, err: context.Canceled})
	if e.end != nil || l.starting {
		t.Errorf("the end is %v, the lane %+v", e.end, l)
	}
}

// TestLeavingCutsStartsAlone: what ends a start is not the end of working, which would have the recorder give up what the
// storage has yet to take.
func TestLeavingCutsStartsAlone(t *testing.T) {
	r := newRig(t, nil)
	r.write("setup.py", `wait("setup")`)
	e := newEngineIn(t, r)
	working, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	e.stop = stop
	e.start(working, e.lanes[0])
	r.begun("setup")
	e.end = &ending{reason: spool.ExitDrained}
	e.leave()
	if working.Err() != nil {
		t.Error("the end of a start is the end of all work")
	}
}
