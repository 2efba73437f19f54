package handler

import (
	"fmt"
	"io"
	"os"
	"strings"

	"tigerflow.dev/tigerflow/task/protocol"
)

// What is kept of the end of a log.
const (
	tailLines = 20
	tailBytes = 4 << 10
)

// lastLines cuts text to its last lines.
func lastLines(text string) []string {
	text = strings.TrimRight(protocol.Printable(text), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(protocol.Tail(text, tailBytes), "\n")
	return lines[max(0, len(lines)-tailLines):]
}

// sizeOf is the length of a log before a process writes to it; 0 for what has none.
func sizeOf(log *os.File) int64 {
	info, err := log.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// logTail reads the last lines that a log got since it was from bytes long. The log is open for writing only and may
// have been renamed, so it is opened again by its descriptor.
func logTail(log *os.File, from int64) []string {
	if info, err := log.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", log.Fd()))
	if err != nil {
		return nil
	}
	defer f.Close()
	end := sizeOf(f)
	text := make([]byte, min(max(0, end-from), tailBytes))
	n, _ := f.ReadAt(text, end-int64(len(text)))
	return lastLines(string(text[:n]))
}

// tail keeps the end of what is written to it and passes everything on.
type tail struct {
	to   io.Writer
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 4*tailBytes {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailBytes:]...)
	}
	_, _ = t.to.Write(p) // a log that cannot be written must not stop user code
	return len(p), nil
}

func (t *tail) lines() []string { return lastLines(string(t.kept)) }
