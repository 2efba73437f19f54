package worker

import (
	"math"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

// With a clock of the test's own: a file is begun as long as 99 of 100 like those before it would be through in time.
func TestFits(t *testing.T) {
	start := time.Now()
	e := &engine{cfg: Config{Deadline: start.Add(time.Hour), wallTime: time.Hour}, pace: math.Inf(1)}
	if !e.fits(start.Add(59 * time.Minute)) {
		t.Error("nothing is known yet: the first file must be tried")
	}
	for range 98 {
		e.measure(60)
	}
	e.measure(600)
	e.measure(600)
	for _, tt := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true},
		{45 * time.Minute, true},  // 600 s, up to 10 % of the estimator, a quarter of margin, 10 s to leave
		{51 * time.Minute, false}, // less than ten minutes are left
		{59 * time.Minute, false},
	} {
		if got := e.fits(start.Add(tt.at)); got != tt.want {
			t.Errorf("after %s: fits %v, want %v", tt.at, got, tt.want)
		}
	}
	e.cfg.Deadline = time.Time{}
	if !e.fits(start.Add(1000 * time.Hour)) {
		t.Error("without a deadline everything fits")
	}
}

// What is in hand when the time is up is given back, and nothing of it is published.
func TestWallTime(t *testing.T) {
	r := newRig(t, nil)
	r.feed("g", waits)
	w := r.start(func(c *Config) { stays(c); c.Deadline = time.Now().Add(4 * time.Second) })
	w.ends(spool.ExitWallTime)
	queue, err := r.spool.Queue()
	must(t, err)
	if back := w.files(spool.EventBack); back != "g" && len(queue) != 1 { // a slow machine may not come to begin it
		t.Errorf("given back: %q, in the queue: %v", back, queue)
	}
	if exists(r.path("out", "g.out")) {
		t.Error("the file was published")
	}
}

func TestTakesNothingThatWillNotFit(t *testing.T) {
	r := newRig(t, nil)
	r.feed("a", "time.sleep(3)\n"+ok, "b", "note('begun b')\n"+ok)
	// Two seconds are left when a is through, which took three.
	w := r.start(func(c *Config) { stays(c); c.Deadline = time.Now().Add(5 * time.Second) })
	w.ends(spool.ExitWallTime)
	if strings.Contains(r.read("notes"), "begun b") || w.files(spool.EventDone) == "a b" {
		t.Error("b was begun")
	}
}

// A file that takes far longer than others is told of in the log and in the heartbeat.
func TestSlowFileIsTold(t *testing.T) {
	r := newRig(t, nil)
	for i := range slowAfter { // each alone, so that none is given back
		r.feed("f"+string(rune('a'+i)), ok)
	}
	w := r.start(impatient)
	eventually(t, "the quick ones", func() bool { return len(strings.Fields(w.files(spool.EventDone))) == slowAfter })
	r.feed("g", waits)
	eventually(t, "a beat that tells", func() bool {
		for _, e := range w.events() {
			for _, f := range e.InHand {
				if f.Slow && f.File == "g.txt" {
					return true
				}
			}
		}
		return false
	})
	r.release("g")
	w.drain()
	w.ends(spool.ExitDrained)
	if told := strings.Count(w.log.String(), "ten times as long"); told != 1 {
		t.Errorf("told %d times, want once:\n%s", told, w.log)
	}
}

// TestAnsweredInTime: a file whose result waits for the engine, which itself waited for the storage, is not late.
func TestAnsweredInTime(t *testing.T) {
	e := newEngineIn(t, newRig(t, func(s *spool.Spec) { s.Timeout = spool.Duration(time.Minute) }))
	h, l := &dead{}, e.lanes[0]
	l.h = h
	f := &file{batch: &batch{left: 1}, name: "a.txt", lane: l, slot: l.takeSlot(), begun: time.Now().Add(-time.Hour)}
	e.flying[1], l.order = f, []uint64{1}
	e.results <- handler.Result{ID: 1, Seconds: 1}
	e.checkTimeouts(time.Now())
	if h.killed {
		t.Error("its handler is killed")
	}
	e.onResult(<-e.results)
	f.begun = time.Now().Add(-time.Hour)
	e.flying[2], l.order = f, []uint64{2}
	e.checkTimeouts(time.Now())
	if !h.killed {
		t.Error("one that is late is not")
	}
}

// TestTimeoutBehindABlockedLoop: what user code was not yet given is not late, however long ago it was sent.
func TestTimeoutBehindABlockedLoop(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { async(3)(s); s.Timeout = spool.Duration(time.Second) })
	r.feed("a", "time.sleep(1000)", "b", ok, "c", ok)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "b c", "failed", "a")
}
