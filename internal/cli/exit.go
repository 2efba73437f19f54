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

// ExitCode is that of a command which ended with err. It tells the error in one line on stderr, unless all is said. Of a
// signal all is; what could not be ended in good order then is told.
func ExitCode(err error, stderr io.Writer) int {
	if err == nil {
		return ExitOK
	}
	if signal, ok := errors.AsType[*SignalError](err); ok {
		if left := besides(err); left != nil {
			tell(stderr, left)
		}
		return signal.Code
	}
	if told, ok := errors.AsType[*ToldError](err); ok {
		return told.Code
	}
	tell(stderr, err)
	if errors.As(err, new(UsageError)) {
		return ExitUsage
	}
	return ExitFailure
}

func tell(stderr io.Writer, err error) {
	fmt.Fprintln(stderr, "error:", strings.ReplaceAll(err.Error(), "\n", "; "))
}

// besides is what was joined to the error of a signal.
func besides(err error) (left error) {
	all, joined := err.(interface{ Unwrap() []error })
	switch {
	case joined:
		for _, one := range all.Unwrap() {
			left = errors.Join(left, besides(one))
		}
		return left
	case errors.As(err, new(*SignalError)), errors.Is(err, context.Canceled):
		return nil
	}
	return err
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
