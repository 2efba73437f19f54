package dispatcher

import (
	"fmt"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

func (r *rig) folders() map[string]bool {
	r.t.Helper()
	ids, err := r.s.Workers()
	must(r.t, err)
	there := map[string]bool{}
	for _, id := range ids {
		there[id] = true
	}
	return there
}

// TestEndedWorkersArePruned: the last ones stay, those of the last minutes, and the last of each slot; history needs none.
func TestEndedWorkersArePruned(t *testing.T) {
	r := newRig(t)
	const turns = keepEnded + 20
	r.input(numbered(turns)...)
	r.begin()
	first := r.worker(7, 1) // the only one of its slot
	first.exit(spool.ExitIdle)
	r.after(time.Second)
	for turn := range turns {
		w := r.worker(0, turn+1)
		must(t, os.WriteFile(r.s.LogPath(w.id), []byte("said"), 0o666))
		r.after(time.Second)
		h := w.claim()
		w.done(h, 1, h.files...)
		w.exit(spool.ExitIdle)
		r.after(time.Second)
	}
	if n := len(r.folders()); n != turns+1 {
		t.Fatalf("%d folders are left of %d workers, all of them young", n, turns+1)
	}
	done := r.d.Snapshot().Done
	r.close()
	r.begin()
	r.round()
	r.after(keepEndedFor + pruneEvery)
	there := r.folders()
	if len(there) != keepEnded+1 || !there[first.id] {
		t.Errorf("%d folders are left, want %d; that of a slot's last worker is there: %t", len(there), keepEnded+1, there[first.id])
	}
	for _, turn := range []int{1, turns - keepEnded, turns - keepEnded + 1, turns} {
		id := fmt.Sprintf("%s.0.r%d", r.s.ID(), turn)
		want := turn > turns-keepEnded
		if there[id] != want || exists(r.s.LogPath(id)) != want {
			t.Errorf("the folder of worker %d is there: %t, its log: %t, want %t", turn, there[id], exists(r.s.LogPath(id)), want)
		}
	}
	if _, born, err := r.s.Bear(fmt.Sprintf("%s.0.r1", r.s.ID()), spool.Born{}); born || err != nil {
		t.Errorf("a second process for a pruned turn: born %t, %v", born, err)
	}
	r.crash()
	r.begin()
	s := r.round()
	if s.Done < done || len(s.Workers) != 0 {
		t.Errorf("after a restart: %+v", s)
	}
	r.finish(r.worker(0, turns+1))
}

// TestBirthIsSeen though the folder of the workers was listed at the same time by its clock.
func TestBirthIsSeen(t *testing.T) {
	r := newRig(t)
	r.begin()
	r.round()
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range 3 {
		r.worker(i, 1)
		must(t, os.Chtimes(r.s.WorkersDir(), at, at))
		if s := r.after(time.Second); len(s.Workers) != i+1 {
			t.Fatalf("%d workers are seen of %d", len(s.Workers), i+1)
		}
	}
}
