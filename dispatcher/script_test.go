package dispatcher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// script is a worker that does what a test says, by the means that real workers have.
type script struct {
	t    testing.TB
	s    *spool.Spool
	w    *spool.Worker
	id   string
	held []*holding
}

// holding is a claimed batch with the files that have no outcome yet.
type holding struct {
	id    spool.BatchID
	files []spool.Name
	open  []spool.Name
	alone bool
}

func (r *rig) worker(index, restart int) *script {
	r.t.Helper()
	id := fmt.Sprintf("%s.%d.r%d", r.s.ID(), index, restart)
	w, born, err := r.s.Bear(id, spool.Born{})
	must(r.t, err)
	if !born {
		r.t.Fatalf("the slot of %s is taken", id)
	}
	r.t.Cleanup(func() { _ = w.Current.Close() }) // closed already by Exit
	return &script{t: r.t, s: r.s, w: w, id: id}
}

// claim takes the oldest batch; nil if there is none.
func (c *script) claim() *holding {
	c.t.Helper()
	ids, err := c.s.Queue()
	must(c.t, err)
	if len(ids) == 0 {
		return nil
	}
	return c.take(slices.MinFunc(ids, spool.BatchID.Compare))
}

// take claims one batch; nil if it is a zombie's.
func (c *script) take(id spool.BatchID) *holding {
	c.t.Helper()
	b, ok, err := c.w.Claim(id)
	must(c.t, err)
	if !ok {
		c.t.Fatalf("batch %s is gone", id)
	}
	if top, err := c.w.Epoch(); err != nil || id.Epoch < top {
		must(c.t, err)
		must(c.t, c.w.Drop(id))
		return nil
	}
	h := &holding{id: id, files: b.Files, open: slices.Clone(b.Files), alone: b.Alone}
	c.held = append(c.held, h)
	return h
}

// mustClaim claims the batch that has just these files.
func (r *rig) mustClaim(c *script, names ...spool.Name) *holding {
	r.t.Helper()
	b := r.d.batches[r.d.at(names[0])]
	if b == nil || !slices.Equal(b.files, names) {
		r.t.Fatalf("there is no batch of %q", names)
	}
	return c.take(b.id)
}

// begin notes files as being in hand, the first in slot 0.
func (c *script) begin(h *holding, names ...spool.Name) {
	c.t.Helper()
	for slot, n := range names {
		mark := spool.Mark{Batch: h.id, Index: slices.Index(h.files, n)}
		_, err := c.w.Current.WriteAt(fmt.Appendf(nil, "%-*s\n", spool.SlotSize-1, mark), int64(slot*spool.SlotSize))
		must(c.t, err)
	}
}

// publish makes the output of a file without a word in the journal.
func (c *script) publish(name spool.Name) {
	c.t.Helper()
	spec := c.s.Spec()
	tmp, err := c.w.NewTemp(spec.OutputExt)
	must(c.t, err)
	must(c.t, os.WriteFile(tmp, []byte(name), 0o666))
	info, failure, err := c.w.Inspect(tmp)
	must(c.t, err)
	if failure != nil {
		c.t.Fatal(failure.Message)
	}
	stem, _ := spool.MatchInput(string(name), spec.InputExt)
	mine, err := c.w.Publish(tmp, filepath.Join(string(spec.OutputDir), spool.OutputName(stem, spec.OutputExt)), info)
	must(c.t, err)
	if !mine {
		must(c.t, c.w.Discard(tmp))
	}
}

// tell writes an event on files of a batch, and lets the batch go with its last outcome.
func (c *script) tell(h *holding, e spool.Event, names ...spool.Name) {
	c.t.Helper()
	e.Batch, e.Files = h.id.String(), names
	must(c.t, c.w.Journal.Append(e))
	must(c.t, c.w.Journal.Flush())
	h.open = slices.DeleteFunc(h.open, func(n spool.Name) bool { return slices.Contains(names, n) })
	if len(h.open) == 0 {
		c.drop(h)
	}
}

func (c *script) drop(h *holding) {
	c.t.Helper()
	must(c.t, c.w.Drop(h.id))
	c.held = slices.DeleteFunc(c.held, func(other *holding) bool { return other == h })
}

func (c *script) done(h *holding, seconds float64, names ...spool.Name) {
	c.t.Helper()
	e := spool.Event{Kind: spool.EventDone}
	for _, n := range names {
		c.publish(n)
		e.Seconds = append(e.Seconds, seconds)
	}
	c.tell(h, e, names...)
}

func (c *script) fail(h *holding, message string, names ...spool.Name) {
	c.t.Helper()
	c.tell(h, spool.Event{Kind: spool.EventFailed, Failure: &spool.Failure{Type: "ValueError", Message: message, Traceback: "line 1", ExitCode: 7}}, names...)
}

// work does all that the queue has; seconds is what each file takes.
func (c *script) work(seconds float64) {
	c.t.Helper()
	for h := c.claim(); h != nil; h = c.claim() {
		c.done(h, seconds, h.open...)
	}
}

func (c *script) exit(reason spool.ExitReason) {
	c.t.Helper()
	must(c.t, c.w.Exit(reason, nil))
}

// finish has a worker do all there is, until the Task is drained.
func (r *rig) finish(c *script) *Snapshot {
	r.t.Helper()
	return r.rounds("drained", func(s *Snapshot) bool {
		c.work(0.01)
		return s.Drained
	})
}
