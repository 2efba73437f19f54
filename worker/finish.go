package worker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

// onResults takes what handlers say, all that there is by now.
func (e *engine) onResults(working context.Context, r handler.Result) {
	for {
		if working.Err() != nil { // a handler that is ended with all else has not crashed
			e.end = causeOf(working)
			e.onLastResult(r)
			return
		}
		e.onResult(r)
		if e.end != nil {
			return
		}
		select {
		case r = <-e.results:
		default:
			e.caughtUp = true
			return
		}
	}
}

// onResult takes what a handler says of a file, or its end.
func (e *engine) onResult(r handler.Result) {
	l := e.lanes[r.Lane]
	for l.starting { // one that ended at once can be heard of before its start
		e.onStarted(<-e.started)
	}
	switch {
	case r.Stuck:
		e.onStuck(l)
		return
	case r.Ended:
		e.onDeath(l)
		return
	}
	f := e.land(r.ID)
	if f == nil {
		e.log.Warn("the handler speaks of a file that it was not given", "id", r.ID)
		return
	}
	failpoint.Reach(failpoint.WorkerReturned)
	l.fruitless = 0
	e.measure(r.Seconds)
	switch {
	case r.Failure == nil:
		e.probeGap = 0
		e.record(outcome{done: f, seconds: r.Seconds})
	case r.Crashed:
		e.drop(f)
		e.crashed([]*file{f}, failureOf(r))
	default:
		e.onFailure(f, r)
	}
}

// onFailure tells failures of user code from those of the storage and from inputs that are not there any more.
func (e *engine) onFailure(f *file, r handler.Result) {
	e.drop(f)
	failure := failureOf(r)
	if errno := syscall.Errno(r.Failure.Errno); spool.IsStorageErrno(errno) {
		e.recordFiles(spool.EventStorage, f.batch, []spool.Name{f.name}, failure)
		e.pause(errno, time.Now())
		return
	}
	if _, err := os.Stat(f.input); errors.Is(err, fs.ErrNotExist) {
		e.recordFiles(spool.EventGone, f.batch, []spool.Name{f.name}, nil)
		return
	}
	if e.w.Fenced() { // its temporary may have been taken from under it
		e.stop(&ending{reason: spool.ExitFenced})
		return
	}
	e.accuse(verdict{outcome: outcome{batch: f.batch, event: failedEvent(f, r.Seconds, failure)}})
}

// recordFiles records an event that settles some files of a batch.
func (e *engine) recordFiles(kind spool.EventKind, b *batch, names []spool.Name, failure *spool.Failure) {
	e.record(outcome{batch: b, event: &spool.Event{Kind: kind, Batch: b.id.String(), Files: names, Failure: failure}})
}

// sort empties a lane: files that user code had in hand by the blame file, those of them that ran into the time-out,
// and the rest, which goes to the next handler.
func (e *engine) sort(l *lane) (begun, timedOut []*file) {
	marks, err := e.w.Blamed()
	if err != nil {
		e.log.Warn("reading the blame file", "error", err)
	}
	marked := func(id uint64) bool {
		f := e.flying[id]
		return slices.Contains(marks, spool.Mark{Batch: f.batch.id, Index: f.index}.String())
	}
	some := slices.ContainsFunc(l.order, marked) // else the handler has said nothing, and late is who was sent long ago
	for _, id := range slices.Clone(l.order) {
		inHand := marked(id)
		f := e.land(id)
		switch {
		case f.late && (inHand || !some):
			e.drop(f)
			timedOut = append(timedOut, f)
		case inHand:
			e.drop(f)
			begun = append(begun, f)
		default:
			f.begun, f.late = time.Time{}, false
			e.again = append(e.again, f)
		}
	}
	return begun, timedOut
}

// crashed notes that the handler died with these files in hand.
func (e *engine) crashed(files []*file, failure *spool.Failure) {
	now := time.Now().UTC()
	for b, names := range byBatch(files) {
		e.accuse(verdict{outcome: outcome{batch: b, event: &spool.Event{
			Kind: spool.EventCrashed, Batch: b.id.String(), Files: names,
			Suspects: len(files) > 1, Failure: failure, Time: &now,
		}}})
	}
}

func byBatch(files []*file) map[*batch][]spool.Name {
	m := map[*batch][]spool.Name{}
	for _, f := range files {
		m[f.batch] = append(m[f.batch], f.name)
	}
	return m
}

// drop removes what a file that is not published left in tmp.
func (e *engine) drop(f *file) {
	if f.tmp == "" {
		return
	}
	if err := e.w.Discard(f.tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("removing a temporary", "error", err) // it goes with the folder
	}
	f.tmp = ""
}

// checkTimeouts kills a handler if a file has been in hand for too long; its end tells the rest. A file may have been answered
// while this engine waited for the storage, so the results come first.
func (e *engine) checkTimeouts(now time.Time) {
	limit := time.Duration(e.spec.Timeout)
	if limit <= 0 || len(e.results) > 0 {
		return
	}
	for _, f := range e.flying {
		if l := f.lane; l.h != nil && !f.begun.IsZero() && now.Sub(f.begun) >= limit && !f.late {
			f.late, l.killed = true, true
			l.h.Kill()
		}
	}
}

func (e *engine) timedOut(files []*file) {
	limit := time.Duration(e.spec.Timeout)
	for _, f := range files {
		e.record(outcome{batch: f.batch, event: failedEvent(f, limit.Seconds(), &spool.Failure{
			Type: "Timeout", Message: "not through with it after " + limit.String(),
		})})
	}
}

func failureOf(r handler.Result) *spool.Failure {
	f := r.Failure
	return &spool.Failure{Type: f.Type, Message: f.Message, Traceback: f.Traceback, Errno: f.Errno, ExitCode: r.ExitCode}
}

func failedEvent(f *file, seconds float64, failure *spool.Failure) *spool.Event {
	now := time.Now().UTC()
	return &spool.Event{
		Kind: spool.EventFailed, Batch: f.batch.id.String(), Files: []spool.Name{f.name},
		Seconds: []float64{seconds}, Failure: failure, Time: &now,
	}
}
