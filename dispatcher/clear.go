package dispatcher

import (
	"context"
	"errors"
	"io/fs"
	"math/bits"
	"os"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// clearing deletes files that nobody needs any more: what this Task gets, or what it makes. That a file is to be deleted
// is on disk before it goes; that it went follows. What stands between is deleted again by the next dispatcher.
type clearing struct {
	kind, done spool.EntryKind
	sources    []*source
	path       func(spool.Name) string

	marks   map[file]uint64 // which sources are done with a file, while not all are; a bit for each
	ready   []file          // all are done with these
	gone    fileSet         // deleted, or about to be
	missed  map[file]uint64 // of these, those that sources have to do again; a bit for each. nil: they cannot be made again
	pending []spool.Name    // about to be, says the ledger
}

func (c *clearing) from(dirs []string, name func(*spool.Spec, spool.Name) (spool.Name, bool)) {
	c.marks = map[file]uint64{}
	for _, dir := range dirs {
		c.sources = append(c.sources, &source{dir: dir, name: name})
	}
}

// replay takes up what an earlier ledger says of deletions.
func (c *clearing) replay(x *index, e spool.Entry) {
	switch e.Kind {
	case c.kind:
		for _, name := range e.Deleted {
			c.gone.Add(x.file(name))
		}
		c.pending = append(c.pending, e.Deleted...)
	case c.done:
		c.pending = c.pending[:0]
	case spool.EntryRequeued:
		for _, name := range e.Back {
			if c.kind == spool.EntryDeleting { // there is another output, or will be
				c.gone.Remove(x.file(name))
			}
		}
	default: // of something else
	}
}

// replayDeletions takes up what an earlier ledger says of them.
func (d *Dispatcher) replayDeletions(e spool.Entry) {
	for _, c := range d.chain.clear {
		c.replay(d.index, e)
	}
}

// clearUp deletes what is to be deleted.
func (d *Dispatcher) clearUp(ctx context.Context, _ time.Time) error {
	for _, c := range d.chain.clear {
		if len(c.pending) > 0 {
			if err := d.unlink(c); err != nil {
				return err
			}
		}
		for i := range c.sources {
			if err := d.consumed(ctx, c, i); err != nil {
				return err
			}
		}
		if err := d.makeAgain(c); err != nil {
			return err
		}
		if err := d.deleteReady(c); err != nil {
			return err
		}
	}
	return nil
}

// consumed reads what one source is done with.
func (d *Dispatcher) consumed(ctx context.Context, c *clearing, i int) error {
	s, bit := c.sources[i], uint64(1)<<i
	return s.read(d, func(e spool.Entry) error {
		for _, theirs := range e.Done {
			if name, ok := s.name(s.spec, theirs); ok {
				c.mark(d.file(name), bit)
			}
		}
		if e.Kind == spool.EntryRequeued {
			for _, theirs := range e.Back {
				if name, ok := s.name(s.spec, theirs); ok {
					c.unmark(d.file(name), bit)
				}
			}
		}
		return errors.Join(ctx.Err(), d.keep(time.Now()))
	})
}

func (c *clearing) mark(f file, bit uint64) {
	if c.gone.Has(f) {
		c.miss(f, c.missed[f]&^bit)
		return
	}
	marks := c.marks[f] | bit
	if c.marks[f] = marks; bits.OnesCount64(marks) == len(c.sources) {
		c.ready = append(c.ready, f)
	}
}

func (c *clearing) unmark(f file, bit uint64) {
	if c.gone.Has(f) {
		c.miss(f, c.missed[f]|bit)
		return
	}
	if c.marks[f] &^= bit; c.marks[f] == 0 {
		delete(c.marks, f)
	}
}

// miss notes which sources need a file that was deleted.
func (c *clearing) miss(f file, by uint64) {
	switch {
	case c.missed == nil:
	case by == 0:
		delete(c.missed, f)
	default:
		c.missed[f] = by
	}
}

// makeAgain has files run again whose outputs were deleted when all sources were done with them, and one is not any more: a
// person has removed its own output.
func (d *Dispatcher) makeAgain(c *clearing) error {
	if len(c.missed) == 0 {
		return nil
	}
	names := make([]spool.Name, 0, len(c.missed))
	for f := range c.missed {
		names = append(names, d.name(f))
	}
	slices.Sort(names)
	if err := d.requeue(names, "its output was deleted, and a task needs it again"); err != nil {
		return err
	}
	for f, by := range c.missed {
		c.gone.Remove(f)
		c.marks[f] = (1<<len(c.sources) - 1) &^ by
		if c.marks[f] == 0 {
			delete(c.marks, f)
		}
	}
	clear(c.missed)
	return nil
}

// deleteReady deletes what all sources are done with, if this Task is, too.
func (d *Dispatcher) deleteReady(c *clearing) error {
	if len(c.ready) == 0 {
		return nil
	}
	var now, later []file
	for _, f := range c.ready {
		switch {
		case c.gone.Has(f) || bits.OnesCount64(c.marks[f]) < len(c.sources): // a source has taken its word back
		case d.places[f] != placeDone:
			later = append(later, f)
		default:
			now = append(now, f)
		}
	}
	if c.ready = later; len(now) == 0 {
		return nil
	}
	for _, s := range c.sources {
		if err := s.history.Sync(); err != nil {
			c.ready = append(c.ready, now...)
			return err
		}
	}
	for chunk := range slices.Chunk(now, requeueChunk) {
		if err := errors.Join(d.intend(c, chunk), d.unlink(c)); err != nil {
			c.ready = append(c.ready, now...) // those that are gone by then are passed over
			return err
		}
	}
	return nil
}

// intend puts onto the disk that files are to be deleted.
func (d *Dispatcher) intend(c *clearing, files []file) error {
	if err := d.keep(time.Now()); err != nil {
		return err
	}
	for _, f := range files {
		c.pending = append(c.pending, d.name(f))
		c.gone.Add(f)
		delete(c.marks, f)
	}
	return d.append(spool.Entry{Kind: c.kind, Deleted: slices.Clone(c.pending)})
}

// unlink deletes what the ledger says is to be deleted.
func (d *Dispatcher) unlink(c *clearing) error {
	if err := d.lock.Sync(); err != nil {
		return err
	}
	for _, name := range c.pending {
		if err := os.Remove(c.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	c.pending = c.pending[:0]
	if err := d.append(spool.Entry{Kind: c.done}); err != nil {
		return err
	}
	return d.lock.Flush() // at once: what comes under such a name from now on is to stay
}
