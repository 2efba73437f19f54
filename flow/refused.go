package flow

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"tigerflow.dev/tigerflow/spool"
)

// Reason is why a Task is refused, in one word.
type Reason string

// The reasons.
const (
	InputNotFound      Reason = "InputNotFound"
	InputNotReadable   Reason = "InputNotReadable"
	InvalidDirectories Reason = "InvalidDirectories"
	InvalidStaging     Reason = "InvalidStaging"
	OutputInUse        Reason = "OutputInUse"
	OutputNotWritable  Reason = "OutputNotWritable"
	SpoolIncompatible  Reason = "SpoolIncompatible"
	StorageFull        Reason = "StorageFull"
	StorageError       Reason = "StorageError"
)

// RefusedError is why nothing goes on until a person acts. Its message names the mend.
type RefusedError struct {
	Reason  Reason
	Message string
}

func (r *RefusedError) Error() string { return r.Message }

func refuse(reason Reason, format string, args ...any) error {
	return &RefusedError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Terms is what the user calls the folders where the Task was written down, for messages that name the mend.
type Terms struct {
	Input     string // "input.directory"
	InputBase string // "workspace.path and input.directory": all that decides where the input folder is
	Output    string // "output.directory"
}

// inUse names the one who works on the output. It does not say when that one would count as dead: a status that says the
// same stays as it is.
func (t Terms) inUse(h spool.Holder) error {
	return refuse(OutputInUse,
		"%s is in use by %s for %s: end that one first, or choose another directory; if it has died, it is taken over %s after its last sign of life",
		t.Output, h.Process, h.Owner, spool.LeasePatience)
}

// storage tells what a person must mend of a file system that refuses.
func (t Terms) storage(doing string, err error) error {
	var format *spool.FormatError
	switch {
	case errors.As(err, &format):
		return refuse(SpoolIncompatible, "%s", err)
	case spool.IsFull(err):
		return refuse(StorageFull, "%s: %s: free space; no file is lost", doing, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return refuse(OutputNotWritable, "%s: %s: choose another %s or the rights to write there", doing, err, t.Output)
	case spool.IsStorage(err):
		return refuse(StorageError, "%s: %s", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
