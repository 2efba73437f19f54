package slurmbridge

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// killGrace is how long after the end of its time to drain, or after it was killed, a worker may still be listed before its
// job is canceled: the job's script sees to that time itself.
const killGrace = 30 * time.Second

// Stop cancels workers that have not begun, and has the scripts of those that run end them.
func (e *Executor) Stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	var waiting, running []string
	for _, id := range ids {
		w := e.workers[id]
		switch {
		case w == nil || w.Phase.Terminal() || w.array == "":
		case mode == executor.Drain && w.stopping:
		case w.Phase == executor.Pending || w.Phase == executor.Held:
			waiting = append(waiting, w.ref())
		default:
			running = append(running, w.ref())
		}
	}
	e.mu.Unlock()
	if len(waiting)+len(running) == 0 {
		return nil
	}
	heard, err := e.end(ctx, waiting, running, mode)
	if err != nil {
		return err
	}
	e.stopped(ids, mode, running, heard)
	return nil
}

// end cancels those that wait and signals the scripts of those that have begun, and reports whether all of these have heard
// it. One that began a moment ago is in neither group: it is signaled when a listing shows it.
func (e *Executor) end(ctx context.Context, waiting, running []string, mode executor.StopMode) (bool, error) {
	if len(waiting) > 0 {
		// Once held, elements have records of their own: without that scancel of Slurm 22.05 cancels all that waits of their arrays.
		if _, err := e.tell(ctx, "scontrol", append([]string{"hold"}, waiting...)); err != nil {
			return false, err
		}
		if _, err := e.tell(ctx, "scancel", append([]string{"--state=PENDING"}, waiting...)); err != nil {
			return false, err
		}
	}
	if len(running) == 0 {
		return true, nil
	}
	signal := drainSignal
	if mode == executor.Kill {
		signal = killSignal
	}
	return e.tell(ctx, "scancel", append([]string{"--batch", "--signal=" + signal}, running...))
}

// The signals to which a job's script ends its worker. A cancellation also sends TERM.
const (
	drainSignal = "TERM"
	killSignal  = "USR2"
)

// alreadyDone is the status with which scancel ends, without a word, if a job to be signaled has ended: ESLURM_ALREADY_DONE of
// slurm_errno.h, as far as it fits.
const alreadyDone = 2021 & 0xff

// tell reports whether all jobs have heard it; those that have ended need not.
func (e *Executor) tell(ctx context.Context, tool string, args []string) (heard bool, err error) {
	_, err = e.tools.run(ctx, "", tool, args...)
	said, failed := errors.AsType[*toolError](err)
	if exit, ok := errors.AsType[*exec.ExitError](err); failed && len(said.said) == 0 && ok && exit.ExitCode() == alreadyDone {
		return true, nil
	}
	if !failed || said.timedOut || len(said.said) == 0 {
		return err == nil, err
	}
	heard = true
	for _, line := range said.said {
		switch {
		case strings.Contains(line, "Invalid job id"), strings.Contains(line, "already completing or completed"), strings.Contains(line, "already finished"):
		case strings.Contains(line, "try again later"):
			heard = false
		default:
			return false, err
		}
	}
	return heard, nil
}

// stopped notes what workers were asked for.
func (e *Executor) stopped(ids []executor.WorkerID, mode executor.StopMode, running []string, heard bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	for _, id := range ids {
		w := e.workers[id]
		if w == nil || w.Phase.Terminal() || w.array == "" {
			continue
		}
		w.signaled = time.Time{}
		if heard && slices.Contains(running, w.ref()) {
			w.signaled = now
		}
		switch {
		case mode == executor.Kill && w.signaled.IsZero():
			w.killAt = now
		case mode == executor.Kill:
			w.killAt = now.Add(killGrace)
		case !w.stopping && w.drain > 0:
			w.killAt = now.Add(w.drain + killGrace)
		}
		w.stopping = true
		w.canceled = w.canceled || w.Phase == executor.Pending || w.Phase == executor.Held
		w.Phase = executor.Terminating
	}
	e.lookIn(e.cfg.timing.stopped)
	e.notify()
}

// insist repeats what workers were asked for that a listing shows as if they had not heard it. A signal that comes between Slurm's
// word that a job runs and the first line of its script is lost, and a second one does no harm.
func (e *Executor) insist(ctx context.Context) {
	var begun, late []string
	e.mu.Lock()
	now := time.Now()
	for _, w := range e.workers {
		switch {
		case !w.stopping || w.Phase.Terminal():
		case !w.killAt.IsZero() && now.After(w.killAt):
			late = append(late, w.ref())
		case w.missing == 0 && (w.signaled.IsZero() || now.Sub(w.signaled) < e.cfg.timing.signals):
			begun = append(begun, w.ref())
			if w.signaled.IsZero() {
				w.signaled = now
			}
		}
	}
	e.mu.Unlock()
	if len(begun) > 0 {
		if _, err := e.end(ctx, nil, begun, executor.Drain); err != nil {
			e.cfg.Log.Warn("workers were not asked to end", "error", err)
		}
	}
	if len(late) > 0 {
		if _, err := e.tell(ctx, "scancel", late); err != nil {
			e.cfg.Log.Warn("workers that take too long to end were not canceled", "error", err)
		}
	}
}
