package worker

import (
	"errors"
	"io"
	"os"
	"sync"

	"tigerflow.dev/tigerflow/spool"
)

// printLimit is the size at which the log of what user code prints begins anew; one older one is kept.
const printLimit = 16 << 20

// printLog takes what user code prints. It has the same file as the worker's own messages, which others append to, so
// it is not renamed when it is full but copied and cut. What the disk does not take is lost: no print ever fails or waits
// for a disk that is full.
type printLog struct {
	mu    sync.Mutex
	f     *os.File
	limit int64
	size  int64
}

func openPrintLog(path string, limit int64) (*printLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &printLog{f: f, limit: limit, size: info.Size()}, nil
}

// Write takes all of p, whatever becomes of it.
func (l *printLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > l.limit {
		l.rotate()
	}
	n, _ := l.f.Write(p)
	l.size += int64(n)
	return len(p), nil
}

// rotate makes room. That it may lose what others append meanwhile is the price of one name for all.
func (l *printLog) rotate() {
	if info, err := l.f.Stat(); err == nil && info.Size() < l.limit/2 { // others cut it
		l.size = info.Size()
		return
	}
	if old, err := os.Create(spool.OldLogPath(l.f.Name())); err == nil {
		_, _ = io.Copy(old, io.NewSectionReader(l.f, 0, l.limit))
		_ = old.Close() // a log that is lost to a full disk
	}
	if l.f.Truncate(0) == nil {
		l.size = 0
	}
}

// Close ends the log.
func (l *printLog) Close() error { return l.f.Close() }
