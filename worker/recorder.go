package worker

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

const (
	groupSize = 256                    // outputs made durable together
	groupWait = 200 * time.Millisecond // the longest that a finished output, or its record, waits for company
	retryLast = 5 * time.Second        // the longest wait between two tries at a storage that fails
)

// outcome is news for the recorder: a file that user code has returned from, or an event.
type outcome struct {
	done    *file
	seconds float64

	event *spool.Event
	batch *batch // whose files the event settles; nil if none
}

// outcomes come in bursts: to hand over each of many quick files by itself would cost more than to deal with it.
type outcomes struct {
	list []outcome
	last bool // nothing else is under way: do not wait for company
}

// recorder publishes outputs and writes the journal. One goroutine owns both, so that a record never says more than the
// disk has. What the storage does not take it holds and tries again, and the engine, told, takes no more.
type recorder struct {
	w    *spool.Worker
	spec *spool.Spec
	log  *slog.Logger
	// narrator tells what became of each file; nil if nobody wants to know.
	narrator *narrator
	time     timing
	stop     context.CancelCauseFunc

	in     chan outcomes
	failed chan error  // why the storage does not take something
	stuck  atomic.Bool // something waits for the storage
	start  time.Time
	beat   spool.Event  // the last one
	beaten atomic.Int64 // when the journal last reached the file, in nanoseconds since start

	final bool             // nothing comes any more
	due   <-chan time.Time // of the next persist; nil if nothing waits
	retry time.Duration    // the last wait for the storage
	// syncedAt is when the journal was last synced.
	syncedAt time.Time
	group    []pending // not published, or not known to be durable
	ended    []*batch  // to be let go once the journal is written, with Fsync synced

	names   []spool.Name // done, for the next record
	seconds []float64
	of      *batch // the batch of names
}

func newRecorder(w *spool.Worker, spec *spool.Spec, c Config, stop context.CancelCauseFunc) *recorder {
	return &recorder{
		w: w, spec: spec, log: c.Log, narrator: newNarrator(c.Narrate), time: c.timing, stop: stop,
		in: make(chan outcomes, 16), failed: make(chan error, 1), start: time.Now(), syncedAt: time.Now(),
		beat: spool.Event{Kind: spool.EventBeat},
	}
}

// watch stops everything once the journal has not reached the file for too long, by this host's own monotonic clock.
func (r *recorder) watch(working context.Context) {
	limit := r.time.silence
	tick := time.NewTicker(limit / 30)
	defer tick.Stop()
	for {
		select {
		case <-working.Done():
			return
		case <-tick.C:
			if time.Since(r.start)-time.Duration(r.beaten.Load()) > limit {
				r.stop(&ending{spool.ExitNoHeartbeat, &spool.Failure{Type: "NoHeartbeat", Message: "the spool took no records for " + limit.String()}})
				return
			}
		}
	}
}

// run takes outcomes until in is closed, and then goes on until the storage has taken all of it. When working has ended
// it tries once: what is not recorded is found unfinished by whoever fences this worker.
func (r *recorder) run(working context.Context) {
	defer r.narrator.close()
	for open := true; open; {
		select {
		case o, ok := <-r.in:
			if open = ok; open {
				r.take(o)
			}
		case <-r.due:
			r.persist()
		}
	}
	r.final = true
	r.persist()
	for r.stuck.Load() && working.Err() == nil {
		select {
		case <-working.Done():
		case <-r.due:
			r.persist()
		}
	}
}

// take takes outcomes in, and does what is not to wait for company.
func (r *recorder) take(o outcomes) {
	urgent := o.last
	for i := range o.list {
		urgent = r.note(&o.list[i]) || urgent
	}
	if r.stuck.Load() { // it is tried again in its time
		return
	}
	if r.spec.Durability == spool.None {
		if err := r.publishGroup(); err != nil {
			r.hold(err)
			return
		}
	}
	switch {
	case urgent || len(r.group) >= groupSize || r.spec.Durability == spool.None && len(r.ended) > 0:
		r.persist()
	case r.due == nil:
		r.due = time.After(groupWait)
	}
}

// note takes in one outcome and reports whether it is urgent.
func (r *recorder) note(o *outcome) bool {
	if o.done != nil {
		r.group = append(r.group, pending{file: o.done, seconds: o.seconds})
		return false
	}
	r.event(*o.event)
	r.settle(o.batch, len(o.event.Files))
	r.tellOf(o.event)
	return !patient(o.event.Kind)
}

// tellOf narrates what an event means for its files.
func (r *recorder) tellOf(e *spool.Event) {
	op := protocol.OpAgain
	if e.Kind == spool.EventFailed {
		op = protocol.OpGivenUp
	}
	for _, name := range e.Files {
		r.tell(op, name)
	}
}

func (r *recorder) tell(op protocol.Op, name spool.Name) {
	if r.narrator != nil {
		r.narrator.tell(protocol.Narration{Op: op, Input: spool.Name(filepath.Join(string(r.spec.InputDir), string(name)))})
	}
}

// patient tells the events that many files may have in a short time.
func patient(kind spool.EventKind) bool {
	return kind == spool.EventFailed || kind == spool.EventGone || kind == spool.EventBack
}

// persist makes all that was taken so far as durable as the Task wants it. A journal that can be written is, even if
// outputs cannot be published: it shows that the worker lives.
func (r *recorder) persist() {
	r.due = nil
	grouped := len(r.group) > 0
	publishErr := r.publishGroup()
	r.flushNames()
	var journalErr error
	switch {
	case r.spec.Durability == spool.None && time.Since(r.syncedAt) < r.time.sync:
		if journalErr = r.w.Journal.Flush(); journalErr == nil {
			r.recorded(len(r.ended))
		}
	case grouped && publishErr == nil && !r.final: // it was synced with the group's data, up to the records of this group
		if journalErr = r.w.Journal.Flush(); journalErr == nil && !r.w.Journal.Synced() {
			r.due = time.After(groupWait)
		}
	default:
		journalErr = r.syncJournal()
	}
	if err := errors.Join(publishErr, journalErr); err != nil {
		r.hold(err)
		return
	}
	r.stuck.Store(false)
	r.retry = 0
}

// syncJournal brings all records so far onto the disk. Nobody else may use the journal meanwhile.
func (r *recorder) syncJournal() error {
	ended := len(r.ended)
	err := r.w.Journal.Sync()
	if err == nil {
		r.syncedAt = time.Now()
		r.recorded(ended)
	}
	return err
}

// recorded notes that the journal is as safe as the Task wants it, and lets go of the first batches that ended.
func (r *recorder) recorded(ended int) {
	failpoint.Reach(failpoint.WorkerJournaled)
	r.beaten.Store(int64(time.Since(r.start)))
	for _, b := range r.ended[:ended] {
		if err := r.w.Drop(b.id); err != nil {
			r.log.Warn("letting go of a batch", "batch", b.id.String(), "error", err) // its outcomes are in the journal
			continue
		}
		b.gone.Store(true)
	}
	if ended > 0 {
		failpoint.Reach(failpoint.WorkerDropped)
	}
	r.ended = append(r.ended[:0], r.ended[ended:]...)
}

// hold has persist called again later, and the engine take no more until then.
func (r *recorder) hold(err error) {
	r.retry = min(max(2*r.retry, r.time.probe), retryLast)
	r.due = time.After(r.retry)
	first := !r.stuck.Swap(true)
	if _, fenced := errors.AsType[*ending](err); fenced {
		return
	}
	if first {
		r.log.Warn("the storage does not take what is done", "error", err)
	}
	r.complain(err)
}

// complain has the engine take no more files for now.
func (r *recorder) complain(err error) {
	select {
	case r.failed <- err:
	default: // it has yet to hear the last one
	}
}

// done notes a published output. Names of one batch share a record.
func (r *recorder) done(p *pending) {
	if r.of != p.file.batch {
		r.flushNames()
		r.of = p.file.batch
	}
	r.names, r.seconds = append(r.names, p.file.name), append(r.seconds, p.seconds)
	r.settle(p.file.batch, 1)
}

func (r *recorder) flushNames() {
	if len(r.names) > 0 {
		r.append(spool.Event{Kind: spool.EventDone, Batch: r.of.id.String(), Files: r.names, Seconds: r.seconds})
		r.names, r.seconds = r.names[:0], r.seconds[:0]
	}
}

// event adds an event behind all earlier ones.
func (r *recorder) event(e spool.Event) {
	if e.Kind == spool.EventBeat {
		r.beat = e
	}
	r.flushNames()
	r.append(e)
}

func (r *recorder) append(e spool.Event) {
	if err := r.w.Journal.Append(e); err != nil {
		r.log.Error("an event is not recorded", "kind", e.Kind, "error", err)
	}
}

func (r *recorder) settle(b *batch, n int) {
	if b == nil {
		return
	}
	if b.left -= n; b.left == 0 {
		r.ended = append(r.ended, b)
	}
}
