package dispatcher

import (
	"fmt"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

func TestAlike(t *testing.T) {
	for _, c := range []struct {
		name       string
		a, b       spool.Name
		fa, fb     spool.Failure
		sameReason bool
	}{
		{"the same", "a.txt", "b.txt", spool.Failure{Type: "E", Message: "no"}, spool.Failure{Type: "E", Message: "no"}, true},
		{"another type", "a.txt", "b.txt", spool.Failure{Type: "E", Message: "no"}, spool.Failure{Type: "F", Message: "no"}, false},
		{"another message", "a.txt", "b.txt", spool.Failure{Type: "E", Message: "no"}, spool.Failure{Type: "E", Message: "yes"}, false},
		{"the file's name in it", "foo.txt", "bar.txt", spool.Failure{Type: "E", Message: "/in/foo.txt: bad"}, spool.Failure{Type: "E", Message: "/in/bar.txt: bad"}, true},
		{"a short name", "a.txt", "b.txt", spool.Failure{Type: "E", Message: "bad a"}, spool.Failure{Type: "E", Message: "bad b"}, true},
		{"its stem in it", "foo.tar.gz", "bar.tar.gz", spool.Failure{Type: "E", Message: "key 'foo.tar'"}, spool.Failure{Type: "E", Message: "key 'bar.tar'"}, true},
		{"numbers", "a.txt", "b.txt", spool.Failure{Type: "E", Message: "at 0x7f31 after 3s: bad"}, spool.Failure{Type: "E", Message: "at 0x7e11 after 12s: bad"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := alike(c.a, &c.fa) == alike(c.b, &c.fb); got != c.sameReason {
				t.Errorf("%q and %q: %t", alike(c.a, &c.fa), alike(c.b, &c.fb), got)
			}
		})
	}
}

func TestBreaker(t *testing.T) {
	limits := spool.Breaker{First: 3, InARow: 5}
	for _, c := range []struct {
		name   string
		limits spool.Breaker
		files  string // a letter is a kind of failure, . is a success
		due    bool
	}{
		{"the first", limits, "aaa", true},
		{"too few", limits, "aa", false},
		{"not all alike", limits, "baaa", false},
		{"one was done", limits, ".aaaa", false},
		{"in a row", limits, "b.aaaaa", true},
		{"not in a row", limits, "baaaa.aaaa", false},
		{"two kinds by turns", limits, "abababababab", false},
		{"off", spool.Breaker{}, "aaaaaaaaaaaaaaaaaa", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := breaker{limits: c.limits}
			done := int64(0)
			for _, f := range c.files {
				if f == '.' {
					b.succeeded()
					done++
				} else {
					b.failed("x.txt", &spool.Failure{Type: string(f)})
				}
			}
			if got := b.due(done) != ""; got != c.due {
				t.Errorf("due: %t", got)
			}
		})
	}
}

// paused is a rig of eight files, of which three failed and the others wait.
func paused(t *testing.T) (*rig, *script) {
	t.Helper()
	r := newRig(t, func(s *spool.Spec) { s.Breaker = spool.Breaker{First: 3} })
	r.input(numbered(8)...)
	r.begin()
	w := r.worker(0, 1)
	s := r.rounds("the pause", func(s *Snapshot) bool {
		if s.Failed < 3 && s.Pause == nil {
			if h := w.claim(); h != nil {
				w.fail(h, "no module named x", h.files...)
			}
		}
		return s.Pause != nil
	})
	if s.Failed != 3 || s.Pause.Files != 3 || s.Pause.Failure.Type != "ValueError" || s.Pause.Failure.Traceback == "" {
		t.Fatalf("%+v, %+v", s, s.Pause)
	}
	return r, w
}

func TestPause(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *rig)
		on   bool
		done int64
	}{
		{"time", func(*rig) {}, false, 0},
		{"a kill", func(r *rig) { r.crash(); r.begin() }, false, 0},
		{"an end in good order", func(r *rig) { r.close(); r.begin() }, false, 0},
		{"two restarts", func(r *rig) { r.close(); r.begin(); r.round(); r.crash(); r.begin() }, false, 0},
		{"resume", func(r *rig) { r.ask(spool.Request{Kind: spool.RequestResume}) }, true, 5},
		{"resume while nothing runs", func(r *rig) { r.close(); r.ask(spool.Request{Kind: spool.RequestResume}); r.begin() }, true, 5},
		{"resume, and a kill", func(r *rig) {
			r.ask(spool.Request{Kind: spool.RequestResume})
			r.round()
			r.crash()
			r.begin()
		}, true, 5},
		{"by the caller", func(r *rig) { must(r.t, r.d.resume("test")) }, true, 5},
		{"retry", func(r *rig) { r.ask(spool.Request{Kind: spool.RequestRetry}) }, true, 8},
		{"a changed Task", func(r *rig) {
			spec := *r.s.Spec()
			spec.SetupCommands = []string{"module load x"}
			must(r.t, r.lock.Update(testOwner, spec))
			r.close()
			r.begin()
		}, true, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := paused(t)
			c.do(r)
			if !c.on {
				for range 3 {
					s := r.after(time.Second)
					if s.Pause == nil || s.Pause.Failure.Message != "no module named x" || s.Drained || r.queue() != 0 || s.Pending != 5 {
						t.Fatalf("%+v, %+v, %d batches", s, s.Pause, r.queue())
					}
				}
				return
			}
			s := r.finish(w)
			r.want(s, 0, 0, c.done, 8-c.done)
			if s.Pause != nil {
				t.Errorf("%+v", s.Pause)
			}
		})
	}
}

// TestNothingToSave: all have failed, and nothing is left that a pause would save.
func TestNothingToSave(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Breaker = spool.Breaker{First: 3} })
	r.input(numbered(3)...)
	r.begin()
	w := r.worker(0, 1)
	s := r.rounds("drained", func(s *Snapshot) bool {
		for h := w.claim(); h != nil; h = w.claim() {
			w.fail(h, fmt.Sprintf("no %s", h.files[0]), h.files...)
		}
		return s.Drained
	})
	r.want(s, 0, 0, 0, 3)
	if s.Pause != nil {
		t.Errorf("%+v", s.Pause)
	}
}
