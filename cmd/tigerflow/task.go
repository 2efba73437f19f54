package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/standalone"
)

func newTask() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "task",
		Short: "Run one task, without an API server",
	}
	cmd.AddCommand(newTaskRun(), newTaskExec())
	return cmd
}

func newTaskExec() *cobra.Command {
	var fd int
	cmd := &cobra.Command{
		Use:    "exec --spec-fd N",
		Short:  "Run the task that JSON on a descriptor specifies",
		Hidden: true, // Python modules become it
		Args:   cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fd < 3 {
				return cli.UsageError{Err: errors.New("--spec-fd: give the number of an open descriptor; Python modules do that in cli()")}
			}
			file := os.NewFile(uintptr(fd), "specification")
			s, err := standalone.ReadSpec(file)
			if closing := file.Close(); err == nil && closing != nil {
				err = closing
			}
			if err != nil {
				return cli.UsageError{Err: err}
			}
			idle, ends, err := idleTimeout(cmd, 0)
			if err != nil {
				return err
			}
			return runLone(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), s, idle, ends)
		},
	}
	cmd.Flags().IntVar(&fd, "spec-fd", 0, "descriptor to read the specification from")
	return cmd
}

// idleTimeout is the flag's value if it was given, else the environment's.
func idleTimeout(cmd *cobra.Command, flag time.Duration) (idle time.Duration, ends bool, err error) {
	if f := cmd.Flags().Lookup("idle-timeout"); f != nil && f.Changed {
		if flag < 0 {
			return 0, false, cli.UsageError{Err: errors.New("--idle-timeout: give 0s or more")}
		}
		return flag, true, nil
	}
	idle, ends, err = standalone.IdleFromEnvironment()
	if err != nil {
		return 0, false, cli.UsageError{Err: err}
	}
	return idle, ends, nil
}

// runLone runs a lone task. Signals are the task's to deal with, not the context's.
func runLone(ctx context.Context, stdout, stderr io.Writer, s standalone.Spec, idle time.Duration, ends bool) error {
	log := logr.FromContextOrDiscard(ctx)
	worker, err := workerbin.Install("")
	if err != nil {
		return err
	}
	slurm, err := clusterOf(&s, stderr, log)
	if err != nil {
		return err
	}
	err = standalone.RunWithSignals(s, standalone.Options{
		Worker: worker, Slurm: slurm, Stdout: stdout, Stderr: stderr, Ends: ends, IdleTimeout: idle, Log: cli.Slog(log),
	})
	return loneError(err)
}

// loneError gives an end of a lone task the exit code that it deserves.
func loneError(err error) error {
	if s, ok := errors.AsType[*standalone.SignalError](err); ok {
		return errors.Join(&cli.SignalError{Signal: s.Signal, Code: s.Code()}, s.Left)
	}
	if standalone.IsUsage(err) {
		return cli.UsageError{Err: err}
	}
	return err
}
