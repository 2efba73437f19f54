package handler

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pipes are those of one child. Its ends block, as programs expect; ours do not, so that waiting can be broken off.
type pipes struct{ theirs, ours []*os.File }

// fromChild makes a pipe and returns our end, for reading, and the child's.
func (p *pipes) fromChild() (ours, theirs *os.File, err error) {
	r, w, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	return p.add(r, w)
}

// toChild makes a pipe and returns our end, for writing, and the child's.
func (p *pipes) toChild() (ours, theirs *os.File, err error) {
	r, w, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	return p.add(w, r)
}

func (p *pipes) add(ours, theirs int) (*os.File, *os.File, error) {
	if err := unix.SetNonblock(ours, true); err != nil {
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	p.ours = append(p.ours, os.NewFile(uintptr(ours), "pipe"))
	p.theirs = append(p.theirs, os.NewFile(uintptr(theirs), "pipe"))
	return p.ours[len(p.ours)-1], p.theirs[len(p.theirs)-1], nil
}

// started closes the child's ends, which it has by now.
func (p *pipes) started() { closeAll(p.theirs) }

func (p *pipes) close() {
	closeAll(p.theirs)
	closeAll(p.ours)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

func pipe() (r, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return 0, 0, os.NewSyscallError("pipe2", err)
	}
	return fds[0], fds[1], nil
}

// mortal reads what a process wrote to a pipe. Children of user code may hold the other end open for ever, so the end
// of the pipe is no sign of the end of the process: once died was called, what is in the pipe is the rest.
type mortal struct {
	f    *os.File
	last bool
	left int // bytes that may still be read
}

const largestPipe = 1 << 20 // Linux lets an unprivileged process have no larger one

func (m *mortal) died() { _ = m.f.SetReadDeadline(time.Unix(1, 0)) }

func (m *mortal) Read(p []byte) (n int, err error) {
	if !m.last {
		n, err = m.f.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		m.last, m.left = true, largestPipe
	}
	if m.left <= 0 {
		return 0, io.EOF
	}
	raw, err := m.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if controlErr := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), p) }); controlErr != nil {
		return 0, controlErr
	}
	if err != nil || n == 0 { // EAGAIN: nothing is left
		return 0, io.EOF
	}
	m.left -= n
	return n, nil
}
