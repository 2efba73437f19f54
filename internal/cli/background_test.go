package cli

import (
	"slices"
	"testing"
)

func TestForeground(t *testing.T) {
	got := foreground([]string{"run", "-b", "c.yaml", "--background", "in", "out", "--background=true", "--idle-timeout", "3"})
	if want := []string{"run", "c.yaml", "in", "out", "--idle-timeout", "3"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
