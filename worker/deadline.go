package worker

import (
	"math"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const (
	// runQuantile and runMargin make the time that a file is expected to take at most.
	runQuantile = 0.99
	runMargin   = 1.25
	// partingShare and partingMost bound the time before the deadline in which a worker gives back what it has in hand.
	partingShare = 20
	partingMost  = 10 * time.Second
	// slowBy is how many times the usual a file takes before it is told of, and slowAfter how many must be known.
	slowBy    = 10
	slowAfter = 20
	// standstill is the time between two looks at the clock, twice as long as meant, that tells of a process that was stopped.
	standstill = 2 * time.Second
)

// lastMoment is when a worker gives back what it has in hand, so that it ends in good order before its time is up.
func (e *engine) lastMoment() time.Time {
	return e.cfg.Deadline.Add(-min(partingMost, e.cfg.wallTime/partingShare))
}

// fits reports whether a file that begins now will be through before the worker has to leave. Nothing is known before
// the first: it is tried.
func (e *engine) fits(now time.Time) bool {
	if e.cfg.Deadline.IsZero() || e.times.Count() == 0 {
		return true
	}
	longest := e.times.Quantile(runQuantile) * runMargin
	return e.lastMoment().Sub(now).Seconds() > longest
}

// checkDeadline takes no more when the next file would not fit, and ends everything when the time is up.
func (e *engine) checkDeadline(now time.Time) {
	switch {
	case e.cfg.Deadline.IsZero():
	case !now.Before(e.lastMoment()):
		e.end = &ending{reason: spool.ExitWallTime}
	case e.draining == "" && !e.fits(now):
		e.log.Info("the rest of the wall time is too short for another file",
			"left", e.cfg.Deadline.Sub(now).Round(time.Second), "p99", e.times.Quantile(runQuantile))
		e.draining = spool.ExitWallTime
	}
}

// measure learns how long files take.
func (e *engine) measure(seconds float64) {
	if math.IsInf(e.pace, 1) {
		e.pace = seconds
	}
	e.pace += (seconds - e.pace) / 8
	e.times.Add(seconds)
}

// nextTimeout is when to look for files that are in hand for too long, or latest if that is earlier.
func (e *engine) nextTimeout(latest time.Time) time.Time {
	limit := time.Duration(e.spec.Timeout)
	if limit <= 0 || len(e.flying) == 0 {
		return latest
	}
	next := earlier(latest, e.looked.Add(standstill/2))
	for _, f := range e.flying {
		if !f.begun.IsZero() && !f.late {
			next = earlier(next, f.begun.Add(limit))
		}
	}
	return next
}

// regainTime gives the files in hand the time for which this process stood still: a scheduler suspends a job by stopping all
// of its processes, and user code has then got no further.
func (e *engine) regainTime(now time.Time) {
	gap := now.Sub(e.looked)
	e.looked = now
	if e.spec.Timeout <= 0 || gap < standstill {
		return
	}
	for _, f := range e.flying {
		if !f.begun.IsZero() {
			f.begun = earlier(f.begun.Add(gap), now)
		}
	}
}

// watchPace tells once of a file that takes much longer than others do: it may hang.
func (e *engine) watchPace(f *file, age time.Duration) {
	if f.slow || e.times.Count() < slowAfter || age < e.cfg.timing.hold {
		return
	}
	usual := e.times.Quantile(runQuantile)
	if age.Seconds() > slowBy*usual {
		f.slow = true
		e.log.Warn("a file takes more than ten times as long as nearly all others", "file", string(f.name),
			"seconds", age.Seconds(), "p99", usual)
	}
}
