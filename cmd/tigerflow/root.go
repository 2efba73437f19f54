package main

import (
	"context"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/version"
)

// execute runs the command that args name.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return cli.Execute(ctx, newRoot(stdout, stderr), args, func(cmd *cobra.Command) error {
		least := zapcore.WarnLevel
		verbose, err := cmd.Flags().GetBool("verbose")
		if verbose {
			least = zapcore.DebugLevel
		}
		cmd.SetContext(logr.NewContext(cmd.Context(), cli.NewLogger(stderr, least)))
		return err
	})
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "tigerflow",
		Short:         "Run tasks over files, with or without a Kubernetes cluster",
		Version:       version.Get().Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().BoolP("verbose", "v", false, "log what is being done, on stderr")
	root.AddCommand(newRun(), newUp(), newTask(), newTasks(), newReport(), newStop(), newLogs(), newRetry(), newResume(), newCheck(), newConvert(), cli.NewVersion("tigerflow"))
	root.InitDefaultCompletionCmd() // takes the writer that is set by now
	group(root)
	for _, cmd := range root.Commands() {
		if cmd.HasSubCommands() {
			group(cmd)
		}
	}
	return root
}

// group makes a command that only holds others print its help, and refuse, in one line, what is not among them.
func group(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = noSuchCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q (did you mean %q?)", args[0], near[0])
	}
	return fmt.Errorf("there is no command %q", args[0])
}
