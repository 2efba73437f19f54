// Package handler runs the author's code for a worker: in one long process that speaks the handler protocol (a Python
// module or a program built with the Go SDK), in one process for every file (a command), or in the worker itself (a
// builtin task).
//
// What it starts, it ends: every process is the leader of a group of its own, which is killed when the leader ends,
// when Kill is called and when the worker dies. If the calling process is a child subreaper or process 1, what the
// leader leaves behind in its group is waited for as well before the end is reported.
package handler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// Config says what to run and how.
type Config struct {
	Spec       *spool.Spec
	Worker     string    // id of the worker, for user code
	Epoch      string    // epoch of the dispatcher, for user code
	PythonPath string    // where the Python package tigerflow is: a folder or zip
	Log        io.Writer // gets stdout and stderr of user code; several may write at once
	Login      bool      // the setup commands see what a login shell of this host does: modules, conda
	Narrate    bool      // tell in Log what happens, in order with the prints
	Current    *os.File  // the blame file, open for writing

	Results chan<- Result // gets the results of this handler, and may be shared by several
	Lane    int           // tells its results from those of others

	// Become gives this process the folder and the environment of user code, for a builtin task; nil leaves it as it is.
	Become func(dir string, env []string) error
	// Grace is how long a builtin task may take to end when it is killed.
	Grace time.Duration
}

// Request is one file to run.
type Request struct {
	ID     uint64 // distinct among the files in flight
	Input  string
	Output string // exists as an empty regular file
	Slot   int    // blame slot; only files that cannot run at once may share one
	Mark   string // at most protocol.MaxMark bytes
}

func (r Request) message() (protocol.Run, error) {
	run := protocol.Run{ID: r.ID, Input: spool.Name(r.Input), Output: spool.Name(r.Output), Slot: r.Slot, Mark: r.Mark}
	return run, run.Validate()
}

// Result says how one file ended, or the handler.
type Result struct {
	Lane     int // of the handler's Config
	ID       uint64
	Seconds  float64           // wall time of user code
	Failure  *protocol.Failure // nil if user code succeeded
	ExitCode int               // of a command, as a shell spells it: 128 and the number of the signal that ended it
	Crashed  bool              // a command was ended by a signal: a crash with this file in hand
	Ended    bool              // the handler has ended: it says nothing more, and the rest of the Result is empty
	Stuck    bool              // a killed builtin task does not end: only the end of this process can end it
}

// Handler runs files until it is closed or killed, or ends by itself. On Config.Results it gives the result of every
// file that ended; of files that a dying handler had in flight there is none. The last one is of its own end, and
// somebody must receive until then.
type Handler interface {
	// Run hands over one file. It may be called ahead of results: files begin in this order, as many at once as the
	// Spec's concurrency allows. It never waits for user code. It fails once the handler is ending.
	Run(Request) error

	// Close lets the files in flight finish, has the author's teardown run and waits for the end. When ctx is done it
	// kills instead. The error is a *SetupError of stage teardown, the context's, or an end before the teardown.
	Close(ctx context.Context) error

	// Kill ends user code and its process group at once; no file fails by it. It may be called at any time and again.
	Kill()

	// Exit says how the process ended. It may be called when the end was told. Commands and builtins leave it zero.
	Exit() Exit
}

// Exit is how a handler process ended.
type Exit struct {
	Code      int            // exit status; -1 if a signal ended it
	Signal    syscall.Signal // that ended it, or 0
	LastLines []string       // what it last wrote to the log: at most 20 lines and 4 KiB
	Err       error          // why it was killed for breaking the protocol, or nil
}

func (e Exit) String() string {
	if e.Err != nil {
		return "killed for breaking the protocol: " + e.Err.Error()
	}
	if e.Signal != 0 {
		return fmt.Sprintf("killed by signal %d (%s)", int(e.Signal), unix.SignalName(e.Signal))
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Status spells an end as a shell does: the exit status, or 128 and the number of the signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

// failure is the end of a process that should have gone on, or should have ended well.
func (e Exit) failure() *protocol.Failure {
	f := &protocol.Failure{Type: "ExitStatus", Message: e.String(), Traceback: strings.Join(e.LastLines, "\n")}
	if e.Signal != 0 {
		f.Type = "Signal"
	}
	return f
}

// SetupError is a task that cannot run, and will not until its author mends it.
type SetupError struct {
	Stage protocol.Stage
	protocol.Failure
}

func (e *SetupError) Error() string {
	return fmt.Sprintf("%s failed: %s: %s", e.Stage, e.Type, e.Message)
}

func setupError(stage protocol.Stage, kind, format string, args ...any) *SetupError {
	return &SetupError{Stage: stage, Failure: protocol.Failure{Type: kind, Message: fmt.Sprintf(format, args...)}}
}

// StartError is a program that could not be started for good.
type StartError struct {
	What string // what was to be started, as the author calls it
	Err  error
	Mend string // what the author can do
}

func (e *StartError) Error() string { return fmt.Sprintf("%s: %v: %s", e.What, e.Err, e.Mend) }
func (e *StartError) Unwrap() error { return e.Err }

// ErrEnded is returned by Run when the handler takes no more files.
var ErrEnded = errors.New("the handler has ended or is ending")

// Start starts the handler of c.Spec and returns when it is ready for files. The error is a *SetupError or *StartError
// if the author must mend something, else ctx.Err() or a passing fault of the system. Ctx bounds the start alone.
func Start(ctx context.Context, c Config) (Handler, error) {
	env, err := environment(c)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(string(c.Spec.WorkDir)); err != nil || !info.IsDir() {
		if err == nil {
			err = syscall.ENOTDIR
		}
		return nil, &StartError{What: "working directory", Err: err, Mend: "create it or correct the workspace"}
	}
	switch {
	case len(c.Spec.Handler.Command) > 0:
		return startCommands(c, env)
	case c.Spec.Handler.Builtin != "":
		return startBuiltin(ctx, c, env)
	}
	return startServed(ctx, c, env)
}

// narrate tells what happens where this process runs the author's code; others tell it themselves.
func (c Config) narrate(n protocol.Narration) {
	if c.Narrate {
		protocol.Narrate(c.Log, n)
	}
}
