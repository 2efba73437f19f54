package standalone

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/internal/hangup"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/cmdline"
)

// IdleVariable ends lone tasks that nothing else ends when there was nothing to do for so long.
const IdleVariable = "TIGERFLOW_IDLE_TIMEOUT"

// IdleFromEnvironment is what the environment says of Options.IdleTimeout and Options.Ends.
func IdleFromEnvironment() (idle time.Duration, ends bool, err error) {
	text := os.Getenv(IdleVariable)
	if text == "" {
		return 0, false, nil
	}
	idle, err = time.ParseDuration(text)
	if err != nil || idle < 0 {
		return 0, false, usage("%s=%q: give a duration such as 10s, or unset it", IdleVariable, text)
	}
	return idle, true, nil
}

// RunWithSignals is Run until SIGINT, SIGTERM or SIGHUP, which a program started by nohup ignores, or until nobody reads the output
// any more. Whoever sends a third signal does not want to wait for anything: it ends the process.
func RunWithSignals(s Spec, o Options) error {
	raised, signals, over := make(chan os.Signal, 2), make(chan os.Signal, 2), make(chan struct{})
	unread := func() {
		select {
		case raised <- syscall.SIGPIPE:
		default: // it is ending already
		}
	}
	o.Stdout, o.Stderr = hangup.Pipe(o.Stdout, unread), hangup.Pipe(o.Stderr, unread)
	signal.Notify(raised, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(raised, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer signal.Stop(raised)
		pass(raised, signals, over)
	}()
	defer func() { close(over); <-done }()
	o.Signals = signals
	return Run(context.Background(), s, o)
}

// pass hands the first two signals on. A terminal that is closed sends SIGHUP more than once, and two outputs may find that their
// reader has gone, which says no more than one does.
func pass(raised <-chan os.Signal, signals chan<- os.Signal, over <-chan struct{}) {
	for passed := 0; passed < 2; {
		select {
		case s := <-raised:
			if passed == 0 || s != syscall.SIGHUP && s != syscall.SIGPIPE {
				passed++
				signals <- s // it holds two
			}
		case <-over:
			return
		}
	}
}

// FromValues is what a command line says of a task, less its handler and its params.
func FromValues(kind cmdline.Kind, v cmdline.Values, taskName string) Spec {
	s := Spec{
		TaskName: taskName, Type: string(kind),
		InputDir: v.Get("input_dir"), InputExt: v.Get("input_ext"), OutputDir: v.Get("output_dir"), OutputExt: v.Get("output_ext"),
	}
	if v.Has("task_name") {
		s.TaskName = v.Get("task_name")
	}
	if kind == cmdline.Either {
		s.Type = spool.TypeLocal
		if v.Has("concurrency_limit") {
			s.Type = spool.TypeLocalAsync
		}
	}
	switch s.Type {
	case spool.TypeLocalAsync:
		s.Concurrency = v.Int("concurrency_limit")
	case spool.TypeSlurm:
		s.Slurm = &Slurm{
			MaxWorkers: v.Int("max_workers"), CPUs: v.Int("cpus"), Memory: v.Get("memory"), Time: v.Get("time"), GPUs: v.Int("gpus"),
			SbatchOptions: v["sbatch_option"], SetupCommands: v["setup_command"],
		}
	}
	return s
}
