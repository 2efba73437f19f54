// Command tigerflow runs tasks over files, with or without a Kubernetes cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a mistake in what the user gave: a flag, an argument, the content of a file.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// toldError is a failure of which all is said already.
type toldError struct{ code int }

func (e *toldError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func main() {
	ctx, stop := withSignals(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code. An error is one line on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := execute(ctx, args, stdout, stderr)
	if err == nil {
		return exitOK
	}
	if signal, ok := errors.AsType[*signalError](err); ok {
		return signal.code
	}
	if told, ok := errors.AsType[*toldError](err); ok {
		return told.code
	}
	fmt.Fprintln(stderr, "error:", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailure
}
