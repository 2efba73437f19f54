// Package tether keeps together what belongs to one worker on one machine, so that nothing outlives it. A lifeline, a
// pipe whose other end only the worker's parent holds, tells a worker that its parent is gone, however it went. A cookie
// in the environment, which user code and its children inherit unasked, finds what a worker started, also in other
// process groups and sessions. A process that is meant to outlive its worker drops the cookie and its parent's session.
package tether

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// CookieEnv is set to the worker's id.
	CookieEnv = "TIGERFLOW_WORKER"
	// LifelineEnv is set to the number of the descriptor that reads the lifeline.
	LifelineEnv = "TIGERFLOW_LIFELINE"
)

// Lifeline returns a channel that is closed when the parent that gave this process a lifeline is gone. Without one it
// returns nil, which never delivers. It is called once, before any child is started: children inherit neither the
// descriptor nor its name.
func Lifeline() (<-chan struct{}, error) {
	value, ok := os.LookupEnv(LifelineEnv)
	if !ok {
		return nil, nil
	}
	fd, err := strconv.Atoi(value)
	if err != nil {
		return nil, fmt.Errorf("%s=%q: want the number of a descriptor", LifelineEnv, value)
	}
	if err := os.Unsetenv(LifelineEnv); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("%s=%d: %w", LifelineEnv, fd, err)
	}
	gone := make(chan struct{})
	go func() { // ends with the parent or with this process
		defer close(gone)
		pipe := os.NewFile(uintptr(fd), "lifeline")
		defer pipe.Close()
		_, _ = io.Copy(io.Discard, pipe) // however reading ends, there is no lifeline any more
	}()
	return gone, nil
}
