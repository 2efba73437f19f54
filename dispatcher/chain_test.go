package dispatcher

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// pipeline is a parent from .txt to .out and two children from .out to .fin, in folders of their own. What the parent makes
// goes when both children are done with it, and its inputs with it.
type pipeline struct {
	parent   *rig
	children []*rig
}

func newPipeline(t *testing.T, files int) *pipeline {
	t.Helper()
	p := &pipeline{parent: newRig(t)}
	p.parent.chain = Chain{DeleteOutputs: true, DeleteInputs: true}
	for range 2 {
		c := newRigIn(t, t.TempDir(), func(s *spool.Spec) {
			s.InputDir, s.InputExt, s.OutputExt = p.parent.s.Spec().OutputDir, ".out", ".fin"
		})
		c.chain = Chain{Parent: p.parent.s.Path()}
		p.children = append(p.children, c)
		p.parent.chain.Children = append(p.parent.chain.Children, c.s.Path())
	}
	p.parent.input(numbered(files)...)
	return p
}

func (p *pipeline) all() []*rig { return append([]*rig{p.parent}, p.children...) }

// work has each Task make rounds until all are drained and the parent has cleared up.
func (p *pipeline) work(workers map[*rig]*script) {
	p.parent.t.Helper()
	for range 200 {
		drained := true
		for _, r := range p.all() {
			if workers[r] == nil {
				workers[r] = r.worker(0, 1)
			}
			workers[r].work(0.01)
			drained = r.after(time.Second).Drained && drained
		}
		if drained && p.cleared() {
			return
		}
	}
	p.parent.t.Fatal("it does not come to an end")
}

// cleared reports whether the parent has deleted all that it is to.
func (p *pipeline) cleared() bool {
	for f, place := range p.parent.d.places {
		for _, c := range p.parent.d.chain.clear {
			if place == placeDone && len(c.sources) > 0 && (!c.gone.Has(file(f)) || len(c.pending) > 0) {
				return false
			}
		}
	}
	return true
}

// want fails the test unless the inputs and outputs of the parent are gone and all results there.
func (p *pipeline) want(files int) {
	p.parent.t.Helper()
	for i, r := range p.all() {
		r.want(r.d.Snapshot(), 0, 0, int64(files), 0)
		for _, n := range numbered(files) {
			stem := n[:len(n)-len(".txt")]
			if i == 0 && (exists(r.in(n)) || exists(r.out(stem+".out"))) || i > 0 && !exists(r.out(stem+".fin")) {
				r.t.Fatalf("Task %d, file %s", i, n)
			}
		}
	}
}

func TestChain(t *testing.T) {
	p := newPipeline(t, 20)
	workers := map[*rig]*script{}
	for _, r := range p.all() {
		r.begin()
	}
	p.work(workers)
	p.want(20)
	for range 2 { // nothing that was deleted is run again, however they end
		for _, r := range p.all() {
			r.crash()
			r.begin()
		}
		p.work(workers)
		p.want(20)
		for _, r := range p.all() {
			r.close()
			r.begin()
		}
	}
	p.work(workers)
	p.want(20)
	for _, r := range p.all() {
		report, err := spool.Check(r.s.Path())
		must(t, err)
		if report.Done != 20 || len(report.Problems) > 0 {
			t.Errorf("%+v", report)
		}
	}
}

// TestChainKeepsWhatFails: what one child failed on stays for a retry; all else goes.
func TestChainKeepsWhatFails(t *testing.T) {
	p := newPipeline(t, 3)
	for _, r := range p.all() {
		r.begin()
	}
	workers := map[*rig]*script{p.parent: p.parent.worker(0, 1), p.children[0]: p.children[0].worker(0, 1)}
	picky := p.children[1].worker(0, 1)
	for range 30 {
		for r, w := range workers {
			w.work(0.01)
			r.after(time.Second)
		}
		for h := picky.claim(); h != nil; h = picky.claim() {
			if h.files[0] == "00001.out" {
				picky.fail(h, "no", h.files...)
			} else {
				picky.done(h, 1, h.files...)
			}
		}
		p.children[1].after(time.Second)
	}
	for i, want := range []bool{false, true, false} {
		if got := exists(p.parent.out(fmt.Sprintf("%05d.out", i))); got != want {
			t.Errorf("intermediate %d is there: %t", i, got)
		}
	}
	p.children[1].ask(spool.Request{Kind: spool.RequestRetry})
	workers[p.children[1]] = picky
	p.work(workers)
	p.want(3)
}

// TestDeletionCut dies between any two operations of a deletion.
func TestDeletionCut(t *testing.T) {
	cuts := map[string]func(t *testing.T, r *rig, c *clearing){
		"before":      func(*testing.T, *rig, *clearing) {},
		"not on disk": func(t *testing.T, r *rig, c *clearing) { must(t, r.d.intend(c, c.ready)) },
		"intended": func(t *testing.T, r *rig, c *clearing) {
			must(t, r.d.intend(c, c.ready))
			must(t, r.lock.Sync())
		},
		"one is gone": func(t *testing.T, r *rig, c *clearing) {
			must(t, r.d.intend(c, c.ready))
			must(t, r.lock.Sync())
			must(t, os.Remove(c.path(c.pending[0])))
		},
		"gone": func(t *testing.T, r *rig, c *clearing) {
			must(t, r.d.intend(c, c.ready))
			must(t, r.d.unlink(c))
		},
		"told": func(t *testing.T, r *rig, c *clearing) {
			must(t, r.d.intend(c, c.ready))
			must(t, r.d.unlink(c))
			must(t, r.lock.Flush())
		},
	}
	for name, cut := range cuts {
		for what := range 2 {
			t.Run(fmt.Sprint(name, what), func(t *testing.T) {
				p := newPipeline(t, 4)
				p.parent.chain.DeleteOutputs, p.parent.chain.DeleteInputs = false, false
				for _, r := range p.all() {
					r.begin()
				}
				workers := map[*rig]*script{}
				p.work(workers)
				p.parent.crash()
				p.parent.chain.DeleteOutputs, p.parent.chain.DeleteInputs = true, true
				p.parent.begin()
				must(t, p.parent.lock.Flush())
				c := p.parent.d.chain.clear[what]
				for i := range c.sources {
					must(t, p.parent.d.consumed(t.Context(), c, i))
				}
				if len(c.ready) != 4 {
					t.Fatalf("%d are ready", len(c.ready))
				}
				cut(t, p.parent, c)
				p.parent.crash()
				p.parent.begin()
				p.work(workers)
				p.want(4)
			})
		}
	}
}

// TestGoneAndThereAfterAll: a worker does not find an input that has been there, or comes later, and of which the parent
// says nothing more.
func TestGoneAndThereAfterAll(t *testing.T) {
	p := newPipeline(t, 1)
	parent, child := p.parent, p.children[0]
	parent.begin()
	child.begin()
	w := parent.worker(0, 1)
	parent.rounds("the output", func(s *Snapshot) bool { w.work(0.01); return s.Done == 1 })
	c := child.worker(0, 1)
	child.round()
	hidden := filepath.Join(t.TempDir(), "hidden")
	must(t, os.Rename(parent.out("00000.out"), hidden))
	h := child.mustClaim(c, "00000.out")
	c.tell(h, spool.Event{Kind: spool.EventGone}, "00000.out")
	child.want(child.after(time.Second), 0, 0, 0, 0)
	must(t, os.Rename(hidden, parent.out("00000.out")))
	child.want(child.finish(c), 0, 0, 1, 0)
}

// TestResultRemoved: a person removes a child's result while its input is there, and when it is not any more.
func TestResultRemoved(t *testing.T) {
	p := newPipeline(t, 2)
	p.parent.chain.DeleteOutputs = false
	for _, r := range p.all() {
		r.begin()
	}
	workers := map[*rig]*script{}
	p.work(workers)
	child := p.children[0]
	must(t, os.Remove(child.out("00000.fin")))
	child.close()
	child.begin()
	child.want(child.finish(workers[child]), 0, 0, 2, 0)
	must(t, os.Remove(child.out("00001.fin")))
	must(t, os.Remove(p.parent.out("00001.out")))
	child.close()
	child.begin()
	child.rounds("gone", func(s *Snapshot) bool {
		if h := workers[child].claim(); h != nil {
			workers[child].tell(h, spool.Event{Kind: spool.EventGone}, "00001.out")
		}
		return s.Done == 1 && s.Drained
	})
	p.parent.close()
	p.parent.begin()
	p.parent.rounds("known to be gone", func(s *Snapshot) bool { return s.Done == 1 }) // its input is gone, too
}

// TestResultRemovedAfterDeletion: a person removes a child's result when what it was made from is deleted, which is made again then
// for that child alone, wherever dispatchers die, and deleted again. That many were done then holds nothing back.
func TestResultRemovedAfterDeletion(t *testing.T) {
	for name, steps := range map[string]int{"": -1, "parent dies": 9, "parent dies late": 14} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(t, 3)
			p.parent.chain.DeleteInputs, p.parent.chain.MaxIntermediates = false, 1
			for _, r := range p.all() {
				r.begin()
			}
			workers := map[*rig]*script{}
			p.work(workers)
			child, other := p.children[0], p.children[1]
			must(t, os.Remove(child.out("00001.fin")))
			child.close()
			child.begin()
			if steps >= 0 {
				p.parent.after(time.Second)
				p.parent.dieIn(steps)
				p.parent.begin()
			}
			child.rounds("made again", func(s *Snapshot) bool {
				workers[p.parent].work(0.01)
				p.parent.after(time.Second)
				other.after(time.Second)
				w := workers[child]
				for h := w.claim(); h != nil; h = w.claim() {
					if exists(p.parent.out("00001.out")) {
						w.done(h, 0.01, h.files...)
					} else {
						w.tell(h, spool.Event{Kind: spool.EventGone}, h.files...)
					}
				}
				return s.Done == 3 && exists(child.out("00001.fin"))
			})
			p.parent.input("late.txt")
			p.work(workers)
			for range 2 { // and nothing is made again once more
				p.parent.want(p.parent.d.Snapshot(), 0, 0, 4, 0)
				child.want(child.d.Snapshot(), 0, 0, 4, 0)
				other.want(other.d.Snapshot(), 0, 0, 4, 0)
				if exists(p.parent.out("00001.out")) || !exists(other.out("late.fin")) {
					t.Error("the intermediate stays, or nothing goes on")
				}
				p.parent.crash()
				p.parent.begin()
				p.parent.after(time.Second)
			}
		})
	}
}

// TestNameUsedAnew: an input that comes under the name of one that was deleted stays, though the dispatcher is killed right after the
// deletion.
func TestNameUsedAnew(t *testing.T) {
	r := newRig(t)
	r.chain.DeleteInputs = true
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	r.rounds("deleted", func(*Snapshot) bool {
		w.work(0.01)
		return !exists(r.in("a.txt"))
	})
	r.crash()
	r.input("a.txt")
	r.begin()
	r.drained()
	if !exists(r.in("a.txt")) {
		t.Error("it was deleted, too")
	}
}
