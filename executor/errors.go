package executor

import (
	"errors"
	"time"
)

// StalledError says that trying again will fail in the same way until a person acts.
type StalledError struct {
	Reason  string // one word, in CamelCase, for programs: WorkerNotRunnable
	Message string // one line for people that names what to mend
	Err     error  // the cause; may be nil
}

// Error returns the message; it includes the cause where that helps.
func (e *StalledError) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *StalledError) Unwrap() error { return e.Err }

// WaitError says that the backend refuses for now, and when to ask again: a limit of jobs in the queue, say.
type WaitError struct {
	Reason  string    // one word, in CamelCase, for programs
	Message string    // one line for people
	Until   time.Time // do not ask before
	Err     error     // the cause; may be nil
}

// Error returns the message.
func (e *WaitError) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *WaitError) Unwrap() error { return e.Err }

// Stalled finds in err what a person must mend.
func Stalled(err error) (*StalledError, bool) { return errors.AsType[*StalledError](err) }

// Waiting finds in err until when to wait.
func Waiting(err error) (*WaitError, bool) { return errors.AsType[*WaitError](err) }
