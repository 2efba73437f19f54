package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// ExitInterrupted is what shells give a program that SIGINT ended, 128 and the signal's number; SIGTERM's follows.
const (
	ExitInterrupted = 128 + int(syscall.SIGINT)
	ExitTerminated  = 128 + int(syscall.SIGTERM)
)

// SignalError is the end that a signal asked for.
type SignalError struct {
	Signal os.Signal
	Code   int
}

func (e *SignalError) Error() string { return "ended by signal: " + e.Signal.String() }

// WithSignals returns a context that the first SIGINT or SIGTERM ends. A second one ends the process at once.
func WithSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case <-ctx.Done():
		case s := <-signals:
			code := ExitInterrupted
			if s == syscall.SIGTERM {
				code = ExitTerminated
			}
			cancel(&SignalError{Signal: s, Code: code})
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Interrupted returns the signal that has ended ctx, if one has.
func Interrupted(ctx context.Context) (*SignalError, bool) {
	return errors.AsType[*SignalError](context.Cause(ctx))
}
