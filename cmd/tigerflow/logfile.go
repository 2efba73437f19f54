package main

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
)

// logReader shows the logs of workers, each from where it was last read.
type logReader struct {
	logsOptions
	out    io.Writer
	dir    string
	spools map[string]*spool.Spool
	files  []*logFile
	known  map[string]bool // paths of these
	named  bool            // lines tell whose they are
	wake   *wake.Watcher   // nil if nothing is followed
}

// logFile is the log of one worker. When it is full its content is copied to the old log, and it is cut.
type logFile struct {
	path, task, worker string
	written            time.Time // before it was found
	read               bool      // so was the old log
	off                int64
	rest               []byte // of a line that has no end yet
}

// label names a worker of a Task without the Task's own key.
func (f *logFile) label() string { return f.task + "/" + shortWorker(f.worker) }

func shortWorker(id string) string {
	_, short, _ := strings.Cut(id, ".")
	return short
}

func (l *logReader) logsOf(s *spool.Spool) (found []*logFile, err error) {
	entries, err := os.ReadDir(s.LogsDir())
	for _, e := range entries {
		worker, ok := spool.LogWorker(e.Name())
		path := filepath.Join(s.LogsDir(), e.Name())
		if !ok || l.known[path] || l.worker != "" && l.worker != worker && l.worker != shortWorker(worker) {
			continue
		}
		f := &logFile{path: path, task: s.Spec().Task, worker: worker}
		if info, err := e.Info(); err == nil {
			f.written = info.ModTime()
		}
		found = append(found, f)
	}
	return found, err
}

func (l *logReader) add(found []*logFile) {
	slices.SortStableFunc(found, func(a, b *logFile) int { return cmp.Or(a.written.Compare(b.written), cmp.Compare(a.path, b.path)) })
	for _, f := range found {
		l.known[f.path] = true
	}
	l.files = append(l.files, found...)
	l.named = l.named || len(l.files) > 1
}

// read shows what is new in each log.
func (l *logReader) read() error {
	for _, f := range l.files {
		if err := l.readFile(f); err != nil {
			return err
		}
	}
	return nil
}

func (l *logReader) readFile(f *logFile) error {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) { // it was long ago
		return nil
	}
	if err != nil {
		return err
	}
	if !f.read || info.Size() < f.off {
		if _, err := l.from(f, spool.OldLogPath(f.path), f.off); err != nil {
			return err
		}
		f.read, f.off = true, 0
	}
	f.off, err = l.from(f, f.path, f.off)
	return err
}

// from shows a file from an offset on, and tells where it ends.
func (l *logReader) from(f *logFile, path string, off int64) (int64, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return off, err
	}
	defer file.Close()
	if _, err := file.Seek(off, io.SeekStart); err != nil {
		return off, err
	}
	r := bufio.NewReaderSize(file, 64<<10)
	for {
		text, err := r.ReadSlice('\n')
		off += int64(len(text))
		if f.rest = append(f.rest, text...); err == nil {
			if err := l.show(f); err != nil {
				return off, err
			}
			continue
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return off, err
	}
}

// show writes a line.
func (l *logReader) show(f *logFile) error {
	line := f.rest
	if l.named {
		line = append([]byte(f.label()+": "), line...)
	}
	f.rest = f.rest[:0]
	_, err := l.out.Write(line)
	return err
}

// end writes what has no end.
func (l *logReader) end() error {
	for _, f := range l.files {
		if len(f.rest) > 0 {
			f.rest = append(f.rest, '\n')
			if err := l.show(f); err != nil {
				return err
			}
		}
	}
	return nil
}
