package dispatcher

import (
	"errors"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// TestRestartCountsOnce: whatever way the dispatcher ends, the next one knows what is done, failed and in hand.
func TestRestartCountsOnce(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(r *rig)
	}{{"closed", (*rig).close}, {"crashed", (*rig).crash}} {
		t.Run(end.name, func(t *testing.T) {
			r := newRig(t)
			r.input(numbered(3)...)
			r.begin()
			w := r.worker(0, 1)
			r.round()
			w.done(r.mustClaim(w, "00000.txt"), 1, "00000.txt")
			w.fail(r.mustClaim(w, "00001.txt"), "no", "00001.txt")
			h := r.mustClaim(w, "00002.txt")
			r.want(r.after(time.Second), 0, 1, 1, 1)
			end.do(r)
			w.done(h, 1, "00002.txt") // while nobody looks
			r.begin()
			s := r.after(time.Second)
			r.want(s, 0, 0, 2, 1)
			if len(s.Workers) != 1 || len(s.Recent) != 1 || s.Recent[0].Message != "no" || time.Since(s.Recent[0].Time) > time.Hour {
				t.Errorf("workers %+v, failures %+v", s.Workers, s.Recent)
			}
			r.want(r.drained(), 0, 0, 2, 1)
		})
	}
}

// TestLiveWorkersKeepTheirClaims: what they hold is not fed to others; of what they have told already nothing is kept back.
func TestLiveWorkersKeepTheirClaims(t *testing.T) {
	r, w, h := threeInHand(t)
	r.d.spec.Retry.Attempts = 2
	w.fail(h, "once", "a.txt")
	w.tell(h, spool.Event{Kind: spool.EventBack}, "b.txt")
	r.round()
	r.crash()
	r.begin()
	other := r.worker(1, 1)
	r.round()
	ha, hb := r.mustClaim(other, "a.txt"), r.mustClaim(other, "b.txt")
	if other.claim() != nil {
		t.Error("the file that the worker still has was fed again")
	}
	other.done(hb, 1, "b.txt")
	other.fail(ha, "twice", "a.txt")
	w.done(h, 1, "c.txt")
	r.want(r.drained(), 0, 0, 2, 1)
}

// TestVerdictSurvives: the failure stands in the ledger and the dispatcher dies before it gives the file up.
func TestVerdictSurvives(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	w.fail(r.mustClaim(w, "a.txt"), "no", "a.txt")
	must(t, r.d.fold(t.Context(), r.now))
	must(t, r.lock.Flush())
	r.crash()
	r.begin()
	r.want(r.round(), 0, 0, 0, 1)
	if !exists(r.out("a.err")) || r.queue() != 0 {
		t.Error("it is run again instead of being given up")
	}
}

// TestTheDiskWins: results that somebody removed are made again; results that nobody tells of are taken for what they are.
func TestTheDiskWins(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt", "c.txt", "d.txt")
	must(t, os.WriteFile(r.out("c.out"), []byte("earlier"), 0o666))
	must(t, os.WriteFile(r.out("d.err"), []byte("{}"), 0o666))
	r.begin()
	w := r.worker(0, 1)
	r.want(r.round(), 2, 0, 1, 1)
	w.done(r.mustClaim(w, "a.txt"), 1, "a.txt")
	w.fail(r.mustClaim(w, "b.txt"), "no", "b.txt")
	r.want(r.drained(), 0, 0, 2, 2)
	r.close()

	must(t, os.Remove(r.out("a.out")))
	must(t, os.Remove(r.out("b.err")))
	must(t, os.WriteFile(r.out("d.out"), nil, 0o666)) // somebody's own, beside the error file
	r.begin()
	r.want(r.round(), 2, 0, 2, 0)
	if exists(r.out("d.err")) {
		t.Error("the error file lies beside the output")
	}
	r.want(r.finish(w), 0, 0, 4, 0)
	if data, err := os.ReadFile(r.out("c.out")); err != nil || string(data) != "earlier" {
		t.Errorf("the output of an earlier run was changed: %q %v", data, err)
	}
}

// TestRemovedBeforeDrained: the folder is compared once more before the Task counts as drained.
func TestRemovedBeforeDrained(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	w.done(r.mustClaim(w, "a.txt"), 1, "a.txt")
	r.round()
	must(t, os.Remove(r.out("a.out")))
	w.done(r.mustClaim(w, "b.txt"), 1, "b.txt")
	if s := r.after(time.Second); s.Drained || s.Done != 1 {
		t.Fatalf("%+v", s)
	}
	r.want(r.finish(w), 0, 0, 2, 0)
}

// TestListingFailsOnce: results of an earlier run are still adopted when the input folder can be listed at last.
func TestListingFailsOnce(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	must(t, os.WriteFile(r.out("a.out"), nil, 0o666))
	must(t, os.Rename(r.in(""), r.root+"/away"))
	r.begin()
	r.round()
	must(t, os.WriteFile(r.root+"/in", nil, 0o666)) // not a folder at all
	if s := r.after(time.Second); s.Input == "" {
		t.Fatal("a file was listed")
	}
	must(t, os.Remove(r.root+"/in"))
	must(t, os.Rename(r.root+"/away", r.in("")))
	r.want(r.after(time.Second), 0, 0, 1, 0)
}

// TestSuperseded: the older dispatcher stops before it writes anything; what it has fed, workers drop.
func TestSuperseded(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt")
	r.begin()
	r.round()
	old, oldLock := r.d, r.lock
	r.begin()
	if n := r.queue(); n != 0 {
		t.Errorf("%d batches of the older dispatcher are still in the queue", n)
	}
	r.round()
	zombie, err := oldLock.Feed(spool.Batch{Files: []spool.Name{"a.txt", "b.txt"}}) // it had looked just before
	must(t, err)
	if _, err := old.round(t.Context(), r.now); !errors.Is(err, spool.ErrSuperseded) {
		t.Errorf("the older dispatcher: %v", err)
	}
	old.wake.Close()
	oldLock.Abandon()
	w := r.worker(0, 1)
	if _, ok, err := w.w.Claim(zombie); !ok || err != nil {
		t.Fatalf("claiming the zombie's batch: %v", err)
	}
	must(t, w.w.Drop(zombie))
	r.want(r.finish(w), 0, 0, 2, 0)
}

// TestSupersededWhileListing: a listing may take longer than a lease.
func TestSupersededWhileListing(t *testing.T) {
	r := newRig(t)
	r.input(numbered(listChunk + 1)...)
	r.begin()
	old, oldLock := r.d, r.lock
	r.begin()
	if err := old.discover(t.Context(), r.now); !errors.Is(err, spool.ErrSuperseded) {
		t.Errorf("the older dispatcher: %v", err)
	}
	old.wake.Close()
	oldLock.Abandon()
}

// TestZombieLedger: what a superseded dispatcher writes late counts once, for its successor has seen to it.
func TestZombieLedger(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Retry.Attempts = 3 })
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	w.fail(w.claim(), "bad luck", "a.txt")
	must(t, r.d.fold(t.Context(), r.now)) // in memory only
	zombie := r.d
	r.begin()
	r.round()
	must(t, zombie.lock.Flush())
	zombie.wake.Close()
	zombie.lock.Abandon()
	r.crash()
	r.begin()
	r.round()
	if n := r.d.tries[r.d.file("a.txt")].attempts; n != 1 {
		t.Errorf("%d attempts are counted", n)
	}
	r.want(r.finish(w), 0, 0, 1, 0)
}

// TestJournalReadInPart: what was read of a journal before its storage failed stands in the ledger, for it is not read again.
func TestJournalReadInPart(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	w.work(1)
	end, err := os.Stat(r.s.JournalPath(w.id))
	must(t, err)
	must(t, w.w.Journal.Append(0)) // no event: the reading ends here with an error, as it would for a bad page
	must(t, w.w.Journal.Flush())
	if s := r.after(time.Second); s.Done != 1 || s.Storage == nil {
		t.Fatalf("%+v", s)
	}
	must(t, os.Truncate(r.s.JournalPath(w.id), end.Size()))
	r.after(time.Second)
	r.crash()
	r.begin() // and is found there, not on disk
	told := 0
	must(t, r.s.ReadLedger(1, func(e spool.Entry) error {
		told += len(e.Done)
		return nil
	}))
	if told != 1 {
		t.Errorf("the ledger tells %d times that the file is done", told)
	}
}
