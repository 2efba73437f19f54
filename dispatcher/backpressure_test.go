package dispatcher

import (
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// TestMaxIntermediates: no more outputs wait for the slowest child than may, over restarts; what is held back is no backlog, and
// what a child fails on is not waited for.
func TestMaxIntermediates(t *testing.T) {
	const files, most = 20, 3
	p := newPipeline(t, files)
	p.parent.chain.MaxIntermediates = most
	parent, quick, slow := p.parent, p.children[0], p.children[1]
	parent.begin()
	quick.begin()
	w, quickly := parent.worker(0, 1), quick.worker(0, 1)
	advance := func() *Snapshot {
		for range 4 {
			w.work(0.01)
			parent.after(time.Second)
			quickly.work(0.01)
			quick.after(time.Second)
		}
		return parent.after(time.Second)
	}
	s := advance()
	if parent.want(s, files-most, 0, most, 0); s.HeldBack != files-most || s.Drained { // the slow child has no spool to speak of
		t.Fatalf("%+v", s)
	}
	slow.begin()
	slowly := slow.worker(0, 1)
	for eaten := int64(1); eaten <= files; eaten++ {
		slow.after(time.Second)
		switch h := slowly.claim(); {
		case h == nil:
			t.Fatalf("nothing comes: %+v", slow.d.Snapshot())
		case eaten == 5:
			slowly.fail(h, "no", h.files...)
		default:
			slowly.done(h, 0.01, h.files[0])
			for _, n := range h.open {
				slowly.tell(h, spool.Event{Kind: spool.EventBack}, n)
			}
		}
		slow.after(time.Second)
		if eaten == 10 {
			parent.crash()
			parent.begin()
		}
		if s := advance(); s.Done != min(files, eaten+most) || s.HeldBack != s.Pending {
			t.Fatalf("the slow child is through with %d: %+v", eaten, s)
		}
	}
}

// TestHeldBackByWhatIsGone: an output that is removed before the child has read it holds nothing back for ever.
func TestHeldBackByWhatIsGone(t *testing.T) {
	p := newPipeline(t, 2)
	parent, child := p.parent, p.children[0]
	parent.chain = Chain{Children: []string{child.s.Path()}, MaxIntermediates: 1}
	parent.begin()
	child.begin()
	w, c := parent.worker(0, 1), child.worker(0, 1)
	parent.rounds("one is done", func(s *Snapshot) bool { w.work(0.01); return s.Done == 1 && s.HeldBack == 1 })
	child.after(time.Second)
	h := c.claim()
	must(t, os.Remove(parent.out(string(h.files[0]))))
	c.tell(h, spool.Event{Kind: spool.EventGone}, h.files...)
	child.after(time.Second)
	parent.after(listEvery)
	parent.rounds("both are done", func(s *Snapshot) bool {
		w.work(0.01)
		child.after(time.Second)
		c.work(0.01)
		return s.Done == 2 && child.d.Snapshot().Done == 2
	})
}
