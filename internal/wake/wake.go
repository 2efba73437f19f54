// Package wake turns file system notifications into hints: look now, or this file is whole. Hints come late, doubled or –
// from other hosts of a network file system – never, so whoever uses one polls as well. It speaks inotify itself: what a
// library for many systems can tell leaves out that a writer has closed its file.
package wake

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	changes  = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MODIFY | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ATTRIB
	arrivals = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR
	whole    = unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE
	most     = 10_000 // arrivals that are kept for somebody who does not ask
)

// Watcher gives hints about some files and folders.
type Watcher struct {
	c    chan struct{}
	f    *os.File // nil if the system gave none, as when its limit of inotify instances is reached
	done sync.WaitGroup

	mu      sync.Mutex // guards the rest
	byPath  map[string]int
	inboxes map[int]string // folders whose arrivals are told, by watch
	arrived []string
}

// New makes a Watcher. It never fails: without notifications there are just no hints.
func New() *Watcher {
	w := &Watcher{c: make(chan struct{}, 1), byPath: map[string]int{}, inboxes: map[int]string{}}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return w
	}
	w.f = os.NewFile(uintptr(fd), "inotify")
	w.done.Go(w.run)
	return w
}

// C has a hint when something has changed since the last one was taken.
func (w *Watcher) C() <-chan struct{} { return w.c }

// Add watches a file or a folder, as far as the system lets it.
func (w *Watcher) Add(path string) { w.add(path, changes, false) }

// AddInbox watches a folder into which others put files. Hints come of files that come, not of each write to them, and
// Arrived names those that are whole.
func (w *Watcher) AddInbox(folder string) { w.add(folder, arrivals, true) }

func (w *Watcher) add(path string, mask uint32, inbox bool) {
	if w.f == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id, err := w.control(func(fd int) (int, error) { return unix.InotifyAddWatch(fd, path, mask) })
	if err != nil { // polling finds what it would have hinted at
		return
	}
	if old, ok := w.byPath[path]; ok && old != id { // another file has that name now
		w.forget(path, old)
	}
	w.byPath[path] = id
	if inbox {
		w.inboxes[id] = path
	}
}

// Remove ends watching a path.
func (w *Watcher) Remove(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id, ok := w.byPath[path]; ok {
		w.forget(path, id)
	}
}

func (w *Watcher) forget(path string, id int) {
	delete(w.byPath, path)
	delete(w.inboxes, id)
	_, _ = w.control(func(fd int) (int, error) { // it goes by itself with its file
		return unix.InotifyRmWatch(fd, uint32(id))
	})
}

// control calls fn with the descriptor, which does not close meanwhile.
func (w *Watcher) control(fn func(fd int) (int, error)) (id int, err error) {
	raw, err := w.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if closed := raw.Control(func(fd uintptr) { id, err = fn(int(fd)) }); closed != nil {
		return 0, closed
	}
	return id, err
}

// Arrived gives the files that were moved into inboxes, or closed there by a writer, since the last call. Some may be
// missing, and some may be gone.
func (w *Watcher) Arrived() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	arrived := w.arrived
	w.arrived = nil
	return arrived
}

// Close ends the Watcher.
func (w *Watcher) Close() {
	if w.f != nil {
		_ = w.f.Close() // it has nothing to lose
	}
	w.done.Wait()
}

func (w *Watcher) run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.f.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			length := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			w.event(int(int32(binary.NativeEndian.Uint32(b))), binary.NativeEndian.Uint32(b[4:]), b[unix.SizeofInotifyEvent:length])
			b = b[length:]
		}
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}

// event notes what one notification says beyond that something has changed.
func (w *Watcher) event(id int, mask uint32, name []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	folder, inbox := w.inboxes[id]
	switch {
	case mask&unix.IN_IGNORED != 0: // what it watched has gone
		delete(w.inboxes, id)
		for path, other := range w.byPath {
			if other == id {
				delete(w.byPath, path)
			}
		}
	case inbox && mask&whole != 0 && mask&unix.IN_ISDIR == 0 && len(w.arrived) < most:
		path := filepath.Join(folder, string(bytes.TrimRight(name, "\x00")))
		if !slices.Contains(w.arrived[max(0, len(w.arrived)-1):], path) {
			w.arrived = append(w.arrived, path)
		}
	}
}
