package slurmbridge

import (
	"fmt"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// worker is what is known of one; the Executor's mu guards it.
type worker struct {
	executor.Worker
	array    string // the id of the job array; empty is not known
	element  int    // of the array
	drain    time.Duration
	stopping bool      // it was asked to end
	canceled bool      // before it began: Slurm drops such a one at once
	signaled time.Time // and that was passed on to its script first then; zero is not yet
	again    bool      // its job was started a second time, of which the end says nothing of the first
	killAt   time.Time // when it has drained for too long; zero is not known
	missing  int       // good listings in a row without it
	from     time.Time // when it became known here; listings that began before say nothing of it
}

// ref is what squeue and scancel call the worker.
func (w *worker) ref() string { return fmt.Sprintf("%s_%d", w.array, w.element) }

// signaled is what a job's script adds to the number of the signal that has ended the worker.
const signaled = 128

// take notes what Slurm says of a worker.
func (w *worker) take(j job) {
	if w.Phase.Terminal() {
		return
	}
	phase, reason := phaseOf(j)
	w.missing = 0
	w.array, w.element = j.array, j.element
	w.again = w.again || w.startedAgain(j, phase)
	w.canceled = w.canceled && (phase == executor.Pending || phase == executor.Held) // else it has begun all the same
	exit := exitOf(j)
	phase = w.meant(phase, exit)
	w.Phase, w.Reason, w.Ref = phase, reason, w.ref()
	w.StartedAt, w.Node = j.start, j.node()
	if phase.Terminal() {
		w.Exit, w.EndedAt = exit, j.end
		w.Witnessed = phase != executor.Lost // the node of a lost one may live, and only be cut off
	}
}

// exitOf is how a job's worker ended: the script tells of a signal as a shell does of what it waited for.
func exitOf(j job) *executor.Exit {
	if j.exit != nil && j.exit.Signal == 0 && j.exit.Code > signaled {
		return &executor.Exit{Code: -1, Signal: syscall.Signal(j.exit.Code - signaled)}
	}
	return j.exit
}

// meant is the phase of a worker that Slurm says is in a phase, by what has been asked of it, and of Slurm.
func (w *worker) meant(phase executor.Phase, exit *executor.Exit) executor.Phase {
	switch {
	case w.stopping && (phase == executor.Canceled || phase.Blames() && exit != nil && exit.Signal != 0):
		return executor.Stopped
	case w.again && phase.Blames():
		return executor.Lost
	case w.stopping && (phase == executor.Running || phase == executor.Starting):
		return executor.Terminating
	}
	return phase
}

// startedAgain reports whether Slurm has gone back on a start that was seen, as a slurmctld does that was killed before it had saved
// it: it has the node kill what runs there, and starts the job once more, which the node may refuse.
func (w *worker) startedAgain(j job, phase executor.Phase) bool {
	if w.StartedAt.IsZero() || w.Phase == executor.Starting { // the start of a node that was switched on is moved
		return false
	}
	return !j.start.Equal(w.StartedAt) && (!j.start.IsZero() || !phase.Terminal())
}

// lacks notes that a good listing does not have the worker, and reports whether it remains to be seen why.
func (w *worker) lacks(began time.Time) bool {
	w.missing++
	if w.missing < missesUntilLost && !w.canceled {
		if w.Phase != executor.Terminating {
			w.Phase = executor.Unknown
		}
		return true
	}
	w.Phase, w.Reason, w.EndedAt = executor.Lost, "Slurm lists it no more", began
	if w.stopping {
		w.Phase = executor.Stopped
	}
	return false
}
