// Package cli is what the commands of this module have in common: exit codes, one-line errors, signals, logs, versions, and
// going on in the background.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2
)

// UsageError is a mistake in what the user gave: a flag, an argument, the content of a file.
type UsageError struct{ Err error }

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the mistake.
func (e UsageError) Unwrap() error { return e.Err }

// ToldError is a failure of which all is said already.
type ToldError struct{ Code int }

func (e *ToldError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// ExitCode is that of a command which ended with err. It tells the error in one line on stderr, unless all is said.
func ExitCode(err error, stderr io.Writer) int {
	if err == nil {
		return ExitOK
	}
	if signal, ok := errors.AsType[*SignalError](err); ok {
		return signal.Code
	}
	if told, ok := errors.AsType[*ToldError](err); ok {
		return told.Code
	}
	fmt.Fprintln(stderr, "error:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, new(UsageError)) {
		return ExitUsage
	}
	return ExitFailure
}

// Execute runs the command below root that args name, and prepare before it. Whatever fails before is a UsageError.
func Execute(ctx context.Context, root *cobra.Command, args []string, prepare func(*cobra.Command) error) error {
	begun := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		begun = true
		return prepare(cmd)
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !begun {
		return UsageError{Err: fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	}
	return err
}

// NoArgs refuses arguments after a command that takes flags only.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, and got %q", cmd.CommandPath(), args[0])
	}
	return nil
}
