package spool

import (
	"encoding/json"
	"fmt"
	"time"
)

// latePatience is how long the ledger of a dispatcher that was superseded is read on: clients of a network file system may
// show its end that much later.
const latePatience = 2 * time.Minute

// History reads what the dispatchers of a Task have put down, over all epochs, as it comes.
type History struct {
	spool  *Spool
	epoch  int
	tail   *Tail
	closed bool // the present epoch's last entry says so
	late   []lateTail
}

type lateTail struct {
	tail  *Tail
	until time.Time
}

// History begins at the first epoch.
func (s *Spool) History() *History { return &History{spool: s} }

// Path is the ledger that news will come from.
func (h *History) Path() string { return h.spool.ledgerPath(max(1, h.epoch)) }

// Read calls fn with each new entry. It stops at the end of what is there, or at an error of fn: that entry comes again.
func (h *History) Read(fn func(Entry) error) error {
	kept := h.late[:0]
	for _, l := range h.late {
		if err := h.read(l.tail, fn); err != nil {
			return err
		}
		if time.Now().Before(l.until) {
			kept = append(kept, l)
		}
	}
	h.late = kept
	for {
		top, err := h.spool.topEpoch() // before the reading: whatever came before that epoch is then seen
		if err != nil {
			return err
		}
		if h.tail == nil && top > 0 {
			h.epoch, h.tail = 1, &Tail{path: h.spool.ledgerPath(1)}
		}
		if h.tail == nil {
			return nil
		}
		if err := h.read(h.tail, fn); err != nil {
			return err
		}
		if h.epoch >= top {
			return nil
		}
		if !h.closed {
			h.late = append(h.late, lateTail{h.tail, time.Now().Add(latePatience)})
		}
		h.epoch++
		h.tail, h.closed = &Tail{path: h.spool.ledgerPath(h.epoch)}, false
	}
}

func (h *History) read(t *Tail, fn func(Entry) error) error {
	return t.Read(func(payload []byte, _ int64) error {
		var e Entry
		if err := json.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("%s: %w", t.path, err)
		}
		if t == h.tail {
			h.closed = e.Kind == EntryClosed
		}
		return fn(e)
	})
}

// Sync brings onto the disk what was read of the present epoch and the last ones, whoever wrote it.
func (h *History) Sync() error {
	if h.tail == nil {
		return nil
	}
	for _, l := range h.late {
		if err := SyncFile(l.tail.path); err != nil {
			return err
		}
	}
	return SyncFile(h.tail.path)
}
