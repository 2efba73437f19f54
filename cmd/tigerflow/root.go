package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"tigerflow.dev/tigerflow/internal/version"
)

// execute runs the command that args name. Whatever fails before that command begins is a usage error.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	begun := false
	root := newRoot(stdout, stderr)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		begun = true
		verbose, err := cmd.Flags().GetBool("verbose")
		cmd.SetContext(logr.NewContext(cmd.Context(), newLogger(stderr, verbose)))
		return err
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !begun {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	}
	return err
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
	root.AddCommand(newRun(), newUp(), newTask(), newTasks(), newReport(), newStop(), newLogs(), newRetry(), newResume(), newCheck(), newConvert(), newVersion())
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

// noArgs refuses arguments after a command that takes flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// newLogger writes lines for people to read. Commands find it in their context.
func newLogger(stderr io.Writer, verbose bool) logr.Logger {
	level := zapcore.WarnLevel
	if verbose {
		level = zapcore.DebugLevel
	}
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "name", MessageKey: "message",
		EncodeTime:       zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:      zapcore.LowercaseLevelEncoder,
		EncodeDuration:   zapcore.StringDurationEncoder,
		ConsoleSeparator: " ",
	})
	return zapr.NewLogger(zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(stderr)), level)))
}

// slogOf is the same logger for packages that know slog only. It keeps the levels, of which logr has no warning.
func slogOf(log logr.Logger) *slog.Logger {
	if z, ok := log.GetSink().(zapr.Underlier); ok {
		return slog.New(zapslog.NewHandler(z.GetUnderlying().Core()))
	}
	return slog.New(logr.ToSlogHandler(log))
}
