package protocol

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestReaderSplitsLines(t *testing.T) {
	whole := strings.Repeat("x", MaxLine-1)
	tests := []struct {
		name, stream string
		want         []string
	}{
		{"empty", "", nil},
		{"two", "a\nbc\n", []string{"a", "bc"}},
		{"a torn tail is no message", "a\n{\"op\":", []string{"a"}},
		{"the longest line", whole + "\nb\n", []string{whole, "b"}},
		{"carriage returns stay", "a\r\n\n", []string{"a\r", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(iotest.HalfReader(strings.NewReader(tt.stream)))
			for i, want := range tt.want {
				if got, err := r.Next(); err != nil || string(got) != want {
					t.Fatalf("message %d: %d bytes, %v; want %d bytes", i, len(got), err, len(want))
				}
			}
			if got, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last: %.20q, %v; want io.EOF", got, err)
			}
		})
	}
}

func TestReaderRefusesALongLine(t *testing.T) {
	_, err := NewReader(strings.NewReader(strings.Repeat("x", MaxLine) + "\n")).Next()
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error %v, want one about the length", err)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestBlameSlots(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "current"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	long := strings.Repeat("m", MaxMark)
	for slot, mark := range map[int]string{0: "first", 3: long, 4: "gone"} {
		if err := WriteMark(f, slot, mark); err != nil {
			t.Fatal(err)
		}
	}
	if err := ClearMark(f, 4); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != 5*SlotSize {
		t.Fatalf("the file has %d bytes", len(content))
	}
	if first := string(content[:SlotSize]); first != "first"+strings.Repeat(" ", 122)+"\n" {
		t.Errorf("first slot is %q", first)
	}
	if want, got := map[int]string{0: "first", 3: long}, ReadMarks(content); !maps.Equal(got, want) {
		t.Errorf("marks are %v, want %v", got, want)
	}
	if err := WriteMark(f, 0, long+"m"); err == nil {
		t.Error("a mark of 128 bytes was taken")
	}
}

func FuzzReadMarks(f *testing.F) {
	f.Add([]byte("short"))
	f.Add(bytes.Repeat([]byte("x "), SlotSize))
	f.Fuzz(func(t *testing.T, content []byte) {
		for slot, mark := range ReadMarks(content) {
			if mark == "" || len(mark) > MaxMark || slot < 0 || slot >= len(content)/SlotSize {
				t.Errorf("slot %d has mark %q", slot, mark)
			}
		}
	})
}

func TestTexts(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"printable", Printable("open é\xff\uFFFD\xc3"), `open é\xff` + "\uFFFD" + `\xc3`},
		{"head of a short text", Head("abcdef", 6), "abcdef"},
		{"head", Head("abcdefgh", 6), "abc…"},
		{"head between runes", Head("abéééé", 6), "ab…"},
		{"tail", Tail("abcdefgh", 6), "…fgh"},
		{"tail between runes", Tail("éééécd", 6), "…cd"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func FuzzTexts(f *testing.F) {
	f.Add("a\xffé", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		p := Printable(s)
		if !utf8.ValidString(p) {
			t.Fatalf("%q is not UTF-8", p)
		}
		if limit < len(ellipsis) || limit > 1<<20 {
			return
		}
		for _, cut := range []string{Head(p, limit), Tail(p, limit)} {
			if len(cut) > limit || !utf8.ValidString(cut) {
				t.Errorf("%q cut to %d bytes is %q", p, limit, cut)
			}
		}
	})
}
