// Package faultfs is a file system that behaves as badly as network file systems do, for tests. A Server keeps one tree;
// each Host mounts it, as a machine mounts an export, with caches of its own: what one host does another sees late, what
// is not synced no other host has, answers get lost, operations hang, and a host may lose its mount. What a host does is
// decided by its Decider, so that a seed repeats the decisions.
//
// The model is NFS with close-to-open consistency: data goes to the server at fsync, at close, or after a while, and is
// looked at anew when a file is opened. An fsync that succeeded means that the data is on the server.
package faultfs

import (
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Event is a name that came into the tree: by creating, linking or renaming.
type Event struct {
	Op   Op
	Host string
	Path string // relative to the tree
	Ino  uint64
}

// Server keeps the tree. Its methods may be called from any goroutine.
type Server struct {
	dir string

	mu      sync.Mutex
	refuses syscall.Errno // new data and new names
	grain   time.Duration // of file times
	skew    time.Duration // of the server's clock
	onName  func(Event)
}

// NewServer serves the folder dir, which lies on a local file system.
func NewServer(dir string) (*Server, error) {
	dir, err := filepath.EvalSymlinks(dir)
	return &Server{dir: dir}, err
}

// Refuse has the server take no data and no new names, with this error (ENOSPC, EDQUOT, EROFS); 0 ends it.
func (s *Server) Refuse(errno syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = errno
}

// Clock sets how coarse file times are, and how far the server's clock is ahead of this machine's.
func (s *Server) Clock(grain, skew time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grain, s.skew = grain, skew
}

// OnName has fn called for every name that comes into the tree, in order, before the answer is given.
func (s *Server) OnName(fn func(Event)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onName = fn
}

func (s *Server) refused() syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuses
}

// named tells of a new name. The server's mutex is held, so events have the order of the operations.
func (s *Server) named(e Event) {
	if s.onName != nil {
		s.onName(e)
	}
}

// touch gives what fd stands for the time of the server's clock.
func (s *Server) touch(fd int) {
	s.mu.Lock()
	grain, skew := s.grain, s.skew
	s.mu.Unlock()
	if grain == 0 && skew == 0 {
		return
	}
	now := time.Now().Add(skew)
	if grain > 0 {
		now = now.Truncate(grain)
	}
	at := unix.NsecToTimespec(now.UnixNano())
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), []unix.Timespec{at, at}, 0)
}

// Touch gives what was made past all mounts, and its folder, the time of the server's clock.
func (s *Server) Touch(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		fd, err := unix.Open(filepath.Join(s.dir, p), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		s.touch(fd)
		_ = unix.Close(fd) // it stood for a path only
	}
	return nil
}

// relative is the path of what fd stands for, below the tree.
func (s *Server) relative(fd int) string {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink(procPath(fd), buf)
	if err != nil {
		return "?"
	}
	return strings.TrimPrefix(strings.TrimPrefix(string(buf[:n]), s.dir), "/")
}
