package handler

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLastLines(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprint(i))
	}
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{"\n\n", nil},
		{"a\n\nb\n", []string{"a", "", "b"}},
		{"no newline \xff", []string{`no newline \xff`}},
		{strings.Join(many, "\n"), many[10:]},
		{"first\n" + strings.Repeat("x", tailBytes), []string{"…" + strings.Repeat("x", tailBytes-3)}},
	}
	for _, tt := range tests {
		if got := lastLines(tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%.40q: %.80q, want %.80q", tt.text, got, tt.want)
		}
	}
}

func TestLogTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write := func(text string) {
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("of an earlier handler\n")
	from := sizeOf(log)
	if got := logTail(log, from); got != nil {
		t.Errorf("nothing was written, yet %q", got)
	}
	write("one\ntwo\n")
	if err := os.Rename(path, path+".1"); err != nil { // rotated meanwhile
		t.Fatal(err)
	}
	if got := logTail(log, from); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
	write(strings.Repeat(strings.Repeat("x", 99)+"\n", 100))
	if got := strings.Join(logTail(log, from), "\n"); len(got) > tailBytes || len(got) < tailLines*99 {
		t.Errorf("got %d bytes", len(got))
	}
	if err := log.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if got := logTail(log, from); got != nil {
		t.Errorf("a log cut short gave %q", got)
	}

	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if got := logTail(null, 0); got != nil {
		t.Errorf("/dev/null has lines %q", got)
	}
}
