// Command worker is the process that works on a Task's files, wherever an executor starts it. It is small and static and
// knows no Kubernetes. People do not run it by hand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/internal/version"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker"
)

const usage = `usage: tigerflow-worker run --spool DIR --id ID [--idle-timeout DURATION] [--wall-time DURATION]
       tigerflow-worker version`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New(usage)

// leftoverPatience is how long a worker whose parent is gone goes on ending what it started.
const leftoverPatience = 10 * time.Second

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "run":
		return work(args[1:])
	case "version":
		_, err := fmt.Fprintln(os.Stdout, version.Get().Version)
		return err
	}
	return errUsage
}

// work runs a worker until there is a reason to leave. SIGTERM asks it to finish what is in hand; a second one ends it at
// once, as does the end of the process that started it.
func work(args []string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c := worker.Config{Log: log}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&c.Spool, "spool", "", "folder of the Task's spool")
	flags.StringVar(&c.ID, "id", "", "the worker's name")
	flags.DurationVar(&c.IdleTimeout, "idle-timeout", 0, "leave after so long without work; 0 is never")
	wallTime := flags.Duration("wall-time", 0, "leave before so long has passed since the start; 0 is no limit")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	if !spool.ValidWorker(c.ID) {
		return fmt.Errorf("%w: --id %q is not KEY.INDEX.rN", errUsage, c.ID)
	}
	if *wallTime < 0 {
		return fmt.Errorf("%w: --wall-time %s is negative", errUsage, *wallTime)
	}
	if *wallTime > 0 {
		c.Deadline = time.Now().Add(*wallTime)
	}
	// A handler's end then means the end of its whole group: what it leaves behind becomes this process's to wait for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the reaper of user code: %w", err)
	}
	c.Become = become
	var err error
	if c.ParentGone, err = tether.Lifeline(); err != nil {
		return err
	}
	working, stopWorking := context.WithCancel(context.Background())
	defer stopWorking()
	taking, stopTaking := context.WithCancel(working)
	defer stopTaking()
	// Caught and left alone instead of ignored: user code would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		stopTaking()
		<-signals
		stopWorking()
	}()
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
