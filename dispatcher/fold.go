package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

const (
	foldBytes    = 1 << 20 // of events in one ledger entry: failures with tracebacks are long
	storageLimit = 5       // storage failures of one file, while all else goes well, before they count as its own
)

// worker is a live worker as its journal shows it.
type worker struct {
	id      string
	tail    *spool.Tail
	beat    time.Time // when there was last news of it, by our clock
	beats   int64
	inHand  []spool.InHand
	trouble *Trouble
	exit    *spool.Exit
	ended   *End // what the caller witnessed
}

// fold reads the news of all live workers.
func (d *Dispatcher) fold(_ context.Context, now time.Time) error {
	if err := d.enlist(now); err != nil {
		return err
	}
	for _, w := range d.workers {
		if w == nil { // ended long ago
			continue
		}
		if err := d.foldWorker(w, now); err != nil {
			return err
		}
	}
	return nil
}

// meet begins to follow a worker.
func (d *Dispatcher) meet(id string, offset int64, now time.Time) {
	d.workers[id] = &worker{id: id, tail: d.spool.JournalTail(id, offset), beat: now}
	if d.cfg.Rest == 0 { // else it would be called from its rest with every file
		d.wake.Add(d.spool.JournalPath(id))
	}
}

// foldWorker reads what is new in one journal into the ledger and the index.
func (d *Dispatcher) foldWorker(w *worker, now time.Time) error {
	for {
		f := folding{d: d, w: w, now: now, entry: spool.Entry{Kind: spool.EntryFold, Worker: w.id}}
		err := w.tail.Read(f.event)
		if f.news { // though the storage may have failed behind it: it is not read again
			failpoint.Reach(failpoint.DispatcherFolded)
			w.beat, d.quiet = now, 0
			f.entry.Offset = w.tail.Offset()
			if err := d.append(f.entry); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			return d.readExit(w)
		case !errors.Is(err, errFull):
			return fmt.Errorf("reading the journal of %s: %w", w.id, err)
		}
	}
}

// readExit notes a worker's own word that it has ended.
func (d *Dispatcher) readExit(w *worker) error {
	if w.exit != nil {
		return nil
	}
	exit, err := d.spool.ReadExit(w.id)
	if err == nil {
		w.exit = &exit
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

var errFull = errors.New("the entry is full")

// folding turns events of one worker into one ledger entry.
type folding struct {
	d     *Dispatcher
	w     *worker
	now   time.Time
	entry spool.Entry
	size  int // of its events, in bytes
	news  bool
}

func (f *folding) event(payload []byte, _ int64) error {
	if f.size >= foldBytes {
		return errFull
	}
	var e spool.Event
	if err := json.Unmarshal(payload, &e); err != nil {
		return fmt.Errorf("an event: %w", err)
	}
	if e.Kind == spool.EventBeat {
		f.w.beat, f.w.beats, f.w.inHand = f.now, e.Count, e.InHand
		return nil
	}
	f.news = true
	f.size += len(payload)
	id, _ := spool.ParseBatchID(e.Batch) // events that have none need none
	switch e.Kind {
	case spool.EventDone:
		f.done(e)
	case spool.EventPaused:
		f.w.trouble = &Trouble{Full: e.Failure.Type == "StorageFull", Message: e.Failure.Message}
	case spool.EventResumed:
		f.w.trouble = nil
	case spool.EventBad:
		if b := f.d.byID[id]; b != nil {
			f.giveBack(f.d.rest(b))
		}
	default:
		for _, name := range e.Files {
			if f.d.in(name, id) || f.untold(name, id, e.Kind) { // else it is old news: the file has moved on
				f.file(name, e)
			}
		}
	}
	return nil
}

func (f *folding) done(e spool.Event) {
	for i, name := range e.Files {
		if f.d.at(name) == placeDone {
			continue
		}
		f.d.move(name, placeDone)
		f.d.breaker.succeeded()
		f.entry.Done = append(f.entry.Done, name)
		if i < len(e.Seconds) {
			f.entry.Seconds += e.Seconds[i]
			f.d.learn(e.Seconds[i])
		}
	}
}

// untold reports whether an event is of a run that no dispatcher has counted: its worker let go of the batch, and the
// dispatcher that fed it did not live to tell.
func (f *folding) untold(name spool.Name, id spool.BatchID, kind spool.EventKind) bool {
	if f.d.byID[id] != nil || id.Epoch >= f.d.lock.Epoch() {
		return false
	}
	switch kind {
	case spool.EventFailed, spool.EventCrashed, spool.EventStorage:
		p := f.d.at(name)
		return !p.known() || p == placeWaiting || p == placeDelayed
	default:
		return false
	}
}

func (f *folding) file(name spool.Name, e spool.Event) {
	switch e.Kind {
	case spool.EventFailed:
		f.tried(name, spool.Try{File: name, Failure: e.Failure})
	case spool.EventStorage:
		f.tried(name, spool.Try{File: name, Storage: true, Failure: e.Failure})
	case spool.EventCrashed:
		if !e.Suspects {
			f.tried(name, spool.Try{File: name, Crashed: true, Failure: e.Failure})
			return
		}
		f.d.suspect(name)
		f.d.move(name, placeWaiting)
		f.entry.Suspect = append(f.entry.Suspect, name)
	case spool.EventGone:
		f.d.forget(name)
		f.d.stager.unstage(f.d.file(name))
		f.d.miss(name, f.now)
		f.d.inputs.stale() // if it is there after all, the next listing finds it
		f.entry.Gone = append(f.entry.Gone, name)
	default:
		f.giveBack([]spool.Name{name})
	}
}

func (f *folding) giveBack(names []spool.Name) {
	for _, name := range names {
		f.d.move(name, placeWaiting)
	}
	f.entry.Back = append(f.entry.Back, names...)
}

func (f *folding) tried(name spool.Name, t spool.Try) {
	f.entry.Tried = append(f.entry.Tried, t)
	f.d.tried(t, f.w.id)
	f.d.again(name, f.now)
}

// tried adds an attempt to what is known of a file.
func (d *Dispatcher) tried(t spool.Try, worker string) {
	f := d.file(t.File)
	r := d.tries[f]
	switch {
	case t.Crashed:
		r.crashes++
	case t.Storage:
		r.storage++
	default:
		r.attempts++
	}
	d.tries[f] = r
	if d.lost(f) { // else it is not needed, and may be long
		d.causes[f] = cause{failure: t.Failure, worker: worker}
	}
}

// again decides what becomes of a file that did not succeed: another run, after a while, or the verdict.
func (d *Dispatcher) again(name spool.Name, now time.Time) {
	f := d.file(name)
	if d.lost(f) {
		d.put(f, placeTaken)
		d.verdicts = append(d.verdicts, name)
		return
	}
	wait := time.Duration(d.spec.Retry.Backoff)
	if d.tries[f].attempts == 0 { // not its own doing, or a crash: the engine's own short wait
		wait = min(wait, time.Second)
	}
	d.delay(name, now.Add(wait+rand.N(wait/4+1)))
}

// lost reports whether a file has used up its runs.
func (d *Dispatcher) lost(f file) bool {
	t, r := d.tries[f], d.spec.Retry
	return int(t.attempts) >= max(1, r.Attempts) || int(t.crashes) >= max(1, r.CrashLimit) || t.storage >= storageLimit
}

// learn takes a duration into the pace.
func (d *Dispatcher) learn(seconds float64) {
	if d.pace == 0 {
		d.pace = seconds
	}
	d.pace += (seconds - d.pace) / 16
}
