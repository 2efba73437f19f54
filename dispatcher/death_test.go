package dispatcher

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// threeInHand is a rig whose only worker holds one batch of three files.
func threeInHand(t *testing.T) (*rig, *script, *holding) {
	t.Helper()
	r := newRig(t, func(s *spool.Spec) { s.Concurrency = 3 })
	r.begin()
	w := r.worker(0, 1)
	r.input("a.txt", "b.txt", "c.txt")
	r.d.pace, r.d.size = 0.001, 100
	must(t, r.d.fold(t.Context(), r.now))
	for _, n := range []spool.Name{"a.txt", "b.txt", "c.txt"} {
		r.d.move(n, placeWaiting)
	}
	files, _ := r.d.take(3)
	id, err := r.lock.Feed(spool.Batch{Files: files})
	must(t, err)
	r.d.batch(id, files)
	h := r.mustClaim(w, "a.txt", "b.txt", "c.txt")
	r.want(r.round(), 0, 3, 0, 0)
	return r, w, h
}

// TestDeaths: what becomes of the three files of a worker, by what it had done and how it ended.
func TestDeaths(t *testing.T) {
	blame, innocent := End{Blame: true, Message: "signal: killed"}, End{Message: "preempted"}
	for _, c := range []struct {
		name string
		do   func(w *script, h *holding)
		end  *End // nil: the worker leaves an exit record
		want string
	}{
		{"nothing begun", func(*script, *holding) {}, &blame, "a waits, b waits, c waits"},
		{"one begun", func(w *script, h *holding) { w.begin(h, "b.txt") }, &blame, "a waits, b crashed 1, c waits"},
		{"one begun, not its fault", func(w *script, h *holding) { w.begin(h, "b.txt") }, &innocent, "a waits, b waits, c waits"},
		{"several begun", func(w *script, h *holding) { w.begin(h, "a.txt", "c.txt") }, &blame, "a suspect, b waits, c suspect"},
		{
			"published, not journaled", func(w *script, h *holding) { w.begin(h, "a.txt", "b.txt"); w.publish("a.txt") }, &blame,
			"a done, b crashed 1, c waits",
		},
		{"journaled", func(w *script, h *holding) { w.begin(h, "a.txt"); w.done(h, 1, "a.txt") }, &blame, "a done, b waits, c waits"},
		{"failed", func(w *script, h *holding) { w.begin(h, "a.txt"); w.fail(h, "no", "a.txt") }, &blame, "a failed, b waits, c waits"},
		{"left with a word", func(w *script, h *holding) {
			w.begin(h, "a.txt")
			w.done(h, 1, "c.txt")
			w.exit(spool.ExitStopped)
		}, nil, "a waits, b waits, c done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w, h := threeInHand(t)
			c.do(w, h)
			if c.end != nil {
				r.ended(w.id, *c.end)
			}
			r.must1Ended(r.round(), w.id)
			// an error file is written in the same round in which the failure is known
			if got := r.states("a", "b", "c"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			r.crash() // all of it stands in the ledger
			r.begin()
			r.must0Live(r.round())
			if got := r.states("a", "b", "c"); got != c.want {
				t.Errorf("after a restart: %s, want %s", got, c.want)
			}
			r.finish(r.worker(1, 1))
		})
	}
}

func (r *rig) must1Ended(s *Snapshot, id string) {
	r.t.Helper()
	if w, known := r.d.workers[id]; !known || w != nil || len(s.Workers) != 0 {
		r.t.Fatalf("worker %s has not ended: %+v", id, s)
	}
}

func (r *rig) must0Live(s *Snapshot) {
	r.t.Helper()
	if len(s.Workers) != 0 {
		r.t.Fatalf("live workers: %+v", s.Workers)
	}
}

// states says in words how files stand.
func (r *rig) states(stems ...string) string {
	r.t.Helper()
	words := make([]string, 0, len(stems))
	for _, stem := range stems {
		name := spool.Name(stem + ".txt")
		state := "waits"
		switch tries := r.d.tries[r.d.file(name)]; r.place(string(name)) {
		case placeDone:
			state = "done"
		case placeFailed:
			state = "failed"
		default:
			if tries.suspect {
				state = "suspect"
			} else if tries.crashes > 0 {
				state = fmt.Sprintf("crashed %d", tries.crashes)
			}
		}
		words = append(words, stem+" "+state)
	}
	return strings.Join(words, ", ")
}

// TestCrashWhileRecovering: a dispatcher that dies between any two steps of a worker's recovery leaves nothing behind that
// the next one does not put right.
func TestCrashWhileRecovering(t *testing.T) {
	for steps := range 12 {
		for _, fenced := range []bool{false, true} {
			t.Run(fmt.Sprint(steps, fenced), func(t *testing.T) {
				r, w, h := threeInHand(t)
				w.publish("a.txt")
				w.done(h, 1, "b.txt")
				r.ended(w.id, End{})
				if fenced {
					_, err := r.lock.Fence(w.id)
					must(t, err)
				}
				if steps < len(r.d.steps()) {
					r.dieIn(steps)
				} else {
					r.round()
					r.crash()
				}
				r.begin()
				r.round()
				r.ended(w.id, End{}) // told again, as by whoever lists workers
				s := r.finish(r.worker(1, 1))
				r.want(s, 0, 0, 3, 0)
			})
		}
	}
}

// TestLostBatch: a batch that is neither in the queue nor with anyone is fed again, after two looks.
func TestLostBatch(t *testing.T) {
	r, w, h := threeInHand(t)
	must(t, w.w.Drop(h.id)) // without a word
	r.after(auditEvery)
	r.want(r.d.Snapshot(), 0, 3, 0, 0)
	r.after(auditEvery)
	r.want(r.d.Snapshot(), 3, 0, 0, 0)
	r.want(r.finish(w), 0, 0, 3, 0)
}

// TestEmptyBatchIsNotLost: a live worker holds a batch whose files are all done, and lets it go.
func TestEmptyBatchIsNotLost(t *testing.T) {
	r, w, h := threeInHand(t)
	for _, n := range h.files {
		w.publish(n)
	}
	must(t, w.w.Journal.Append(spool.Event{Kind: spool.EventDone, Batch: h.id.String(), Files: h.files}))
	must(t, w.w.Journal.Flush())
	r.round()
	r.crash()
	r.begin()
	must(t, w.w.Drop(h.id))
	for range 3 {
		r.after(auditEvery)
	}
	if len(r.d.byID) != 0 {
		t.Errorf("batches that nobody has: %v", r.d.byID)
	}
}

// TestUnreadableBatch: what a worker cannot read is fed again.
func TestUnreadableBatch(t *testing.T) {
	r, w, h := threeInHand(t)
	must(t, w.w.Journal.Append(spool.Event{Kind: spool.EventBad, Batch: h.id.String()}))
	must(t, w.w.Journal.Flush())
	w.drop(h)
	r.want(r.round(), 3, 0, 0, 0)
	r.want(r.finish(w), 0, 0, 3, 0)
}

// TestWorkersTroubleIsShown and gone with it.
func TestWorkersTroubleIsShown(t *testing.T) {
	r, w, h := threeInHand(t)
	must(t, w.w.Journal.Append(spool.Event{Kind: spool.EventPaused, Failure: &spool.Failure{Type: "StorageFull", Message: "no space"}}))
	must(t, w.w.Journal.Flush())
	if s := r.round(); s.Storage == nil || !s.Storage.Full || s.Storage.Message != "no space" {
		t.Errorf("storage: %+v", s.Storage)
	}
	must(t, w.w.Journal.Append(spool.Event{Kind: spool.EventResumed}))
	must(t, w.w.Journal.Flush())
	if s := r.round(); s.Storage != nil {
		t.Errorf("storage: %+v", s.Storage)
	}
	w.done(h, 1, h.files...)
	r.drained()
}

// TestTroublesOfSeveral: what is told does not jump between them, as each jump would be news.
func TestTroublesOfSeveral(t *testing.T) {
	r := newRig(t)
	r.begin()
	for i := range 8 {
		w := r.worker(i, 1)
		must(t, w.w.Journal.Append(spool.Event{Kind: spool.EventPaused, Failure: &spool.Failure{Type: "StorageError", Message: fmt.Sprint(i)}}))
		must(t, w.w.Journal.Flush())
	}
	for range 10 {
		if s := r.after(time.Second); s.Storage == nil || s.Storage.Message != "0" {
			t.Fatalf("storage: %+v", s.Storage)
		}
	}
}

// TestHeartbeatsAreNews: they show what is in hand, and take no place in the ledger.
func TestHeartbeatsAreNews(t *testing.T) {
	r, w, h := threeInHand(t)
	before := r.ledgerSize()
	must(t, w.w.Journal.Append(spool.Event{Kind: spool.EventBeat, Count: 1, InHand: []spool.InHand{{File: "a.txt", Seconds: 3}}}))
	must(t, w.w.Journal.Flush())
	s := r.after(time.Second)
	if len(s.Workers) != 1 || s.Workers[0].News != r.now || len(s.Workers[0].InHand) != 1 {
		t.Errorf("workers: %+v", s.Workers)
	}
	if after := r.ledgerSize(); after != before {
		t.Errorf("the ledger grew by %d bytes", after-before)
	}
	w.done(h, 1, h.files...)
	r.drained()
}

func (r *rig) ledgerSize() int64 {
	r.t.Helper()
	info, err := os.Stat(fmt.Sprintf("%s/dispatch/%06d/ledger.jsonl", r.s.Path(), r.lock.Epoch()))
	must(r.t, err)
	return info.Size()
}
