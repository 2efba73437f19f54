package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Log is an append-only file of records with one writer, who made it. What Append took is written by Flush or not at
// all yet: a failed or short write leaves the file ending in its last whole record and the rest in memory, to be tried
// again. So does a failed sync: the kernel may then have dropped what it had taken, and left a hole that hides all later
// records. A Log is not safe for use from several goroutines.
type Log struct {
	f      *os.File
	off    int64 // end of the last whole record in the file
	buf    []byte
	synced int64
	kept   []byte // what is written from synced to off
}

// keptMost is how much may be written without a sync, for it is kept in memory until then.
const keptMost = 1 << 20

// spareMost is how large an empty buffer may be that is kept: what a rush needed is given back.
const spareMost = 64 << 10

func emptied(buf []byte) []byte {
	if cap(buf) > spareMost {
		return nil
	}
	return buf[:0]
}

// openLog takes up a file that this process's own staging made empty.
func openLog(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &Log{f: f}, nil
}

// Append adds a record to what the next Flush writes.
func (l *Log) Append(v any) error {
	buf, err := AppendRecord(l.buf, v)
	if err != nil {
		return err
	}
	l.buf = buf
	return nil
}

// Buffered is the number of bytes that Flush has yet to write.
func (l *Log) Buffered() int { return len(l.buf) }

// Flush writes what was appended. After an error nothing is lost: call it again.
func (l *Log) Flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	if _, err := l.f.WriteAt(l.buf, l.off); err != nil {
		// A torn record would hide all later ones from readers.
		return errors.Join(fmt.Errorf("writing %s: %w", l.f.Name(), err), l.f.Truncate(l.off))
	}
	l.off += int64(len(l.buf))
	l.kept = append(l.kept, l.buf...)
	l.buf = emptied(l.buf)
	if len(l.kept) > keptMost {
		return l.sync()
	}
	return nil
}

// Sync flushes and waits until the records are on disk.
func (l *Log) Sync() error {
	if err := l.Flush(); err != nil {
		return err
	}
	if l.synced == l.off {
		return nil
	}
	return l.sync()
}

func (l *Log) sync() error {
	if err := l.f.Sync(); err != nil {
		l.off, l.buf, l.kept = l.synced, append(l.kept, l.buf...), nil // the same bytes at the same place, once more
		return fmt.Errorf("syncing %s: %w", l.f.Name(), err)
	}
	l.synced, l.kept = l.off, emptied(l.kept)
	return nil
}

// Synced reports whether all that was appended is on disk.
func (l *Log) Synced() bool { return len(l.buf) == 0 && l.synced == l.off }

// Close flushes and closes.
func (l *Log) Close() error { return errors.Join(l.Flush(), l.f.Close()) }

// Tail reads a Log that somebody else may be writing. It opens the file anew for each Read, which is what makes a
// network file system show news, and stops at the first record that is not whole.
type Tail struct {
	path string
	off  int64
	buf  []byte
}

// Offset is the end of the last record that Read gave out.
func (t *Tail) Offset() int64 { return t.off }

// Read calls fn with each new record: its payload, valid during the call only, and the offset of its end. A file that
// is not there has no records.
func (t *Tail) Read(fn func(payload []byte, end int64) error) error {
	f, err := openPlain(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		more, err := t.readChunk(f, fn)
		if err != nil || !more {
			return err
		}
	}
}

// openPlain opens a regular file for reading as os.Open does, without asking the poller about it: that takes as many system
// calls again, and this is done for each worker at each poll.
func openPlain(path string) (*os.File, error) {
	for {
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case !errors.Is(err, syscall.EINTR):
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// readChunk reads a piece from the offset on and reports whether there may be more behind it.
func (t *Tail) readChunk(f *os.File, fn func([]byte, int64) error) (bool, error) {
	if t.buf == nil {
		t.buf = make([]byte, 64<<10)
	}
	n, err := f.ReadAt(t.buf, t.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading %s: %w", t.path, err)
	}
	b, full := t.buf[:n], n == len(t.buf)
	used := 0
	for {
		payload, size, err := NextRecord(b[used:])
		if err != nil {
			if errors.Is(err, ErrIncomplete) && full && used == 0 {
				t.buf = make([]byte, min(len(t.buf)*4, recordHeader+maxRecord+1)) // one record longer than the buffer
				return true, nil
			}
			return full && used > 0, nil
		}
		used += size
		if err := fn(payload, t.off+int64(size)); err != nil {
			return false, err
		}
		t.off += int64(size)
	}
}
