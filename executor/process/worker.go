package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/tether"
)

// worker is one child process; the executor's mu guards it.
type worker struct {
	executor.Worker
	drainTimeout time.Duration
	process      *os.Process
	grace        *time.Timer      // kills a worker that drains for too long
	sent         []syscall.Signal // to end by one of these is nobody's fault
}

func newWorker(s executor.Spec, cmd *exec.Cmd) *worker {
	return &worker{
		Worker: executor.Worker{
			ID:        s.ID,
			Phase:     executor.Running,
			Ref:       "process " + strconv.Itoa(cmd.Process.Pid),
			StartedAt: time.Now(),
		},
		drainTimeout: s.DrainTimeout,
		process:      cmd.Process,
	}
}

// stop asks the worker to end; e.mu is held.
func (e *Executor) stop(w *worker, mode executor.StopMode) {
	switch {
	case w.Phase.Terminal():
	case mode == executor.Kill || w.drainTimeout == 0:
		e.signal(w, syscall.SIGKILL)
	case w.Phase == executor.Running:
		e.signal(w, syscall.SIGTERM)
		w.grace = time.AfterFunc(w.drainTimeout, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.stop(w, executor.Kill)
		})
	}
}

func (e *Executor) signal(w *worker, s syscall.Signal) {
	if w.process.Signal(s) == nil { // else it has just ended, and not for our signal
		w.sent = append(w.sent, s)
	}
	w.Phase = executor.Terminating
	e.notify()
}

// end records how the process ended.
func (w *worker) end(state *os.ProcessState) {
	w.Phase, w.Witnessed, w.EndedAt = executor.Failed, true, time.Now()
	w.Exit = &executor.Exit{Code: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		w.Exit.Signal = status.Signal()
	}
	w.Reason = w.Exit.String()
	switch {
	case slices.Contains(w.sent, w.Exit.Signal):
		w.Phase = executor.Stopped
	case state.Success():
		w.Phase = executor.Succeeded
	}
	if w.grace != nil {
		w.grace.Stop()
	}
}

// reap waits for the worker's end, ends what it left behind, and only then says that it has ended.
func (e *Executor) reap(w *worker) {
	// Ended but not waited for, the worker keeps its pid, and so the number of its session cannot come to mean another's.
	awaitExit(w.process.Pid)
	e.update(func() {
		if w.Phase == executor.Running {
			w.Phase = executor.Terminating
		}
	})
	left := tether.EndWorker(e.reaping, w.ID.String(), w.process.Pid)
	state, err := w.process.Wait()
	if err != nil || left != nil {
		e.update(func() { w.Reason = errors.Join(err, left).Error() })
		return
	}
	e.update(func() {
		w.end(state)
		e.ended = append(e.ended, w.ID)
		if len(e.ended) > e.maxEnded {
			e.drop(e.ended[0])
		}
	})
}

func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

func (e *Executor) update(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	e.notify()
}

func (e *Executor) stopAll(mode executor.StopMode) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.workers {
		e.stop(w, mode)
	}
}

func (e *Executor) alive() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, w := range e.workers {
		if !w.Phase.Terminal() {
			n++
		}
	}
	return n
}

// spawn starts the process in a session of its own, so that the terminal's Ctrl-C is the parent's matter.
func (e *Executor) spawn(ctx context.Context, s executor.Spec) (*exec.Cmd, error) {
	log, err := openLog(s.Log)
	if err != nil {
		return nil, logError(s.Log, err)
	}
	defer log.Close()
	const patience = time.Second
	for pause := time.Millisecond; ; pause *= 2 {
		cmd := exec.Command(e.binary, append([]string{"run", "--spool", s.Spool, "--id", s.ID.String()}, s.Args...)...)
		cmd.Env = append(append(os.Environ(), e.env...), tether.CookieEnv+"="+s.ID.String(), tether.LifelineEnv+"=3")
		cmd.Stdout, cmd.Stderr = log, log
		if e.stdout != nil {
			cmd.Stdout = e.stdout
		}
		cmd.ExtraFiles = []*os.File{e.lifelineRead} // descriptor 3
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err := cmd.Start()
		if err == nil {
			return cmd, nil
		}
		// A program that was written a moment ago is busy while another fork still holds it open for writing.
		if !errors.Is(err, syscall.ETXTBSY) || pause > patience {
			return nil, startError(e.binary, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", e.over(ctx), err)
		case <-time.After(pause):
		}
	}
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
}
