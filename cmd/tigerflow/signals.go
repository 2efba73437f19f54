package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// exitInterrupted is what shells give a program that SIGINT ended, 128 and the signal's number; SIGTERM's follows.
const (
	exitInterrupted = 128 + int(syscall.SIGINT)
	exitTerminated  = 128 + int(syscall.SIGTERM)
)

// signalError is the end that a signal asked for.
type signalError struct {
	signal os.Signal
	code   int
}

func (e *signalError) Error() string { return "ended by signal: " + e.signal.String() }

// withSignals returns a context that the first SIGINT or SIGTERM ends. A second one ends the process at once.
func withSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer signal.Stop(signals)
		select {
		case <-ctx.Done():
		case s := <-signals:
			code := exitInterrupted
			if s == syscall.SIGTERM {
				code = exitTerminated
			}
			cancel(&signalError{signal: s, code: code})
		}
	}()
	return ctx, func() { cancel(nil) }
}

// interrupted returns the signal that has ended ctx, if one has.
func interrupted(ctx context.Context) (*signalError, bool) {
	return errors.AsType[*signalError](context.Cause(ctx))
}
