package handler

import (
	"fmt"
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
