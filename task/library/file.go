package library

import (
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// file is an open regular file without what package os adds to it: os.Open offers every file to the poller, which
// refuses regular ones, and that takes longer than to open, read and close a small one.
type file struct {
	fd   int
	path string
}

func open(path string, flags int) (*file, error) {
	f := &file{path: path}
	err := retried(func() (err error) {
		f.fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, f.failed("open", err)
	}
	return f, nil
}

func (f *file) failed(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

// Read reads up to a whole buffer.
func (f *file) Read(p []byte) (n int, err error) {
	err = retried(func() (err error) {
		n, err = unix.Read(f.fd, p)
		return err
	})
	switch {
	case err != nil:
		return 0, f.failed("read", err)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes all of p or fails.
func (f *file) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		var n int
		err := retried(func() (err error) {
			n, err = unix.Write(f.fd, p[written:])
			return err
		})
		if err != nil {
			return written, f.failed("write", err)
		}
		written += n
	}
	return written, nil
}

// ReadFrom lets the kernel copy between two files where it can.
func (f *file) ReadFrom(r io.Reader) (copied int64, err error) {
	from, isFile := r.(*file)
	for isFile {
		var n int
		err := retried(func() (err error) {
			n, err = unix.CopyFileRange(from.fd, nil, f.fd, nil, 1<<30, 0)
			return err
		})
		if err != nil && copied > 0 {
			return copied, f.failed("copy_file_range", err)
		}
		if err != nil || n == 0 {
			break // not between these file systems, or at the end, which reading will show
		}
		copied += int64(n)
	}
	rest, err := io.Copy(struct{ io.Writer }{f}, r)
	return copied + rest, err
}

// Close reports what network file systems tell only now.
func (f *file) Close() error {
	// Not retried: Linux has closed the descriptor even if it was interrupted.
	if err := unix.Close(f.fd); err != nil && !errors.Is(err, unix.EINTR) {
		return f.failed("close", err)
	}
	return nil
}

func retried(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
