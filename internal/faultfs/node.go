package faultfs

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is the kernel's reference to an inode.
type node struct {
	fs.Inode
	h *Host
	i *inode
}

var (
	_ fs.NodeLookuper   = (*node)(nil)
	_ fs.NodeGetattrer  = (*node)(nil)
	_ fs.NodeSetattrer  = (*node)(nil)
	_ fs.NodeReaddirer  = (*node)(nil)
	_ fs.NodeMkdirer    = (*node)(nil)
	_ fs.NodeSymlinker  = (*node)(nil)
	_ fs.NodeReadlinker = (*node)(nil)
	_ fs.NodeUnlinker   = (*node)(nil)
	_ fs.NodeRmdirer    = (*node)(nil)
	_ fs.NodeRenamer    = (*node)(nil)
	_ fs.NodeLinker     = (*node)(nil)
	_ fs.NodeFsyncer    = (*node)(nil)
	_ fs.NodeStatfser   = (*node)(nil)
)

func (n *node) path() string { return n.h.server.relative(n.i.fd) }

func (n *node) below(name string) func() string {
	return func() string { return filepath.Join(n.path(), name) }
}

// enter makes the kernel's reference to an inode that was found or made.
func (n *node) enter(ctx context.Context, to *inode, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	attr, errno := n.h.stat(to)
	if errno != 0 {
		return nil, errno
	}
	out.Attr = attr
	return n.NewInode(ctx, &node{h: n.h, i: to}, fs.StableAttr{Mode: to.mode & syscall.S_IFMT, Ino: to.ino}), 0
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (child *fs.Inode, errno syscall.Errno) {
	errno = n.h.do(ctx, OpLookup, n.below(name), func(Fault) syscall.Errno {
		to, errno := n.h.find(n.i, name)
		if errno == 0 {
			child, errno = n.enter(ctx, to, out)
		}
		return errno
	})
	return child, errno
}

func (n *node) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return n.h.do(ctx, OpGetattr, n.path, func(Fault) (errno syscall.Errno) {
		out.Attr, errno = n.h.stat(n.i)
		return errno
	})
}

func (n *node) Setattr(ctx context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return n.h.do(ctx, OpSetattr, n.path, func(Fault) (errno syscall.Errno) {
		if errno := n.set(in); errno != 0 {
			return errno
		}
		out.Attr, errno = n.h.stat(n.i)
		return errno
	})
}

func (n *node) set(in *fuse.SetAttrIn) syscall.Errno {
	n.i.attrUntil = time.Time{} // it knows of its own changes
	if size, ok := in.GetSize(); ok {
		if size == 0 {
			n.i.pages = nil
		}
		if errno := n.h.writeBack(n.i); errno != 0 {
			return errno
		}
		if err := unix.Truncate(procPath(n.i.fd), int64(size)); err != nil {
			return errnoOf(err)
		}
		n.h.server.touch(n.i.fd)
	}
	if mode, ok := in.GetMode(); ok {
		if err := unix.Chmod(procPath(n.i.fd), mode); err != nil {
			return errnoOf(err)
		}
	}
	if in.Valid&(fuse.FATTR_UID|fuse.FATTR_GID) != 0 {
		uid, gid := -1, -1
		if id, ok := in.GetUID(); ok {
			uid = int(id)
		}
		if id, ok := in.GetGID(); ok {
			gid = int(id)
		}
		if err := unix.Chown(procPath(n.i.fd), uid, gid); err != nil {
			return errnoOf(err)
		}
	}
	if at, ok := in.GetMTime(); ok {
		ts := unix.NsecToTimespec(at.UnixNano())
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, procPath(n.i.fd), []unix.Timespec{ts, ts}, 0); err != nil {
			return errnoOf(err)
		}
	}
	return 0
}

func (n *node) Readdir(ctx context.Context) (stream fs.DirStream, errno syscall.Errno) {
	errno = n.h.do(ctx, OpReaddir, n.path, func(Fault) syscall.Errno {
		entries, errno := n.h.list(n.i)
		stream = fs.NewListDirStream(entries)
		return errno
	})
	return stream, errno
}

// make makes a name in a folder by fn, and tells of it.
func (n *node) make(ctx context.Context, op Op, name string, out *fuse.EntryOut, fn func() error) (child *fs.Inode, errno syscall.Errno) {
	errno = n.h.do(ctx, op, n.below(name), func(f Fault) syscall.Errno {
		if errno := n.h.server.refused(); errno != 0 {
			return errno
		}
		to, errno := n.h.bring(f, n.i, op, name, fn)
		if errno == 0 {
			child, errno = n.enter(ctx, to, out)
		}
		return errno
	})
	return child, errno
}

// bring has fn bring a name into folder d.
func (h *Host) bring(f Fault, d *inode, op Op, name string, fn func() error) (*inode, syscall.Errno) {
	s := h.server
	s.mu.Lock()
	err := fn()
	if err != nil {
		s.mu.Unlock()
		if errnoOf(err) == syscall.ENOENT && gone(d.fd) {
			return nil, h.stale(d)
		}
		return nil, errnoOf(err)
	}
	to, errno := h.at(d.fd, name)
	if errno == 0 {
		s.named(Event{Op: op, Host: h.name, Path: filepath.Join(s.relative(d.fd), name), Ino: to.ino})
	}
	s.mu.Unlock()
	if errno == 0 {
		if !f.lost() {
			h.changed(d, name, to)
		}
		s.touch(d.fd)
		if op == OpCreate || op == OpMkdir {
			s.touch(to.fd)
		}
	}
	return to, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, OpMkdir, name, out, func() error { return unix.Mkdirat(n.i.fd, name, mode) })
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.make(ctx, OpSymlink, name, out, func() error { return unix.Symlinkat(target, n.i.fd, name) })
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	from, ok := target.(*node)
	if !ok {
		return nil, syscall.EXDEV
	}
	return n.make(ctx, OpLink, name, out, func() error {
		if gone(from.i.fd) {
			return n.h.stale(from.i)
		}
		from.i.attrUntil = time.Time{}
		return unix.Linkat(unix.AT_FDCWD, procPath(from.i.fd), n.i.fd, name, unix.AT_SYMLINK_FOLLOW)
	})
}

func (n *node) Readlink(ctx context.Context) (target []byte, errno syscall.Errno) {
	errno = n.h.do(ctx, OpReadlink, n.path, func(Fault) syscall.Errno {
		buf := make([]byte, unix.PathMax)
		k, err := unix.Readlinkat(n.i.fd, "", buf)
		if err != nil {
			return errnoOf(err)
		}
		target = buf[:k]
		return 0
	})
	return target, errno
}

// Unlink removes a name. A file that this host has open keeps a name until it is closed, as on NFS, and keeps its folder
// from being removed.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	return n.h.do(ctx, OpUnlink, n.below(name), func(Fault) syscall.Errno {
		to, errno := n.h.at(n.i.fd, name)
		if errno != 0 {
			n.h.changed(n.i, name, nil)
			return errno
		}
		if to.opens > 0 && to.silly != nil {
			return syscall.EBUSY
		}
		var err error
		if to.opens > 0 {
			silly := fmt.Sprintf(".nfs%016x", to.ino)
			err = unix.Renameat2(n.i.fd, name, n.i.fd, silly, unix.RENAME_NOREPLACE)
			if err == nil {
				to.silly = func() {
					_ = unix.Unlinkat(n.i.fd, silly, 0) // somebody else may have
					n.h.changed(n.i, silly, nil)
				}
			}
		} else {
			err = unix.Unlinkat(n.i.fd, name, 0)
		}
		if err != nil {
			return errnoOf(err)
		}
		to.attrUntil = time.Time{}
		n.h.changed(n.i, name, nil)
		n.h.server.touch(n.i.fd)
		return 0
	})
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.h.do(ctx, OpRmdir, n.below(name), func(Fault) syscall.Errno {
		if err := unix.Unlinkat(n.i.fd, name, unix.AT_REMOVEDIR); err != nil {
			return errnoOf(err)
		}
		n.h.changed(n.i, name, nil)
		n.h.server.touch(n.i.fd)
		return 0
	})
}

func (n *node) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to, ok := newParent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	if flags != 0 && (!n.h.opts.NoReplace || flags != unix.RENAME_NOREPLACE) {
		return syscall.EINVAL
	}
	return n.h.do(ctx, OpRename, to.below(newName), func(f Fault) syscall.Errno {
		_, errno := n.h.bring(f, to.i, OpRename, newName, func() error {
			return unix.Renameat2(n.i.fd, name, to.i.fd, newName, uint(flags))
		})
		if errno == 0 && !f.lost() {
			n.h.changed(n.i, name, nil)
		}
		n.h.server.touch(n.i.fd)
		return errno
	})
}

// Fsync of a folder: names are on the server already.
func (n *node) Fsync(ctx context.Context, f fs.FileHandle, _ uint32) syscall.Errno {
	return n.h.do(ctx, OpFsync, n.path, func(Fault) syscall.Errno {
		if _, isFile := f.(*file); isFile {
			return n.h.sync(n.i)
		}
		return 0
	})
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	var st syscall.Statfs_t
	if err := syscall.Statfs(n.h.server.dir, &st); err != nil {
		return errnoOf(err)
	}
	out.FromStatfsT(&st)
	return 0
}
