package worker

import (
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// probeLast is the longest wait between two looks at a storage that fails.
const probeLast = 30 * time.Second

// pause stops taking because of the storage, until a probe succeeds.
func (e *engine) pause(err error, now time.Time) {
	if e.trouble != nil {
		return
	}
	e.trouble = err
	e.probeLater(now)
	if e.w.Fenced() { // that its folder is gone is no fault of the storage
		e.stop(&ending{reason: spool.ExitFenced})
		return
	}
	kind := "StorageError"
	if spool.IsFull(err) {
		kind = "StorageFull"
	}
	e.log.Warn("waiting for the storage", "error", err)
	e.record(outcome{event: &spool.Event{Kind: spool.EventPaused, Failure: &spool.Failure{Type: kind, Message: err.Error()}}})
}

// probeLater doubles the wait; a file that is done sets it back.
func (e *engine) probeLater(now time.Time) {
	e.probeGap = min(max(2*e.probeGap, e.cfg.timing.probe), probeLast)
	e.probeAt = now.Add(e.probeGap)
}

// probe looks whether the storage is well again.
func (e *engine) probe(now time.Time) {
	if err := e.w.Room(); err != nil || e.rec.stuck.Load() {
		e.probeLater(now)
		return
	}
	e.trouble = nil
	e.log.Info("the storage is well again")
	e.record(outcome{event: &spool.Event{Kind: spool.EventResumed}})
}
