package dispatcher

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

func (r *rig) ask(q spool.Request) string {
	r.t.Helper()
	id, err := r.s.Ask(q)
	must(r.t, err)
	return id
}

func (r *rig) asked() int {
	r.t.Helper()
	list, err := r.s.Requests()
	must(r.t, err)
	return len(list)
}

// failing is a rig of which b and c have failed and a is done.
func failing(t *testing.T, change ...func(*spool.Spec)) (*rig, *script) {
	t.Helper()
	r := newRig(t, change...)
	r.input("a.txt", "b.txt", "c.txt")
	r.begin()
	w := r.worker(0, 1)
	r.rounds("two have failed", func(s *Snapshot) bool {
		for h := w.claim(); h != nil; h = w.claim() {
			if h.files[0] == "a.txt" {
				w.done(h, 1, "a.txt")
			} else {
				w.fail(h, "no", h.files...)
			}
		}
		return s.Done == 1 && s.Failed == 2
	})
	return r, w
}

func TestRetry(t *testing.T) {
	for _, c := range []struct {
		name, match   string
		done, failed  int64
		while, before bool // asked while the dispatcher runs; before it closes
	}{
		{"all", "", 3, 0, true, false},
		{"by pattern", "b*", 2, 1, true, false},
		{"none meant", "a*", 1, 2, true, false},
		{"while nothing runs", "", 3, 0, false, false},
		{"before a kill", "c*", 2, 1, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := failing(t)
			switch {
			case c.before:
				r.ask(spool.Request{Kind: spool.RequestRetry, Match: c.match})
				r.crash()
				r.begin()
			case c.while:
				r.ask(spool.Request{Kind: spool.RequestRetry, Match: c.match})
			default:
				r.close()
				r.ask(spool.Request{Kind: spool.RequestRetry, Match: c.match})
				r.begin()
			}
			s := r.finish(w)
			r.want(s, 0, 0, c.done, c.failed)
			if fresh, want := s.Done+s.Failed-s.Earlier, c.done-1; !c.while && fresh != want {
				t.Errorf("%d files are new, want %d", fresh, want)
			}
			if r.asked() != 0 {
				t.Error("the request was not taken away")
			}
			if len(s.Recent) != int(c.failed) {
				t.Errorf("the latest failures are %+v", s.Recent)
			}
		})
	}
}

// TestRetryCut dies between any two operations of a retry. Each of the files is run once more, and no more.
func TestRetryCut(t *testing.T) {
	cuts := map[string]func(r *rig, q spool.Request){
		"asked":               func(*rig, spool.Request) {},
		"one error file gone": func(r *rig, _ spool.Request) { must(r.t, r.lock.RemoveError("b")) },
		"error files gone": func(r *rig, _ spool.Request) {
			must(r.t, r.lock.RemoveError("b"))
			must(r.t, r.lock.RemoveError("c"))
		},
		"requeued in part": func(r *rig, _ spool.Request) {
			must(r.t, r.lock.RemoveError("b"))
			must(r.t, r.d.requeue([]spool.Name{"b.txt"}, "a retry was asked"))
			must(r.t, r.lock.Flush())
		},
		"requeued": func(r *rig, q spool.Request) {
			must(r.t, r.d.retry(q))
			must(r.t, r.lock.Flush())
		},
		"answered": func(r *rig, q spool.Request) {
			must(r.t, r.d.retry(q))
			must(r.t, r.d.append(spool.Entry{Kind: spool.EntryAnswered, Request: q.ID}))
			must(r.t, r.lock.Flush())
		},
		"taken away": func(r *rig, q spool.Request) { must(r.t, r.d.attendTo(q, nil)) },
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			r, w := failing(t)
			r.ask(spool.Request{Kind: spool.RequestRetry})
			list, err := r.s.Requests()
			must(t, err)
			cut(r, list[0])
			r.crash()
			r.begin()
			again := map[spool.Name]int{}
			s := r.rounds("failed again", func(s *Snapshot) bool {
				for h := w.claim(); h != nil; h = w.claim() {
					for _, f := range h.files {
						again[f]++
					}
					w.fail(h, "no", h.files...)
				}
				return s.Drained
			})
			r.want(s, 0, 0, 1, 2)
			r.crash()
			r.begin()
			r.want(r.drained(), 0, 0, 1, 2)
			if len(again) != 2 || again["b.txt"] != 1 || again["c.txt"] != 1 || r.asked() != 0 {
				t.Errorf("run again %v, requests left %d", again, r.asked())
			}
		})
	}
}

// TestOddRequests: what cannot be understood stays, and nothing else suffers.
func TestOddRequests(t *testing.T) {
	r, w := failing(t)
	must(t, os.WriteFile(filepath.Join(r.s.RequestsDir(), "00.json"), []byte("{"), 0o666))
	r.ask(spool.Request{Kind: "dance"})
	r.ask(spool.Request{Kind: spool.RequestRetry})
	r.want(r.finish(w), 0, 0, 3, 0)
	if r.asked() != 2 {
		t.Errorf("%d requests are left", r.asked())
	}
}

func TestEnding(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt", "c.txt", "d.txt", "e.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	h := w.claim()
	r.ask(spool.Request{Kind: spool.RequestDrain})
	if s := r.after(time.Second); s.Ending != spool.RequestDrain || r.queue() != 0 {
		t.Fatalf("ending %q, %d batches in the queue", s.Ending, r.queue())
	}
	r.ask(spool.Request{Kind: spool.RequestStop})
	w.done(h, 1, h.files...)
	if s := r.after(time.Second); s.Ending != spool.RequestStop || s.Done != 1 {
		t.Fatalf("ending %q, done %d", s.Ending, s.Done)
	}
	r.ask(spool.Request{Kind: spool.RequestResume})
	if s := r.after(time.Second); s.Ending != "" || r.queue() == 0 || r.asked() != 0 {
		t.Fatalf("ending %q, %d batches, %d requests", s.Ending, r.queue(), r.asked())
	}
	r.ask(spool.Request{Kind: spool.RequestStop})
	r.crash()
	r.begin()
	if s := r.after(time.Second); s.Ending != "" || r.asked() != 0 {
		t.Errorf("a new dispatcher is to end, too: %q, %d requests", s.Ending, r.asked())
	}
	r.want(r.finish(w), 0, 0, 5, 0)
}

// TestResumeByAnotherClock: who asks to go on sees what was asked before, though the clock of who asked that was ahead.
func TestResumeByAnotherClock(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	drain := spool.Request{Kind: spool.RequestDrain, Epoch: r.lock.Epoch(), Time: time.Now().Add(time.Hour)}
	text, err := json.Marshal(drain)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(r.s.RequestsDir(), "ahead.json"), text, 0o666))
	if s := r.round(); s.Ending != spool.RequestDrain {
		t.Fatalf("ending %q", s.Ending)
	}
	r.ask(spool.Request{Kind: spool.RequestResume})
	if s := r.after(time.Second); s.Ending != "" || r.asked() != 0 {
		t.Fatalf("ending %q, %d requests", s.Ending, r.asked())
	}
	r.want(r.finish(w), 0, 0, 1, 0)
}
