package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestIdentifiers(t *testing.T) {
	tests := []struct {
		name    string
		task    Identifiers
		content string
		want    string
	}{
		{"most frequent first", Identifiers{MinLength: 1}, "b a_1 b(a_1, b)", "b 3\na_1 2\n"},
		{"names in order where counts are equal", Identifiers{MinLength: 1}, "b _ B a", "B 1\n_ 1\na 1\nb 1\n"},
		{"digits do not begin one", Identifiers{MinLength: 1}, "0x1F 35 x9", "x1F 1\nx9 1\n"},
		{"bytes beyond ASCII divide", Identifiers{MinLength: 1}, "naïve", "na 1\nve 1\n"},
		{"top", Identifiers{Top: 1, MinLength: 1}, "a b b", "b 2\n"},
		{"min length", Identifiers{MinLength: 2}, "a bb a", "bb 1\n"},
		{"empty", Identifiers{MinLength: 1}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			input, output := filepath.Join(dir, "in.go"), filepath.Join(dir, "out.txt")
			if err := os.WriteFile(input, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := tt.task.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := tt.task.Run(t.Context(), input, output); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(output); err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestBadParams(t *testing.T) {
	for _, task := range []Identifiers{{Top: -1, MinLength: 1}, {}} {
		if err := task.Setup(t.Context()); err == nil {
			t.Errorf("%+v was taken", task)
		}
	}
}

// The scan finds what the regular expression finds.
func FuzzCount(f *testing.F) {
	identifier := regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
	f.Add("func main() { x1 := 0x10 }")
	f.Fuzz(func(t *testing.T, content string) {
		want := map[string]int{}
		for _, word := range identifier.FindAllString(content, -1) {
			want[word]++
		}
		got, err := Identifiers{MinLength: 1}.count(strings.NewReader(content))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: got %v, %v; want %v", content, got, err, want)
		}
	})
}
