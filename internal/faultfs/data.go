package faultfs

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// page is data of a page that the server does not have, from lo to hi.
type page struct {
	lo, hi int
	data   []byte
}

// end is the size of the file by its unwritten pages.
func (i *inode) end(size int) int64 {
	var end int64
	for n, p := range i.pages {
		end = max(end, n*int64(size)+int64(p.hi))
	}
	return end
}

// keep takes data that is to be written later.
func (h *Host) keep(i *inode, fd int, data []byte, off int64) syscall.Errno {
	size := int64(h.opts.PageSize)
	if i.pages == nil {
		i.pages = map[int64]*page{}
	}
	for len(data) > 0 {
		n, lo := off/size, int(off%size)
		part := data[:min(len(data), int(size)-lo)]
		hi := lo + len(part)
		p := i.pages[n]
		switch {
		case p == nil:
			p = &page{lo: lo, hi: hi, data: make([]byte, size)}
			i.pages[n] = p
		case hi < p.lo || lo > p.hi: // a gap, which the server's data fills
			whole := make([]byte, size)
			if _, err := unix.Pread(fd, whole, n*size); err != nil {
				return errnoOf(err)
			}
			copy(whole[p.lo:p.hi], p.data[p.lo:p.hi])
			p.data = whole
		}
		copy(p.data[lo:], part)
		p.lo, p.hi = min(p.lo, lo), max(p.hi, hi)
		data, off = data[len(part):], off+int64(len(part))
	}
	return 0
}

// read is what the host sees of a file: not beyond the end that it knows, its own unwritten data over the server's.
func (h *Host) read(i *inode, fd int, dest []byte, off int64) ([]byte, syscall.Errno) {
	attr, errno := h.stat(i)
	if errno != 0 {
		return nil, errno
	}
	length := max(0, min(int64(len(dest)), int64(attr.Size)-off))
	dest = dest[:length]
	n, err := unix.Pread(fd, dest, off)
	if err != nil {
		return nil, errnoOf(err)
	}
	clear(dest[n:])
	size := int64(h.opts.PageSize)
	for k, p := range i.pages {
		lo, hi := k*size+int64(p.lo), k*size+int64(p.hi)
		if from, to := max(lo, off), min(hi, off+length); from < to {
			copy(dest[from-off:to-off], p.data[from-k*size:to-k*size])
		}
	}
	return dest, 0
}

// writeBack brings the unwritten pages to the server. What the server refuses is gone, as on Linux; the next fsync tells.
func (h *Host) writeBack(i *inode) syscall.Errno {
	return h.writePages(i, slices.Sorted(maps.Keys(i.pages)))
}

func (h *Host) writePages(i *inode, numbers []int64) syscall.Errno {
	if len(numbers) == 0 {
		return 0
	}
	errno := h.server.refused()
	fd := -1
	if errno == 0 {
		var err error
		if fd, err = unix.Open(procPath(i.fd), unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
			errno = errnoOf(err)
		}
	}
	for _, n := range numbers {
		p := i.pages[n]
		delete(i.pages, n)
		if errno == 0 {
			if _, err := unix.Pwrite(fd, p.data[p.lo:p.hi], n*int64(h.opts.PageSize)+int64(p.lo)); err != nil {
				errno = errnoOf(err)
			}
		}
	}
	if fd >= 0 {
		_ = unix.Close(fd) // a local file; the write told
	}
	if errno != 0 {
		i.writeErr = errno
	}
	i.attrUntil = time.Time{}
	h.server.touch(i.fd)
	return errno
}

// sync brings a file to the server and tells what failed since somebody was last told.
func (h *Host) sync(i *inode) syscall.Errno {
	errno := h.writeBack(i)
	if errno == 0 {
		errno = i.writeErr
	}
	i.writeErr, i.split = 0, false
	if errno == 0 && i.silly == nil && gone(i.fd) {
		errno = h.stale(i)
	}
	return errno
}

// writeBackNowAndThen is the host's flusher.
func (h *Host) writeBackNowAndThen() {
	tick := time.NewTicker(h.opts.WriteBack)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.writeBackSome()
		case <-h.over:
			return
		}
	}
}

func (h *Host) writeBackSome() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hung != nil || h.lost != 0 { // a silent server takes nothing
		return
	}
	for _, i := range h.inodes {
		if len(i.pages) == 0 {
			continue
		}
		numbers := slices.Sorted(maps.Keys(i.pages))
		if last := numbers[len(numbers)-1]; h.opts.LaterFirst && !i.split && last > 0 {
			numbers, i.split = []int64{last}, len(numbers) > 1
		} else {
			i.split = false
		}
		_ = h.writePages(i, numbers) // told by the next fsync
	}
}

// readEntries reads a folder.
func readEntries(fd int) ([]fuse.DirEntry, syscall.Errno) {
	var entries []fuse.DirEntry
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			return nil, errnoOf(err)
		}
		if n == 0 {
			return entries, 0
		}
		for b := buf[:n]; len(b) > 0; { // linux_dirent64, getdents(2)
			length := binary.NativeEndian.Uint16(b[16:])
			name, _, _ := bytes.Cut(b[19:length], []byte{0})
			if s := string(name); s != "." && s != ".." {
				entries = append(entries, fuse.DirEntry{Name: s, Ino: binary.NativeEndian.Uint64(b), Mode: uint32(b[18]) << 12})
			}
			b = b[length:]
		}
	}
}
