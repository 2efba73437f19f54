package process

import (
	"errors"
	"fmt"
	"syscall"

	"tigerflow.dev/tigerflow/executor"
)

// Reasons of the executor.StalledError that Start returns.
const (
	ReasonInvalidWorker     = "InvalidWorker"
	ReasonWorkerNotRunnable = "WorkerNotRunnable"
	ReasonLogNotWritable    = "LogNotWritable"
)

// Those for which trying again is no use.
var (
	notRunnable = []error{
		syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP,
		syscall.E2BIG, syscall.ENAMETOOLONG,
	}
	notWritable = []error{
		syscall.ENOENT, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP,
		syscall.ENAMETOOLONG,
	}
	exhausted = []error{syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}
)

func startError(binary string, err error) error {
	if isAny(err, notRunnable) {
		return &executor.StalledError{
			Reason:  ReasonWorkerNotRunnable,
			Message: fmt.Sprintf("the worker program %s cannot be run here: %v", binary, err),
			Err:     err,
		}
	}
	return orExhausted(err)
}

func logError(path string, err error) error {
	if isAny(err, notWritable) {
		return &executor.StalledError{
			Reason:  ReasonLogNotWritable,
			Message: fmt.Sprintf("the worker's log %s cannot be written: %v", path, err),
			Err:     err,
		}
	}
	return orExhausted(err)
}

// orExhausted names the mend for limits that pass when others end.
func orExhausted(err error) error {
	if isAny(err, exhausted) {
		return fmt.Errorf("%w: the limit of processes, open files (ulimit -u, ulimit -n) or memory is reached: raise it, or lower maxWorkers", err)
	}
	return err
}

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
