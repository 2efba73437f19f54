package standalone

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// level is how serious a line of the log is.
type level string

const (
	info    level = "INFO"
	warning level = "WARNING"
	failure level = "ERROR"
)

// maxHeld bounds what is kept back for lines that come before it, in bytes.
const maxHeld = 1 << 20

// maxFailed bounds how many names are kept to tell no failure twice.
const maxFailed = 4096

// terminal is what the user sees: log lines on stderr, prints of user code on stdout. Lines that say what became of a
// file wait until the worker has said it, and what was printed after them waits with them. The worker's word may also be
// the first to come, because what the handler says passes through one more pipe.
type terminal struct {
	stdout, stderr io.Writer
	inputDir       string
	now            func() time.Time

	mu       sync.Mutex
	open     bool // user code has begun a line
	queue    []item
	held     int                 // bytes in queue
	early    map[spool.Name]item // what became of files that user code has not ended with, as far as is known here
	failed   map[spool.Name]bool // files whose failure was told
	shutting bool                // "Shutting down task" was told
}

// item is something to be shown: prints, or a line, or a line that is not known yet.
type item struct {
	text  []byte
	line  string
	level level
	of    spool.Name // the file whose end it waits for
}

func newTerminal(stdout, stderr io.Writer, inputDir string) *terminal {
	return &terminal{
		stdout: stdout, stderr: stderr, inputDir: inputDir, now: time.Now,
		early: map[spool.Name]item{}, failed: map[spool.Name]bool{},
	}
}

// follow shows what comes from a worker until there is no more.
func (t *terminal) follow(r io.Reader) error {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		text, err := b.ReadSlice('\n')
		if len(text) > 0 {
			t.take(text)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // a long line, or one without an end
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading what the worker says: %w", err)
		}
	}
}

// take takes a line, or a piece of one.
func (t *terminal) take(text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	prints, narration, found := bytes.Cut(text, []byte{protocol.NarrationMark})
	if !found {
		t.print(text)
		return
	}
	n, err := protocol.DecodeNarration(narration)
	if err != nil { // user code printed the mark
		t.print(text)
		return
	}
	t.print(prints)
	t.narrated(n)
}

func (t *terminal) print(text []byte) {
	if len(text) > 0 {
		t.add(item{text: bytes.Clone(text)})
	}
}

func (t *terminal) narrated(n protocol.Narration) {
	switch n.Op {
	case protocol.OpSetup:
		t.add(item{level: info, line: "Setting up task"})
	case protocol.OpReady:
		t.add(item{level: info, line: "Task setup complete"})
	case protocol.OpBegin:
		t.againBegun(n.Input)
		t.add(item{level: info, line: "Starting processing: " + t.name(n.Input)})
	case protocol.OpEnd:
		end := item{of: n.Input}
		if known, ok := t.early[n.Input]; ok {
			end = t.settled(known, n.Input)
		}
		t.add(end)
	case protocol.OpTeardown:
		t.shut()
	case protocol.OpPublished, protocol.OpGivenUp, protocol.OpAgain:
		t.decided(n)
	default: // of a later version, or of no interest
	}
}

// decided shows what became of a file, in the place where user code ended with it.
func (t *terminal) decided(n protocol.Narration) {
	var what item
	switch n.Op {
	case protocol.OpPublished:
		what = item{level: info, line: "Successfully processed: " + t.name(n.Input)}
	case protocol.OpGivenUp:
		what = item{level: failure, line: "Failed processing: " + t.name(n.Input)}
	default: // it is tried again
	}
	if i := t.awaited(n.Input); i >= 0 {
		t.queue[i] = t.settled(what, n.Input)
		t.flush()
	} else if what.line != "" {
		t.early[n.Input] = what
	}
}

// awaited is where in the queue the word about a file belongs, or -1.
func (t *terminal) awaited(input spool.Name) int {
	return slices.IndexFunc(t.queue, func(i item) bool { return i.of == input && input != "" })
}

// againBegun takes in that user code begins on a file: what is still awaited of an attempt before will not come.
func (t *terminal) againBegun(input spool.Name) {
	if i := t.awaited(input); i >= 0 {
		t.queue[i].of = ""
	}
	if t.early[input].line == "" {
		delete(t.early, input)
	}
}

// settled is what is to be shown of a file of which all is known.
func (t *terminal) settled(what item, input spool.Name) item {
	delete(t.early, input)
	if what.level == failure {
		if len(t.failed) >= maxFailed {
			clear(t.failed)
		}
		t.failed[input] = true
	}
	return what
}

// log shows a line of this process.
func (t *terminal) log(l level, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.add(item{level: l, line: fmt.Sprintf(format, args...)})
}

// gaveUp shows the failure of a file that nothing else has told of.
func (t *terminal) gaveUp(file spool.Name) {
	t.mu.Lock()
	defer t.mu.Unlock()
	input := spool.Name(filepath.Join(t.inputDir, string(file)))
	if !t.failed[input] {
		t.add(item{level: failure, line: "Failed processing: " + t.name(input)})
		if _, known := t.early[input]; known { // should user code's end come yet, it is told
			t.early[input] = item{}
		}
	}
	delete(t.failed, input)
}

// urgent shows a line at once, before what is kept back.
func (t *terminal) urgent(l level, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.show(item{level: l, line: fmt.Sprintf(format, args...)})
}

// shutDown tells, once, that the task ends.
func (t *terminal) shutDown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shut()
}

func (t *terminal) shut() {
	if !t.shutting {
		t.shutting = true
		t.add(item{level: info, line: "Shutting down task"})
	}
}

// settle shows what is kept back, less what nobody will say any more.
func (t *terminal) settle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, input := range slices.Sorted(maps.Keys(t.early)) {
		t.add(t.settled(t.early[input], input))
	}
	for i := range t.queue {
		t.queue[i].of = ""
	}
	t.flush()
}

func (t *terminal) add(i item) {
	t.queue = append(t.queue, i)
	t.held += len(i.text) + len(i.line)
	t.flush()
}

// flush shows what waits for nothing.
func (t *terminal) flush() {
	n := 0
	for n < len(t.queue) && (t.queue[n].of == "" || t.held > maxHeld) {
		t.held -= len(t.queue[n].text) + len(t.queue[n].line)
		t.show(t.queue[n])
		n++
	}
	t.queue = append(t.queue[:0], t.queue[n:]...)
}

func (t *terminal) show(i item) {
	switch {
	case i.text != nil:
		_, _ = t.stdout.Write(i.text)
		t.open = i.text[len(i.text)-1] != '\n'
	case i.line != "":
		if t.open {
			_, _ = io.WriteString(t.stdout, "\n")
			t.open = false
		}
		fmt.Fprintf(t.stderr, "%s | %-8s | %s\n", t.now().Format(time.DateTime), i.level, i.line)
	}
}

// name is how a file is called: as below the input folder.
func (t *terminal) name(input spool.Name) string {
	rel, err := filepath.Rel(t.inputDir, string(input))
	if err != nil {
		return string(input)
	}
	return rel
}
