package faultfs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// file is an open file.
type file struct {
	n      *node
	fd     int
	writes bool
}

var (
	_ fs.NodeOpener  = (*node)(nil)
	_ fs.NodeCreater = (*node)(nil)

	_ fs.FileReader   = (*file)(nil)
	_ fs.FileWriter   = (*file)(nil)
	_ fs.FileFlusher  = (*file)(nil)
	_ fs.FileReleaser = (*file)(nil)
)

// Open looks at the file anew: close-to-open.
func (n *node) Open(ctx context.Context, flags uint32) (fh fs.FileHandle, _ uint32, errno syscall.Errno) {
	errno = n.h.do(ctx, OpOpen, n.path, func(Fault) syscall.Errno {
		n.i.attrUntil = time.Time{}
		if _, errno := n.h.stat(n.i); errno != 0 {
			return errno
		}
		if flags&unix.O_TRUNC != 0 {
			n.i.pages = nil
		}
		fh, errno = n.open(flags)
		return errno
	})
	return fh, fuse.FOPEN_DIRECT_IO, errno
}

// open opens for reading as well: unwritten pages are filled up from the server's.
func (n *node) open(flags uint32) (*file, syscall.Errno) {
	mode := unix.O_RDWR
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		mode = unix.O_RDONLY
	}
	fd, err := unix.Open(procPath(n.i.fd), mode|int(flags)&unix.O_TRUNC|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errnoOf(err)
	}
	n.i.opens++
	return &file{n: n, fd: fd, writes: mode == unix.O_RDWR}, 0
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (child *fs.Inode, fh fs.FileHandle, _ uint32, errno syscall.Errno) {
	child, errno = n.make(ctx, OpCreate, name, out, func() error {
		fd, err := unix.Openat(n.i.fd, name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC|int(flags)&(unix.O_EXCL|unix.O_TRUNC), mode)
		if err == nil {
			_ = unix.Close(fd) // nothing was written
		}
		return err
	})
	if errno != 0 {
		return nil, nil, 0, errno
	}
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	to := n.h.inodes[out.Attr.Ino]
	if to == nil {
		return nil, nil, 0, syscall.EIO // closed meanwhile
	}
	f, errno := (&node{h: n.h, i: to}).open(unix.O_RDWR)
	return child, f, fuse.FOPEN_DIRECT_IO, errno
}

func (f *file) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	var data []byte
	errno := f.n.h.do(ctx, OpRead, f.n.path, func(Fault) (errno syscall.Errno) {
		data, errno = f.n.h.read(f.n.i, f.fd, dest, off)
		return errno
	})
	return fuse.ReadResultData(data), errno
}

func (f *file) Write(ctx context.Context, data []byte, off int64) (written uint32, errno syscall.Errno) {
	errno = f.n.h.do(ctx, OpWrite, f.n.path, func(fault Fault) syscall.Errno {
		h, i := f.n.h, f.n.i
		if i.silly == nil && gone(i.fd) {
			return h.stale(i)
		}
		if fault.Short && len(data) > 1 {
			data = data[:len(data)/2]
		}
		errno := h.keep(i, f.fd, data, off)
		if errno == 0 && h.opts.WriteBack == 0 {
			errno = h.writeBack(i)
			i.writeErr = 0 // told
		}
		if errno == 0 {
			written = uint32(len(data))
		}
		return errno
	})
	return written, errno
}

// Flush is called at each close. Like Linux it tells what failed, and leaves it to the next fsync to tell it again.
func (f *file) Flush(ctx context.Context) syscall.Errno {
	return f.n.h.do(ctx, OpFlush, f.n.path, func(Fault) syscall.Errno {
		if !f.writes {
			return 0
		}
		if errno := f.n.h.writeBack(f.n.i); errno != 0 {
			return errno
		}
		return f.n.i.writeErr
	})
}

func (f *file) Release(context.Context) syscall.Errno {
	h := f.n.h
	h.mu.Lock()
	defer h.mu.Unlock()
	i := f.n.i
	if i.opens--; i.opens == 0 && i.silly != nil {
		i.silly()
		i.silly = nil
	}
	if i.opens == 0 && h.lost == 0 && h.hung == nil {
		_ = h.writeBack(i) // a process that was killed while the host hung has not flushed
	}
	if err := unix.Close(f.fd); err != nil {
		return errnoOf(err)
	}
	return 0
}
