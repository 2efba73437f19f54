package handler

import (
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

func (t *tail) lines() []string { return lastLines(withoutNarration(string(t.kept))) }

// withoutNarration leaves what user code printed. An item ends the line that user code began before it.
func withoutNarration(text string) string {
	var prints strings.Builder
	for line := range strings.SplitAfterSeq(text, "\n") {
		said, item, found := strings.Cut(line, string(rune(protocol.NarrationMark)))
		if _, err := protocol.DecodeNarration([]byte(item)); !found || err != nil {
			said = line
		} else if said != "" {
			said += "\n"
		}
		prints.WriteString(said)
	}
	return prints.String()
}

// copyUntilDeath copies what a process writes to a pipe, all of it, and returns when the process is dead.
func copyUntilDeath(to io.Writer, from *os.File, dead <-chan struct{}) {
	stream := &mortal{f: from}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(to, stream)
	}()
	<-dead
	stream.died()
	<-copied
}
