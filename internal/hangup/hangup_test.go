package hangup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
)

func TestPipe(t *testing.T) {
	out, into, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	told := 0
	w := Pipe(into, func() { told++ })
	if _, err := io.WriteString(w, "a"); err != nil || told > 0 {
		t.Errorf("a write that is read: %v, told %d times", err, told)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := io.WriteString(w, "b"); !errors.Is(err, syscall.EPIPE) || told != 1 {
			t.Errorf("a write that nobody reads: %v, told %d times", err, told)
		}
	}
}

// What can have no reader that goes is left as it is: others look whether it is a terminal.
func TestNoPipe(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, w := range []io.Writer{file, new(bytes.Buffer)} {
		if got := Pipe(w, func() { t.Error("told") }); got != w {
			t.Errorf("%T became %T", w, got)
		}
	}
}
