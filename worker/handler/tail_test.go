package handler

import (
	"fmt"
	"io"
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

// TestLastLinesOfANarratedHandler: what is for the terminal is nothing that user code wrote.
func TestLastLinesOfANarratedHandler(t *testing.T) {
	said := &tail{to: io.Discard}
	_, _ = io.WriteString(said, "\x1e{\"op\":\"setup\"}\nup\nopen\x1e{\"op\":\"begin\",\"input\":\"/a\"}\n\x1e no item\nlast")
	if got, want := said.lines(), []string{"up", "open", "\x1e no item", "last"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
