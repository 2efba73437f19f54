package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"tigerflow.dev/tigerflow/internal/hangup"
)

// ExitInterrupted is what shells give a program that SIGINT ended, 128 and the signal's number; SIGTERM's follows.
const (
	ExitInterrupted = 128 + int(syscall.SIGINT)
	ExitTerminated  = 128 + int(syscall.SIGTERM)
)

// SignalError is the end that a signal asked for.
type SignalError struct {
	Signal os.Signal
	Code   int // the exit code that shells expect of it
}

func (e *SignalError) Error() string { return "ended by signal: " + e.Signal.String() }

// WithSignals returns a context that the first SIGINT or SIGTERM ends. A second one ends the process at once.
func WithSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-ctx.Done():
			signal.Stop(signals)
		case s := <-signals:
			signal.Stop(signals) // first: a second one that follows at once is not to be swallowed
			code := ExitInterrupted
			if s == syscall.SIGTERM {
				code = ExitTerminated
			}
			cancel(&SignalError{Signal: s, Code: code})
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Again returns a context that the second SIGINT or SIGTERM from now on ends. Until it is canceled none ends the process.
func Again() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range cap(signals) {
			select {
			case <-ctx.Done():
				signal.Stop(signals)
				return
			case <-signals:
			}
		}
		cancel()
		signal.Stop(signals)
	}()
	return ctx, cancel
}

// WithHangup returns a context that ends with the first SIGHUP, unless it is ignored as under nohup, or when an output turns out
// to be a pipe that nobody reads any more. SIGHUP ends the process no more: a terminal that is closed may send another.
func WithHangup(ctx context.Context, outputs ...*io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	end := func(s syscall.Signal) { cancel(&SignalError{Signal: s, Code: 128 + int(s)}) }
	for _, w := range outputs {
		*w = hangup.Pipe(*w, func() { end(syscall.SIGPIPE) })
	}
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() { cancel(nil) }
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		select {
		case <-ctx.Done():
		case <-signals:
			end(syscall.SIGHUP)
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Interrupted returns the signal that has ended ctx, if one has.
func Interrupted(ctx context.Context) (*SignalError, bool) {
	return errors.AsType[*SignalError](context.Cause(ctx))
}
