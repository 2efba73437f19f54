package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// newSiblings makes two Tasks on one input folder, which delete what both are done with.
func newSiblings(t *testing.T) []*rig {
	t.Helper()
	a := newRig(t)
	b := newRigIn(t, t.TempDir(), func(s *spool.Spec) { s.InputDir = a.s.Spec().InputDir })
	a.chain = Chain{Siblings: []string{b.s.Path()}, DeleteInputs: true}
	b.chain = Chain{Siblings: []string{a.s.Path()}, DeleteInputs: true}
	return []*rig{a, b}
}

// wantInputs fails the test if an input is gone of which not both have the output.
func wantInputs(t *testing.T, tasks []*rig, names []string) (gone int) {
	t.Helper()
	for _, n := range names {
		if exists(tasks[0].in(n)) {
			continue
		}
		gone++
		for i, r := range tasks {
			if !exists(r.out(strings.TrimSuffix(n, ".txt") + ".out")) {
				t.Fatalf("%s is gone, and Task %d is not done with it", n, i)
			}
		}
	}
	return gone
}

// TestSiblingWaits: while one Task stands still, or does not even exist to the other, nothing goes.
func TestSiblingWaits(t *testing.T) {
	tasks := newSiblings(t)
	names := numbered(5)
	tasks[0].input(names...)
	quick, slow := tasks[0], tasks[1]
	quick.begin()
	w := quick.worker(0, 1)
	quick.rounds("all are done", func(s *Snapshot) bool {
		w.work(0.01)
		return s.Done == 5
	})
	for range 3 { // however it ends, and with the other begun or not
		quick.after(time.Second)
		quick.crash()
		quick.begin()
	}
	slow.begin()
	other := slow.worker(0, 1)
	slow.rounds("they wait", func(s *Snapshot) bool { return s.Pending+s.Running == 5 })
	quick.after(time.Second)
	if gone := wantInputs(t, tasks, names); gone > 0 {
		t.Fatalf("%d are gone", gone)
	}
	h := other.claim()
	for range 100 {
		if h != nil {
			break
		}
		slow.after(time.Second)
		h = other.claim()
	}
	other.fail(h, "no", h.files...)
	failed := len(h.files)
	slow.rounds("the rest is done", func(s *Snapshot) bool {
		other.work(0.01)
		return s.Drained
	})
	for range 3 {
		quick.after(time.Second)
		slow.after(time.Second)
	}
	if gone := wantInputs(t, tasks, names); gone != 5-failed {
		t.Fatalf("%d are gone, and one Task has failed on %d", gone, failed)
	}
	slow.ask(spool.Request{Kind: spool.RequestRetry})
	slow.rounds("those, too", func(s *Snapshot) bool {
		other.work(0.01)
		quick.after(time.Second)
		return s.Done == 5 && wantInputs(t, tasks, names) == 5
	})
}

// TestSiblingsKilled kills either Task after any step of its rounds.
func TestSiblingsKilled(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 0))
			tasks := newSiblings(t)
			names := numbered(12)
			tasks[0].input(names...)
			workers := make([]*script, 2)
			for i, r := range tasks {
				r.begin()
				workers[i] = r.worker(0, 1)
			}
			gone := 0
			for n := 0; n < 1000 && gone < len(names); n++ {
				i := dice.IntN(2)
				r := tasks[i]
				switch dice.IntN(6) {
				case 0:
					r.dieIn(dice.IntN(len(r.d.steps()) + 1))
					r.begin()
				case 1:
					must(t, r.lock.Flush())
					r.crash()
					r.begin()
				case 2:
					r.close()
					r.begin()
				default:
					workers[i].work(0.01)
					r.after(time.Second)
				}
				gone = wantInputs(t, tasks, names)
			}
			if gone < len(names) {
				t.Fatalf("%d of %d are gone", gone, len(names))
			}
			for _, r := range tasks {
				s := r.rounds("both tell that all is done", func(s *Snapshot) bool { return s.Done == 12 })
				r.want(s, 0, 0, 12, 0)
				left, err := os.ReadDir(r.out(""))
				must(t, err)
				if outputs := slices.DeleteFunc(left, os.DirEntry.IsDir); len(outputs) != 12 {
					t.Errorf("%d outputs", len(outputs))
				}
			}
		})
	}
}

func TestTooManyConsumers(t *testing.T) {
	many := make([]string, 65)
	for want, c := range map[string]Chain{
		"":                          {Children: many, Siblings: many},
		"65 tasks take the outputs": {Children: many, DeleteOutputs: true},
		"65 tasks take the inputs":  {Siblings: many[:64], DeleteInputs: true},
	} {
		if got := c.Fault(); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (&Chain{Children: many[:64], DeleteOutputs: true, Siblings: many[:63], DeleteInputs: true}).Fault(); got != "" {
		t.Error(got)
	}
}
