package caller

import (
	"bytes"
	"io"
	"sync"
)

const tailBytes = 4 << 10

// tail passes on what is written to it, and knows how it ends.
type tail struct {
	to io.Writer // nil: nobody reads it

	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*tailBytes {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailBytes:]...)
	}
	if t.to != nil {
		_, _ = t.to.Write(p) // a log that cannot be written must not stop user code
	}
	return len(p), nil
}

// lastLine is ": " and the last line that was written; empty if there is none.
func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.kept)
	if len(text) == 0 {
		return ""
	}
	return ": " + string(bytes.ToValidUTF8(text[bytes.LastIndexByte(text, '\n')+1:], []byte("?")))
}
