package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

// Options is how a Spec is run.
type Options struct {
	Worker string // path of the worker program, for processes
	// Slurm makes the executor of Slurm tasks; nil where there is no Slurm.
	Slurm          func() (Cluster, error)
	Stdout, Stderr io.Writer // prints of user code, and log lines
	// Signals brings what asks for the end: the first lets the files in hand finish, the second ends at once.
	Signals     <-chan os.Signal
	Ends        bool          // end when there was nothing to do for IdleTimeout
	IdleTimeout time.Duration // 0 is as soon as all files are done
	Log         *slog.Logger  // what is being done, for those who look into TigerFlow itself
}

// Cluster is an executor whose workers outlive it.
type Cluster interface {
	executor.Executor
	executor.Notifier
	executor.Doubter
	Close() // lets go of the workers
}

// SignalError is the end that a signal asked for.
type SignalError struct {
	Signal syscall.Signal
	Left   error // what did not end in good order: jobs that may still run, say; nil if all did
}

func (e *SignalError) Error() string { return "ended by signal: " + e.Signal.String() }

// Code is the exit code that shells expect of it.
func (e *SignalError) Code() int { return 128 + int(e.Signal) }

// FailedError says that all files came to their end, some of them by failing.
type FailedError struct{ Failed, Done int64 }

func (e *FailedError) Error() string {
	return fmt.Sprintf("%d of %d files failed: the .err files in the output directory say why", e.Failed, e.Failed+e.Done)
}

// StopError says that the task cannot go on: its setup fails, or its handler dies again and again.
type StopError struct {
	Reason  spool.ExitReason
	Failure spool.Failure
}

func (e *StopError) Error() string {
	text := e.Failure.Message
	if e.Failure.Type != "" && e.Failure.Type != "TaskError" && e.Failure.Type != string(e.Reason) {
		text = e.Failure.Type + ": " + text
	}
	switch e.Reason {
	case spool.ExitSetupFailed:
		return "the task's setup failed: " + text
	default:
		return text
	}
}

// IsUsage reports whether an error of Run is the mistake of who called the task, or of its author: nothing that another
// try would mend.
func IsUsage(err error) bool {
	if _, ok := errors.AsType[*UsageError](err); ok {
		return true
	}
	if stop, ok := errors.AsType[*StopError](err); ok {
		switch stop.Reason {
		case spool.ExitInvalid, spool.ExitInvalidParams, spool.ExitNotFound, spool.ExitNoShell:
			return true
		default:
		}
	}
	refused, ok := errors.AsType[*flow.RefusedError](err)
	return ok && refused.Reason != flow.StorageFull && refused.Reason != flow.StorageError
}

const (
	stepLast = time.Second // the longest pause between two looks at everything
	// unlimited is the time that files in hand have to finish: the user can end the wait by a second signal.
	unlimited = 365 * 24 * time.Hour
	// tellAfter is how long the worker has to tell of a failure itself, and how long a signal may go without consequences.
	tellAfter = time.Second
	// recoverPatience is how long the records of workers that were ended at once may take.
	recoverPatience = 5 * time.Second
)

// runner is one run of a lone task.
type runner struct {
	options  Options
	terminal *terminal
	crew     crew
	status   *status // of a Slurm task; nil of another
	flow     flow.Flow
	want     flow.Want
	changes  chan struct{}
	told     time.Time // up to when failures were told
	trouble  string
	drained  bool           // no worker is left, after a signal
	signal   syscall.Signal // that asked for the end; 0 before
}

// Run runs the task until a signal or, if the options say so, until there is nothing left to do. The error is a
// *UsageError, a *flow.RefusedError, a *SignalError, a *FailedError, a *StopError, or a fault of the system.
func Run(ctx context.Context, s Spec, o Options) (err error) {
	if err := s.Validate(); err != nil {
		return err
	}
	spec, err := s.spoolSpec()
	if err != nil {
		return err
	}
	r := &runner{
		options: o, terminal: newTerminal(o.Stdout, o.Stderr, string(spec.InputDir)), changes: make(chan struct{}, 1), told: time.Now(),
		want: flow.Want{Need: s.need(), Ends: o.Ends, IdleLimit: o.IdleTimeout},
	}
	if s.Type == spool.TypeSlurm {
		r.status = newStatus(r.terminal)
		r.crew, err = newJobs(s.TaskName, o.Slurm, &r.flow)
	} else {
		r.crew, err = newProcesses(o.Worker, r.terminal)
	}
	if err != nil {
		return err
	}
	err = r.run(ctx, spec)
	left := r.close(err)
	if s, ok := errors.AsType[*SignalError](err); ok {
		s.Left = left
	} else {
		err = errors.Join(err, left)
	}
	r.terminal.settle()
	if r.flow.Snapshot() != nil && !isRefused(err) {
		r.farewell(err)
	}
	return err
}

func isRefused(err error) bool {
	_, refused := errors.AsType[*flow.RefusedError](err)
	return refused
}

// farewell tells the end in TigerFlow's words.
func (r *runner) farewell(err error) {
	if stop, ok := errors.AsType[*StopError](err); ok {
		r.status.over(r.flow.Snapshot(), err)
		if text := strings.TrimSpace(stop.Failure.Traceback); text != "" {
			fmt.Fprintln(r.options.Stderr, text)
		}
		return
	}
	if r.status != nil {
		r.status.count(r.flow.Snapshot())
	}
	r.terminal.shutDown()
	r.status.over(r.flow.Snapshot(), err)
	r.terminal.log(info, "Task shutdown complete")
}

// run works until there is a reason to end, and until the workers have ended unless they are to be killed.
func (r *runner) run(ctx context.Context, spec spool.Spec) error {
	owner := spool.Owner{Plane: "the command line", Name: spec.Task}
	err := r.flow.Open(spec, flow.Config{
		Owner: owner, Executor: r.crew, Log: r.options.Log, Changed: func(*dispatcher.Snapshot) { r.wake() },
		Terms: flow.Terms{Input: "--input-dir", InputBase: "--input-dir", Output: "--output-dir"},
	})
	if err != nil {
		return err
	}
	for {
		state, err := r.step(ctx)
		if err != nil {
			return err
		}
		over, err := r.judge(state)
		if r.status != nil {
			r.showStatus(ctx, state)
		}
		if over || err != nil {
			return err
		}
		pause := stepLast
		if state.Next > 0 {
			pause = min(pause, state.Next)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-r.options.Signals:
			if r.signaled(s) {
				return &SignalError{Signal: r.signal}
			}
		case <-r.changes:
		case <-r.crew.Changes():
		case <-time.After(pause):
		}
	}
}

// step is a Step of the flow. A signal that comes meanwhile is answered at once: Slurm may take long to do so.
func (r *runner) step(ctx context.Context) (state flow.State, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, want := make(chan struct{}), r.want
	go func() { // ends soon after ctx
		state, err = r.flow.Step(ctx, time.Now(), want)
		close(ended)
	}()
	var late <-chan time.Time
	for {
		select {
		case <-ended:
			return state, err
		case s := <-r.options.Signals:
			if r.signaled(s) {
				cancel()
				<-ended
				return flow.State{}, &SignalError{Signal: r.signal}
			}
			late = time.After(tellAfter)
		case <-late:
			r.terminal.log(info, "Waiting for %s to answer; a second signal ends at once", r.crew.name())
		}
	}
}

func (r *runner) wake() {
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

// signaled takes a signal in and reports whether everything is to end at once.
func (r *runner) signaled(s os.Signal) bool {
	number, _ := s.(syscall.Signal)
	if r.signal != 0 {
		r.terminal.urgent(warning, "Received signal %d, ending at once", int(number))
		return true
	}
	r.signal = number
	r.terminal.log(warning, "Received signal %d, initiating shutdown", int(number))
	r.want.Need.Suspended = true
	if r.status != nil { // no worker tells of it here
		r.terminal.shutDown()
	}
	return false
}

// showStatus tells what has become of the jobs.
func (r *runner) showStatus(ctx context.Context, s flow.State) {
	if key := r.flow.Spool(); key != nil {
		if all, err := r.crew.List(ctx); err == nil {
			r.status.submitted(key.ID(), all)
		}
	}
	r.status.tell(time.Now(), s)
}

// judge tells what is new and reports whether the run is over.
func (r *runner) judge(s flow.State) (over bool, err error) {
	r.tell(s)
	if s.Snapshot.Ending != "" && r.signal == 0 {
		r.signal = syscall.SIGTERM // tigerflow stop is the signal that reaches other hosts
		r.terminal.log(warning, "Asked to stop, initiating shutdown")
	}
	switch {
	case s.Finished:
		return true, verdict(s.Snapshot)
	case r.signal != 0 && s.Unavailable == nil && s.Fleet.Pending+s.Fleet.Running == 0 && len(s.Snapshot.Workers)+len(s.Doubts) == 0:
		r.drained = true
		return true, &SignalError{Signal: r.signal}
	}
	err = r.hopeless(s)
	return err != nil, err
}

// hopeless is why no worker could go on before a person has mended something; nil if one may.
func (r *runner) hopeless(s flow.State) error {
	if s.Fleet.Stall != nil {
		return &StopError{s.Fleet.Stall.Reason, s.Fleet.Stall.Failure}
	}
	if refused, ok := executor.Stalled(s.Unavailable); ok && s.Fleet.Running == 0 { // else those that run go on
		return &StopError{spool.ExitInvalid, spool.Failure{Message: refused.Message}}
	}
	// One worker of several may have met with a bad node: the fleet sees whether they all do.
	if exit := s.Fleet.Crashing; exit != nil && exit.Failure != nil && r.status == nil {
		switch exit.Reason {
		case spool.ExitSetupFailed, spool.ExitHandlerFailed:
			return &StopError{exit.Reason, *exit.Failure}
		default: // the next worker may do better
		}
	}
	return nil
}

// verdict is what the end means for who reads the exit code.
func verdict(s *dispatcher.Snapshot) error {
	if s.Failed > 0 {
		return &FailedError{Failed: s.Failed, Done: s.Done}
	}
	return nil
}

// tell tells what the workers do not: failures that a crash has left, and what makes everything wait.
func (r *runner) tell(st flow.State) {
	s := st.Snapshot
	until := time.Now().Add(-tellAfter)
	for _, f := range s.Recent {
		if f.Time.After(r.told) && !f.Time.After(until) {
			r.terminal.gaveUp(f.File)
		}
	}
	if until.After(r.told) {
		r.told = until
	}
	trouble := troubleOf(st)
	if trouble != "" && trouble != r.trouble {
		r.terminal.log(warning, "%s", strings.ReplaceAll(trouble, "\n", "; "))
	}
	r.trouble = trouble
}

// troubleOf is what the user should know of; empty is nothing.
func troubleOf(st flow.State) string {
	s := st.Snapshot
	switch {
	case s.Storage != nil:
		return "Waiting for the storage: " + s.Storage.Message
	case s.Input != "":
		return "Waiting for the storage: " + s.Input
	case st.Waiting != nil:
		return "Waiting for workers: " + st.Waiting.Message
	case st.Unavailable != nil:
		return "Waiting for workers: " + st.Unavailable.Error()
	case len(st.Doubts) > 0:
		return fmt.Sprintf("Waiting for Slurm: sbatch has not answered whether it took the job %s, which would be left behind", st.Doubts[0])
	case st.Fleet.Held > 0:
		return fmt.Sprintf("Workers are held (%s): ask who holds them, and if they may run: scontrol release %s", st.Fleet.HeldBy.Reason, st.Fleet.HeldBy.Ref)
	case st.Fleet.Crashing != nil && st.Fleet.Crashing.Failure != nil:
		return "Workers end by themselves: " + st.Fleet.Crashing.Failure.Message
	case len(st.Fleet.Avoided) > 0:
		return fmt.Sprintf("Workers fail to work on %s and are started elsewhere for an hour: %s", st.Fleet.Avoided[0].Node, st.Fleet.Avoided[0].Why)
	}
	return ""
}

// close ends the workers, records their ends and lets go of the spool.
func (r *runner) close(reason error) error {
	err := r.crew.end(r.drained)
	ctx, cancel := context.WithTimeout(context.Background(), recoverPatience)
	defer cancel()
	r.flow.Recover(ctx)
	closing := r.flow.Close()
	if isRefused(reason) && errors.Is(closing, spool.ErrSuperseded) { // it says the same
		closing = nil
	}
	return errors.Join(err, closing, r.crew.close())
}
