package handler

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pipes are those of one child. Its ends block, as programs expect; ours do not, so that waiting can be broken off. That of
// replies has its own way.
type pipes struct{ theirs, ours []*os.File }

// fromChild makes a pipe and returns our end, for reading, and the child's.
func (p *pipes) fromChild() (ours, theirs *os.File, err error) {
	r, w, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	return p.add(r, w)
}

// replies makes the pipe for what a handler answers, and returns our end and the child's.
func (p *pipes) replies() (*replyPipe, *os.File, error) {
	r, w, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	p.ours = append(p.ours, os.NewFile(uintptr(r), "replies"))
	p.theirs = append(p.theirs, os.NewFile(uintptr(w), "replies"))
	gone, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("eventfd", err)
	}
	p.ours = append(p.ours, os.NewFile(uintptr(gone), "gone"))
	return &replyPipe{f: p.ours[len(p.ours)-2], gone: p.ours[len(p.ours)-1]}, p.theirs[len(p.theirs)-1], nil
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

// replyPipe is a mortal that nothing watches while nobody reads: each write to a pipe that Go's poller has wakes the poller,
// and of a handler that answers quick files one by one, to a reader that lets them gather, that would be a tenth of its time. A
// Read that waits has a thread for itself.
type replyPipe struct {
	f, gone *os.File
	last    bool
	left    int
}

func (r *replyPipe) died() { _, _ = r.gone.Write([]byte{7: 1}) } // any number but 0, in either byte order

func (r *replyPipe) close() { closeAll([]*os.File{r.f, r.gone}) }

func (r *replyPipe) Read(p []byte) (n int, err error) {
	err = on(r.f, func(fd int) error {
		return on(r.gone, func(gone int) error {
			n, err = r.read(fd, gone, p)
			return err
		})
	})
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (r *replyPipe) read(fd, gone int, p []byte) (int, error) {
	waiting := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(gone), Events: unix.POLLIN}}
	if err := uninterrupted(func() error { _, err := unix.Poll(waiting, -1); return err }); err != nil {
		return 0, os.NewSyscallError("poll", err)
	}
	if !r.last && waiting[1].Revents != 0 {
		r.last, r.left = true, largestPipe
	}
	if r.last && (r.left <= 0 || waiting[0].Revents == 0) {
		return 0, nil
	}
	var n int
	err := uninterrupted(func() (err error) { n, err = unix.Read(fd, p); return err })
	if err != nil {
		return 0, os.NewSyscallError("read", err)
	}
	r.left -= n
	return n, nil
}

// on does something with a file's descriptor, which is not closed before that is done.
func on(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = do(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// uninterrupted repeats a call that a signal has interrupted.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
