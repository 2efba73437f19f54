package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// history is what ledgers and journals tell of a file.
type history struct {
	done, failed bool // the last word of the ledgers
	deleted      bool // its output was not needed any more
	folds        int  // how often journals told that it is done, since it was last requeued
	worker       string
	epoch        int  // worker and epoch of the last of these
	told         bool // a ledger has told at some time that it is done
	journaled    bool // a journal tells that it is done, and no ledger has read that yet
}

func (c *checker) of(name Name) *history {
	h := c.files[name]
	if h == nil {
		h = &history{}
		c.files[name] = h
	}
	return h
}

func (c *checker) readLedgers() error {
	for epoch := 1; epoch <= c.top; epoch++ {
		path := c.s.ledgerPath(epoch)
		rest, err := c.readRecords(path, func(payload []byte, _ int64) error {
			var e Entry
			if err := json.Unmarshal(payload, &e); err != nil {
				return err
			}
			c.entry(epoch, e)
			return nil
		})
		if err != nil {
			return err
		}
		if epoch < c.top || c.report.Settled {
			c.checkRest(path, rest, false)
		}
	}
	return nil
}

func (c *checker) entry(epoch int, e Entry) {
	if e.Kind == EntryFold || e.Kind == EntryEnded {
		c.folded[e.Worker] = max(c.folded[e.Worker], e.Offset)
	}
	for _, name := range e.Done {
		h := c.of(name)
		h.done, h.failed, h.told = true, false, true
		if e.Kind == EntryFold && (h.folds == 0 || h.worker != e.Worker || h.epoch == epoch) {
			// Else two dispatchers have read the same record: one was being superseded and did not know it yet.
			h.folds++
			h.worker, h.epoch = e.Worker, epoch
		}
	}
	if e.Kind == EntryFailed {
		h := c.of(e.File)
		h.done, h.failed = false, true
	}
	if e.Kind == EntryDeleting {
		for _, name := range e.Deleted {
			c.of(name).deleted = true
		}
	}
	if e.Kind == EntryRequeued {
		for _, name := range e.Back {
			h := c.of(name)
			h.done, h.failed, h.deleted, h.folds = false, false, false, 0
		}
	}
}

func (c *checker) readJournals() error {
	ids, err := c.s.Workers()
	if err != nil {
		return err
	}
	for _, id := range ids {
		path := c.s.journalPath(id)
		fenced := c.s.IsFenced(id)
		_, exitErr := os.Lstat(c.s.exitPath(id)) // comes behind the journal's last record, so it is looked for first
		rest, err := c.readRecords(path, func(payload []byte, end int64) error {
			var e Event
			if err := json.Unmarshal(payload, &e); err != nil {
				return err
			}
			if e.Kind == EventDone {
				c.doneEvent(e, path, end <= c.folded[id], fenced)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if exitErr == nil || fenced && c.report.Settled {
			c.checkRest(path, rest, exitErr == nil)
		}
	}
	return nil
}

// doneEvent notes what a journal says. The word of a fenced worker that nobody has folded counts for nothing: its outputs
// were looked for on disk.
func (c *checker) doneEvent(e Event, path string, folded, fenced bool) {
	for _, name := range e.Files {
		h := c.of(name)
		switch {
		case folded && !h.told:
			c.never(ProblemNotFolded, path, "%q is done, and the ledger that has read so far does not say it", name)
		case !folded && !fenced:
			h.journaled = true
		}
	}
}

// readRecords reads a journal or ledger, and returns what follows the last record that can be read. A record that is whole
// and that fn cannot take is damage.
func (c *checker) readRecords(path string, fn func(payload []byte, end int64) error) (rest []byte, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) { // a worker that was fenced before it was born
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var off int64
	for {
		payload, n, _ := NextRecord(data[off:])
		if n == 0 {
			return data[off:], nil
		}
		off += int64(n)
		if err := fn(payload, off); err != nil {
			c.never(ProblemCorrupt, path, "the record that ends at byte %d: %v", off, err)
		}
	}
}

// checkRest judges what follows the last record of a file that nobody writes any more. A crash may have torn the last
// record off, but whole ones behind it mean damage – unless NULs are between: a host that is lost may have written a later
// page and not the one before. Whoever ended in good order left nothing.
func (c *checker) checkRest(path string, rest []byte, inOrder bool) {
	if len(rest) == 0 {
		return
	}
	for b := rest; ; {
		_, after, found := bytes.Cut(b, []byte{'\n'})
		if !found {
			break
		}
		if _, _, err := NextRecord(after); err == nil && (inOrder || !bytes.Contains(rest[:len(rest)-len(after)], []byte{0})) {
			c.never(ProblemCorrupt, path, "the record %d bytes before the end is damaged, and whole ones follow it", len(rest))
			return
		}
		b = after
	}
	if inOrder {
		c.never(ProblemCorrupt, path, "the last %d bytes are no record, although the writer ended in good order", len(rest))
	}
}
