package worker

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

const (
	claimAmong = 16 // batches at the head of the queue among which a worker picks, so that many do not want the same
	pollFirst  = 5 * time.Millisecond
	pollLast   = 5 * time.Second
	// aheadBelow is the pace in seconds per file up to which the handler has its next file before it is through with
	// one. For slower files it would gain nothing, and the file would wait behind a long one.
	aheadBelow = 0.1
	// holdLimit is how long a file may be in hand before the worker gives back those that wait behind it.
	holdLimit = 10 * time.Second
)

// fill hands files to the handler as long as it can use them.
func (e *engine) fill(now time.Time) {
	for e.end == nil && e.trouble == nil && len(e.flying) < e.window() {
		f := e.next(now)
		if f == nil {
			return
		}
		if f.batch.alone && !e.freshen() {
			e.again = append([]*file{f}, e.again...)
			return
		}
		e.send(f, now)
	}
}

func (e *engine) window() int {
	if len(e.flying) > 0 && e.pace < aheadBelow && !e.alone() {
		return e.width + 1
	}
	return e.width
}

// alone reports whether a suspect is in hand: then nothing else may be.
func (e *engine) alone() bool {
	for _, f := range e.flying {
		if f.batch.alone {
			return true
		}
	}
	return false
}

// freshen reports whether the handler is one that a suspect may have for itself, and sees to it that one comes.
func (e *engine) freshen() bool {
	if len(e.flying) > 0 {
		return false
	}
	if !e.used {
		return true
	}
	e.h.Kill() // its Results end, and another is started
	return false
}

// next is the next file to begin, or nil if there is none now.
func (e *engine) next(now time.Time) *file {
	if len(e.again) > 0 {
		f := e.again[0]
		e.again = e.again[1:]
		return f
	}
	if len(e.batches) == 0 && !e.draining && !now.Before(e.nextPoll) && !e.alone() {
		e.claim(now)
	}
	if len(e.batches) == 0 {
		return nil
	}
	b := e.batches[0]
	if b.alone && len(e.flying) > 0 {
		return nil
	}
	f := e.newFile(b, b.next)
	if b.next++; b.next == len(b.files) {
		e.batches = e.batches[1:]
	}
	return f
}

func (e *engine) newFile(b *batch, index int) *file {
	name := b.files[index]
	stem, _ := spool.MatchInput(string(name), e.spec.InputExt)
	return &file{
		batch: b, index: index, name: name,
		input:  filepath.Join(string(e.spec.InputDir), string(name)),
		output: filepath.Join(string(e.spec.OutputDir), spool.OutputName(stem, e.spec.OutputExt)),
	}
}

// claim takes a batch out of the queue, and looks again later if there is none.
func (e *engine) claim(now time.Time) {
	ids, err := e.spool.Queue()
	if err != nil {
		e.log.Warn("reading the queue", "error", err)
	}
	slices.SortFunc(ids, spool.BatchID.Compare)
	ids = ids[:min(len(ids), claimAmong)]
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		if e.claimOne(id) {
			e.polls = 0
			return
		}
	}
	wait := min(pollFirst<<min(e.polls, 20), pollLast)
	e.polls++
	e.nextPoll = now.Add(wait/2 + rand.N(wait/2+1)) // jitter: a fleet must not poll in step
}

func (e *engine) claimOne(id spool.BatchID) bool {
	content, ok, err := e.w.Claim(id)
	if !ok {
		if err != nil {
			e.log.Warn("claiming", "error", err)
		}
		return false
	}
	if top, topErr := e.w.Epoch(); err == nil && topErr == nil && id.Epoch < top { // fed by a zombie
		if err := e.w.Drop(id); err != nil {
			e.log.Warn("dropping a batch of an old epoch", "error", err)
		}
		return false
	}
	b := &batch{id: id, files: content.Files, alone: content.Alone, left: len(content.Files)}
	if err != nil || len(content.Files) == 0 {
		e.log.Warn("a batch is unreadable", "batch", id.String(), "error", err)
		b.left = 0
		e.record(outcome{event: spool.Event{Kind: spool.EventBad, Batch: id.String()}, batch: b})
		return false
	}
	e.batches = append(e.batches, b)
	return true
}

// send gives a file to the handler.
func (e *engine) send(f *file, now time.Time) {
	if f.tmp == "" {
		tmp, err := e.w.NewTemp(e.spec.OutputExt)
		if err != nil {
			e.again = append([]*file{f}, e.again...)
			e.pause(err, now)
			return
		}
		f.tmp = tmp
	}
	f.slot = e.slots[len(e.slots)-1]
	e.slots = e.slots[:len(e.slots)-1]
	e.lastID++
	e.flying[e.lastID] = f
	e.order = append(e.order, e.lastID)
	if len(e.order) <= e.width {
		f.begun = now
	}
	e.used = true
	mark := spool.Mark{Batch: f.batch.id, Index: f.index}
	err := e.h.Run(handler.Request{ID: e.lastID, Input: f.input, Output: f.tmp, Slot: f.slot, Mark: mark.String()})
	if err != nil { // it has died; the end of its Results says the rest
		e.log.Debug("handing a file over", "error", err)
	}
}

// pause stops taking because of the storage, until a probe succeeds.
func (e *engine) pause(err error, now time.Time) {
	if e.w.Fenced() {
		e.finish(spool.ExitFenced, nil)
		return
	}
	if e.probeGap = min(2*e.probeGap, 30*time.Second); e.probeGap == 0 {
		e.probeGap = time.Second
	}
	e.trouble, e.probeAt = err, now.Add(e.probeGap)
	kind := "StorageError"
	if spool.IsFull(err) {
		kind = "StorageFull"
	}
	e.log.Warn("waiting for the storage", "error", err)
	e.record(outcome{event: spool.Event{Kind: spool.EventPaused, Failure: &spool.Failure{Type: kind, Message: err.Error()}}})
}

// probe looks whether the storage is well again.
func (e *engine) probe(now time.Time) {
	if err := e.w.Room(); err != nil {
		e.probeGap = min(2*e.probeGap, 30*time.Second)
		e.probeAt = now.Add(e.probeGap)
		return
	}
	e.trouble = nil
	e.record(outcome{event: spool.Event{Kind: spool.EventResumed}})
}

// giveBack returns the files that were not begun, so that others can have them.
func (e *engine) giveBack() {
	for _, b := range e.batches {
		e.record(outcome{event: spool.Event{Kind: spool.EventBack, Batch: b.id.String(), Files: b.files[b.next:]}, batch: b})
	}
	e.batches = nil
	for _, f := range e.again {
		e.back(f)
	}
	e.again = nil
}

// back returns one file that was prepared, or was in hand through no fault of its own.
func (e *engine) back(f *file) {
	if f.tmp != "" {
		if err := e.w.Discard(f.tmp); err != nil && !errors.Is(err, syscall.ENOENT) {
			e.log.Warn("removing a temporary", "error", err)
		}
	}
	e.record(outcome{event: spool.Event{Kind: spool.EventBack, Batch: f.batch.id.String(), Files: []spool.Name{f.name}}, batch: f.batch})
}
