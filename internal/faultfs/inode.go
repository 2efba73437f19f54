package faultfs

import (
	"errors"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// inode is what a host knows of one file or folder. The host's mutex guards it. fd is a handle in the sense of NFS: it
// stands for the same thing whatever its name is now.
type inode struct {
	ino  uint64
	mode uint32
	fd   int

	attr      fuse.Attr
	attrUntil time.Time

	names      map[string]nameEntry // of a folder
	listing    []fuse.DirEntry
	listsUntil time.Time

	pages    map[int64]*page // not on the server yet
	split    bool            // its last page went ahead of the others
	writeErr syscall.Errno   // of a write-back that nobody was told of
	opens    int
	silly    func() // removes the name that keeps a removed file until its last close
}

type nameEntry struct {
	to    *inode // nil: it is not there
	until time.Time
}

// at finds what is there now under a name, past all caches.
func (h *Host) at(dir int, name string) (*inode, syscall.Errno) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errnoOf(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, errnoOf(err)
	}
	if known := h.inodes[st.Ino]; known != nil {
		_ = unix.Close(fd)
		return known, 0
	}
	i := &inode{ino: st.Ino, mode: st.Mode, fd: fd, names: map[string]nameEntry{}}
	h.inodes[st.Ino] = i
	return i, 0
}

// find is at, with the host's memory of names.
func (h *Host) find(d *inode, name string) (*inode, syscall.Errno) {
	now := time.Now()
	if e, ok := d.names[name]; ok && now.Before(e.until) {
		if e.to == nil {
			return nil, syscall.ENOENT
		}
		return e.to, 0
	}
	to, errno := h.at(d.fd, name)
	if errno != 0 && errno != syscall.ENOENT {
		return nil, errno
	}
	if errno == syscall.ENOENT && gone(d.fd) {
		return nil, h.stale(d)
	}
	d.names[name] = nameEntry{to: to, until: now.Add(h.opts.Names)}
	return to, errno
}

// changed notes a change that this host made in a folder: it knows of its own.
func (h *Host) changed(d *inode, name string, to *inode) {
	d.names[name] = nameEntry{to: to, until: time.Now().Add(h.opts.Names)}
	d.listing, d.listsUntil, d.attrUntil = nil, time.Time{}, time.Time{}
}

// stale answers for a handle that the server does not know any more, and forgets the names that led to it.
func (h *Host) stale(i *inode) syscall.Errno {
	for _, d := range h.inodes {
		for name, e := range d.names {
			if e.to == i {
				delete(d.names, name)
			}
		}
	}
	return syscall.ESTALE
}

// gone reports whether what fd stands for has no name any more.
func gone(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Nlink == 0
}

// stat is what the host believes of a file, its own unwritten data included.
func (h *Host) stat(i *inode) (fuse.Attr, syscall.Errno) {
	if now := time.Now(); !now.Before(i.attrUntil) {
		var st syscall.Stat_t
		if err := syscall.Fstat(i.fd, &st); err != nil {
			return fuse.Attr{}, errnoOf(err)
		}
		if st.Nlink == 0 {
			return fuse.Attr{}, h.stale(i)
		}
		i.attr.FromStat(&st)
		i.attrUntil = now.Add(h.opts.Attrs)
	}
	attr := i.attr
	attr.Size = max(attr.Size, uint64(i.end(h.opts.PageSize)))
	return attr, 0
}

// list is what the host believes to be in a folder.
func (h *Host) list(d *inode) ([]fuse.DirEntry, syscall.Errno) {
	now := time.Now()
	if now.Before(d.listsUntil) {
		return d.listing, 0
	}
	if gone(d.fd) {
		return nil, h.stale(d)
	}
	fd, err := unix.Open(procPath(d.fd), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errnoOf(err)
	}
	entries, errno := readEntries(fd)
	_ = unix.Close(fd) // it was only read from
	if errno != 0 {
		return nil, errno
	}
	d.listing, d.listsUntil = entries, now.Add(h.opts.Listings)
	return entries, 0
}

func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func errnoOf(err error) syscall.Errno {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return syscall.EIO
}

func fusermount(dir string) error { return exec.Command("fusermount3", "-u", "-z", dir).Run() }
