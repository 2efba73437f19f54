package library

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/transform"
)

func TestEcho(t *testing.T) {
	long := strings.Repeat("straße \xff|", firstRead/4) // several reads, runes cut by their ends
	tests := []struct {
		name          string
		echo          Echo
		content, want string
	}{
		{"plain", Echo{}, "a\x00b\xff\n", "a\x00b\xff\n"},
		{"empty", Echo{}, "", ""},
		{"empty with prefix and suffix", Echo{Prefix: "<", Suffix: ">"}, "", "<>"},
		{"prefix and suffix", Echo{Prefix: ">>> ", Suffix: "\n--"}, "text", ">>> text\n--"},
		{"uppercase leaves prefix and suffix", Echo{Prefix: "a", Suffix: "z", Uppercase: true}, "straße é", "aSTRASSE Éz"},
		{"uppercase keeps what is no text", Echo{Uppercase: true}, "a\xff\xc3", "A\xff\xc3"},
		{"as long as the first read", Echo{Suffix: "."}, long[:firstRead], long[:firstRead] + "."},
		{"longer than the first read", Echo{Prefix: "<", Suffix: ">"}, long, "<" + long + ">"},
		{"long uppercase", Echo{Uppercase: true}, long, strings.Repeat("STRASSE \xff|", firstRead/4)},
		{"prefix longer than the first read", Echo{Prefix: long}, "x", long + "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := echo(t, tt.echo, tt.content); got != tt.want {
				t.Errorf("got %d bytes %.60q, want %d bytes %.60q", len(got), got, len(tt.want), tt.want)
			}
		})
	}
}

func echo(t testing.TB, e Echo, content string) string {
	t.Helper()
	dir := t.TempDir()
	input, output := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for path, content := range map[string]string{input: content, output: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Run(t.Context(), input, output); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestEchoErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	absent := filepath.Join(dir, "absent")
	for _, tt := range []struct {
		name, input, output, path string
	}{
		{"no input", absent, file, absent},
		{"input is a folder", dir, file, dir},
		{"output was not made", file, absent, absent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var pathError *fs.PathError
			if err := (Echo{}).Run(t.Context(), tt.input, tt.output); !errors.As(err, &pathError) || pathError.Path != tt.path {
				t.Errorf("error %v, want a PathError about %s", err, tt.path)
			}
		})
	}
}

// A full disk must fail the file at any size of it.
func TestEchoDiskFull(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	for _, size := range []int{1, 3 * firstRead} {
		input := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(input, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (Echo{}).Run(t.Context(), input, "/dev/full"); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%d bytes: error %v, want no space left on device", size, err)
		}
	}
}

// Uppercasing does not depend on how the content is cut into reads.
func FuzzEchoUppercase(f *testing.F) {
	f.Add("ß\xffé\xc3")
	upper := cases.Upper(language.Und)
	f.Fuzz(func(t *testing.T, content string) {
		var out bytes.Buffer
		in := transform.NewReader(iotest.OneByteReader(strings.NewReader(content)), upper)
		if err := (Echo{}).copy(&out, in); err != nil {
			t.Fatal(err)
		}
		if want := upper.String(content); out.String() != want {
			t.Errorf("%q became %q, want %q", content, out.String(), want)
		}
	})
}

func TestLibrary(t *testing.T) {
	for _, name := range Names() {
		if instance, ok := Lookup(name); !ok || instance() == nil {
			t.Errorf("%s is listed but not found", name)
		}
	}
	if got := fmt.Sprint(Names()); got != "[echo http-request]" {
		t.Errorf("names are %s", got)
	}
	if _, ok := Lookup("Echo"); ok {
		t.Error("Echo was found; names are exact")
	}
}

// BenchmarkEcho runs beside BenchmarkRaw, the same system calls without anything around them.
func BenchmarkEcho(b *testing.B) {
	input, output := benchFiles(b)
	e, ctx := Echo{Prefix: "> "}, b.Context()
	for b.Loop() {
		if err := e.Run(ctx, input, output); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRaw(b *testing.B) {
	input, output := benchFiles(b)
	buf := make([]byte, firstRead)
	for b.Loop() {
		in, err := os.Open(input)
		if err != nil {
			b.Fatal(err)
		}
		n, err := in.Read(buf)
		if err != nil && !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		in.Close()
		out, err := os.OpenFile(output, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := out.Write(buf[:n]); err != nil {
			b.Fatal(err)
		}
		if err := out.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchFiles(b *testing.B) (input, output string) {
	dir := b.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "tigerflow-bench-"); err == nil { //nolint:usetesting // in memory, wherever TMPDIR is
		b.Cleanup(func() { os.RemoveAll(shm) })
		dir = shm
	}
	input, output = filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(input, bytes.Repeat([]byte("0123456789abcdef"), 64), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(output, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	return input, output
}
