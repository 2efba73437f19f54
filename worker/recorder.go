package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const (
	groupSize   = 64                     // outputs made durable together
	groupWait   = 200 * time.Millisecond // the longest that a finished output waits for company
	flushPeriod = time.Second            // the longest that a record stays in memory
)

// outcome is news for the recorder: a file that user code has returned from, or an event.
type outcome struct {
	done    *file
	seconds float64

	event spool.Event
	batch *batch // whose files the event settles; nil if none

	last bool // nothing else is under way: do not wait for company
}

// recorder publishes outputs and writes the journal. One goroutine owns both, so that a record never says more than the
// disk has; while the storage does not take them it holds everything and the engine, waiting for it, takes no more.
type recorder struct {
	w    *spool.Worker
	spec *spool.Spec
	log  *slog.Logger

	in     chan outcome
	fenced chan struct{} // closed when the worker's folder was found gone
	silent chan struct{} // closed by watch
	start  time.Time
	beaten atomic.Int64 // when the journal last reached the file, in nanoseconds since start

	group []*pending // not published, or not known to be durable
	ended []*batch   // to be let go once the journal is written

	names   []spool.Name // done, for the next record
	seconds []float64
	of      *batch // the batch of names
}

func newRecorder(w *spool.Worker, spec *spool.Spec, log *slog.Logger) *recorder {
	return &recorder{w: w, spec: spec, log: log, in: make(chan outcome, 256), fenced: make(chan struct{}), silent: make(chan struct{}), start: time.Now()}
}

// watch closes silent once the journal has not reached the file for noBeatLimit, by this host's own monotonic clock.
func (r *recorder) watch(working context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-working.Done():
			return
		case <-tick.C:
			if time.Since(r.start)-time.Duration(r.beaten.Load()) > noBeatLimit {
				close(r.silent)
				return
			}
		}
	}
}

// run takes outcomes until in is closed. When working ends it does not wait any more for a storage that fails: what it
// then holds is found unfinished by whoever fences this worker.
func (r *recorder) run(working context.Context) {
	var due <-chan time.Time
	for {
		select {
		case o, ok := <-r.in:
			if !ok {
				r.persist(working)
				return
			}
			if r.take(o) || len(r.group) >= groupSize || len(r.ended) > 0 {
				r.persist(working)
				due = nil
			} else if due == nil {
				due = time.After(r.patience())
			}
		case <-due:
			r.persist(working)
			due = nil
		}
	}
}

func (r *recorder) patience() time.Duration {
	if r.spec.Durability == spool.Fsync {
		return groupWait
	}
	return flushPeriod
}

// take notes one outcome and reports whether it is not to wait for company.
func (r *recorder) take(o outcome) bool {
	if o.done == nil {
		r.event(o.event)
		r.settle(o.batch, len(o.event.Files))
		return o.event.Kind != spool.EventBack
	}
	r.group = append(r.group, &pending{file: o.done, seconds: o.seconds})
	if r.spec.Durability == spool.None && r.publishGroup() != nil {
		return true // persist waits for the storage
	}
	return o.last
}

// persist makes all that was taken so far as durable as the Task wants it, trying until the storage takes it.
func (r *recorder) persist(working context.Context) {
	err := r.retry(working, func() error {
		if err := r.publishGroup(); err != nil {
			return err
		}
		r.flushNames()
		if r.spec.Durability == spool.Fsync {
			return r.w.Journal.Sync()
		}
		return r.w.Journal.Flush()
	})
	if err != nil {
		return
	}
	r.beaten.Store(int64(time.Since(r.start)))
	for _, b := range r.ended {
		if err := r.w.Drop(b.id); err != nil {
			r.log.Warn("letting go of a batch", "batch", b.id.String(), "error", err) // its outcomes are in the journal
		}
	}
	r.ended = r.ended[:0]
}

// retry repeats try until it succeeds, working ends, or this worker is found fenced.
func (r *recorder) retry(working context.Context, try func() error) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := try()
		if err == nil || errors.Is(err, errFenced) {
			return err
		}
		r.log.Warn("waiting for the storage", "error", err)
		select {
		case <-working.Done():
			return err
		case <-time.After(wait):
		}
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
