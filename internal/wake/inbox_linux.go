package wake

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	arrivals = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE | unix.IN_ONLYDIR
	whole    = unix.IN_MOVED_TO | unix.IN_CLOSE_WRITE
	most     = 10_000 // arrivals that are kept for somebody who does not ask
)

// inbox tells which files in some folders are whole. It speaks inotify(7) itself: fsnotify does not tell that a writer has
// closed its file.
type inbox struct {
	f *os.File

	mu      sync.Mutex // guards the rest
	folders map[int]string
	arrived []string
}

func newInbox() *inbox {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	return &inbox{f: os.NewFile(uintptr(fd), "inotify"), folders: map[int]string{}}
}

// add watches a folder. A folder that is watched already keeps its watch; one that has come back under its name gets a new
// one.
func (b *inbox) add(folder string) {
	raw, err := b.f.SyscallConn()
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = raw.Control(func(fd uintptr) { // it fails only when closed, and then there is nothing to tell
		id, err := unix.InotifyAddWatch(int(fd), folder, arrivals)
		if err != nil {
			return // polling finds what it would tell
		}
		for other, name := range b.folders {
			if name == folder && other != id { // another folder has that name now
				delete(b.folders, other)
				_, _ = unix.InotifyRmWatch(int(fd), uint32(other)) // it goes by itself with its folder
			}
		}
		b.folders[id] = folder
	})
}

func (b *inbox) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	arrived := b.arrived
	b.arrived = nil
	return arrived
}

// close ends run.
func (b *inbox) close() { _ = b.f.Close() }

func (b *inbox) run(hint func()) {
	buf := make([]byte, 64<<10)
	for {
		n, err := b.f.Read(buf)
		if err != nil {
			return
		}
		for events := buf[:n]; len(events) >= unix.SizeofInotifyEvent; {
			length := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
			id := int(int32(binary.NativeEndian.Uint32(events)))
			b.event(id, binary.NativeEndian.Uint32(events[4:]), events[unix.SizeofInotifyEvent:length])
			events = events[length:]
		}
		hint()
	}
}

// event notes what one notification says beyond that something has changed.
func (b *inbox) event(id int, mask uint32, name []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	folder, known := b.folders[id]
	switch {
	case mask&unix.IN_IGNORED != 0: // the folder has gone
		delete(b.folders, id)
	case known && mask&whole != 0 && mask&unix.IN_ISDIR == 0 && len(b.arrived) < most:
		path := filepath.Join(folder, string(bytes.TrimRight(name, "\x00")))
		if last := len(b.arrived) - 1; last < 0 || b.arrived[last] != path {
			b.arrived = append(b.arrived, path)
		}
	}
}
