package worker

import (
	"context"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// verdict is an end that speaks against files, or against the Task. When a scheduler ends a job it sends SIGTERM to all of its
// processes: user code may die or fail of it an instant before this worker hears of it itself. So what fails in a worker of
// a scheduler is held back for a moment, and counts for nothing in one that has been asked to leave.
type verdict struct {
	due     time.Time
	outcome outcome // of files; its event is nil if it is against the Task
	end     *ending // of the worker, if it is against the Task
}

// accuse passes a verdict, now or in a moment.
func (e *engine) accuse(v verdict) {
	v.due = time.Now()
	if e.spec.Type == spool.TypeSlurm {
		v.due = v.due.Add(e.cfg.timing.doubt)
	}
	e.verdicts = append(e.verdicts, v)
	if e.asked {
		e.acquit()
	}
}

// nextVerdict is when the first verdict is due, or latest if that is earlier.
func (e *engine) nextVerdict(latest time.Time) time.Time {
	if len(e.verdicts) == 0 {
		return latest
	}
	return earlier(latest, e.verdicts[0].due)
}

// judge lets those verdicts stand whose time has come.
func (e *engine) judge(now time.Time) {
	for len(e.verdicts) > 0 && !now.Before(e.verdicts[0].due) && e.end == nil {
		e.stand(e.verdicts[0])
		e.verdicts = e.verdicts[1:]
	}
}

func (e *engine) stand(v verdict) {
	if v.outcome.event != nil {
		e.record(v.outcome)
	}
	if e.end == nil {
		e.end = v.end
	}
}

// acquit drops all verdicts: the files are given back, and others will tell what is wrong with the Task.
func (e *engine) acquit() {
	for _, v := range e.verdicts {
		if o := v.outcome; o.event != nil {
			e.recordFiles(spool.EventBack, o.batch, o.event.Files, nil)
		}
	}
	e.verdicts = nil
}

// settle leaves no verdict open at the worker's end.
func (e *engine) settle(taking context.Context) {
	if taking.Err() != nil || e.end.reason == spool.ExitStopped {
		e.acquit()
	}
	for _, v := range e.verdicts {
		e.stand(v)
	}
	e.verdicts = nil
}
