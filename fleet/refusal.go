package fleet

import (
	"context"
	"fmt"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

const (
	holdFirst = 30 * time.Second
	holdLast  = 10 * time.Minute
	// refusalFirst and refusalLast bound the pauses after an executor could not start workers.
	refusalFirst = time.Second
	refusalLast  = time.Minute
)

// WorkersCanceled is the reason of a *executor.WaitError: somebody else ended workers on purpose.
const WorkersCanceled = "WorkersCanceled"

// hold keeps workers from being started against the will of who has ended some. The pauses grow until files are done.
type hold struct {
	pause time.Duration
	until time.Time
	by    string
}

// canceled notes one such end. Others that are found soon after it are of the same act.
func (h *hold) canceled(now time.Time, w executor.Worker) {
	if now.Before(h.until) {
		return
	}
	h.pause = min(max(holdFirst, 2*h.pause), holdLast)
	h.until, h.by = now.Add(h.pause), describe(w)
}

// check returns the reason to wait, if there is one.
func (h *hold) check(now time.Time) error {
	if !now.Before(h.until) {
		return nil
	}
	return &executor.WaitError{
		Reason: WorkersCanceled, Until: h.until,
		Message: fmt.Sprintf("somebody has ended workers (%s): none is started before %s; to have none at all, suspend or stop the task",
			h.by, h.until.Format(time.TimeOnly)),
	}
}

// refusal is the executor's last answer, if it was a refusal. What it refuses is not asked again before its time.
type refusal struct {
	err   error
	ask   string
	pause time.Duration
	until time.Time
}

// check returns the answer again until it is time to ask, or something else is to be asked for.
func (r *refusal) check(now time.Time, ask string) error {
	if r.ask != ask {
		*r = refusal{}
	}
	if now.Before(r.until) {
		return r.err
	}
	return nil
}

// take notes an answer.
func (r *refusal) take(ctx context.Context, now time.Time, ask string, err error) {
	if ctx.Err() != nil { // it was no answer
		return
	}
	least, most := refusalFirst, refusalLast
	if _, stalled := executor.Stalled(err); stalled {
		least, most = stallRetry, ladderLast
	}
	*r = refusal{err: err, ask: ask, pause: min(max(least, 2*r.pause), most)}
	r.until = now.Add(r.pause)
	if w, waiting := executor.Waiting(err); waiting {
		r.pause, r.until = 0, w.Until
	}
}
