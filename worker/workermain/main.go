// Package workermain is the main function of a worker's process: its flags, its signals, and what it does about user code that
// it leaves behind. The program tigerflow-worker is one, and so is every program built with the Go SDK.
package workermain

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/internal/inpod"
	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/worker"
	"tigerflow.dev/tigerflow/worker/handler"
)

// Usage is how a worker is called.
const Usage = `--spool DIR --id ID [--idle-timeout DURATION] [--wall-time DURATION [--elapsed DURATION]]`

// ErrUsage means that the flags are wrong.
var ErrUsage = errors.New("usage: tigerflow-worker run " + Usage)

// leftoverPatience is how long a worker whose parent is gone goes on ending what it started.
const leftoverPatience = 10 * time.Second

// reapEvery is how long what has ended in the background may keep its number.
const reapEvery = 5 * time.Second

// Run runs a worker until there is a reason to leave. SIGTERM asks it to finish what is in hand; a second one ends it at
// once, as does the end of the process that started it.
func Run(args []string) error {
	if err := inpod.Log(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c := worker.Config{Log: log, Job: os.Getenv(protocol.EnvJob), Node: os.Getenv(protocol.EnvNode), Contained: os.Getenv(protocol.EnvContainer) == "1"}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&c.Spool, "spool", "", "folder of the Task's spool")
	flags.StringVar(&c.ID, "id", "", "the worker's name")
	flags.DurationVar(&c.IdleTimeout, "idle-timeout", 0, "leave after so long without work; 0 is never")
	wallTime := flags.Duration("wall-time", 0, "leave before so long has passed, from the start and --elapsed before it; 0 is no limit")
	elapsed := flags.Duration("elapsed", 0, "how much of the wall time is over at the start")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return ErrUsage
	}
	if !spool.ValidWorker(c.ID) {
		return fmt.Errorf("%w: --id %q is not KEY.INDEX.rN", ErrUsage, c.ID)
	}
	if *wallTime < 0 {
		return fmt.Errorf("%w: --wall-time %s is negative", ErrUsage, *wallTime)
	}
	if *wallTime > 0 {
		c.Deadline = time.Now().Add(*wallTime - *elapsed)
	}
	tuneCollector()
	// A handler's end then means the end of its whole group: what it leaves behind becomes this process's to wait for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the reaper of user code: %w", err)
	}
	c.Become = become
	if os.Getenv(protocol.EnvNarrate) == "1" { // a person watches what this process writes
		c.Narrate = os.Stdout
	}
	err := os.Unsetenv(protocol.EnvNarrate)
	if err != nil {
		return err
	}
	if c.ParentGone, err = tether.Lifeline(); err != nil {
		return err
	}
	working, taking, end := obey()
	defer end()
	go reapOrphans(working)
	c.Strays = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), leftoverPatience)
		defer cancel()
		return tether.EndWorker(ctx, c.ID, os.Getpid())
	}
	reason, err := worker.Run(working, taking, c)
	if errors.Is(err, worker.ErrTaken) {
		log.Info("another process works in this slot", "worker", c.ID)
		return nil
	}
	log.Info("worker ends", "worker", c.ID, "reason", reason)
	return err
}

// reapOrphans gives back the numbers of what user code has left in the background, until working ends.
func reapOrphans(working context.Context) {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-working.Done():
			return
		case <-tick.C:
			handler.ReapOrphans()
		}
	}
}

// obey makes the contexts of a worker: SIGTERM stops taking, a second one stops working.
func obey() (working, taking context.Context, end context.CancelFunc) {
	working, end = context.WithCancel(context.Background())
	taking, stopTaking := context.WithCancel(working)
	// Caught and left alone instead of ignored: user code would inherit that. The second comes of a print when the parent, who
	// reads them, is gone: that has an end of its own.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		stopTaking()
		<-signals
		end()
	}()
	return working, taking, end
}

// tuneCollector has garbage collected less often, unless the environment says how often. A worker's heap is so small that Go
// would do so for every 4 MB; where several share a machine they spent more time on that than on files.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// become gives this process the place of a built-in task: its folder and its environment.
func become(dir string, env []string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	os.Clearenv()
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
