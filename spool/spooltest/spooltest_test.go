package spooltest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// recorder is a test that notes what it is told.
type recorder struct {
	testing.TB
	errors, logs []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func TestCheck(t *testing.T) {
	root := t.TempDir()
	spec := spool.Spec{Task: "t", InputDir: spool.Name(root), InputExt: ".txt", OutputDir: spool.Name(root), OutputExt: ".out"}
	s, err := spool.Create(spool.Dir(root, "t"), spool.Owner{}, spec)
	if err != nil {
		t.Fatal(err)
	}
	want := func(dir string, errors, logs int, words string) {
		t.Helper()
		r := &recorder{}
		Check(r, dir)
		if len(r.errors) != errors || len(r.logs) != logs || !strings.Contains(strings.Join(append(r.errors, r.logs...), "\n"), words) {
			t.Fatalf("errors %q, logs %q; want %d and %d with %q", r.errors, r.logs, errors, logs, words)
		}
	}
	put := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want(s.Path(), 0, 0, "")
	put("mine.out")
	want(s.Path(), 0, 1, "mine.out")
	put(spool.TempName(".out"))
	want(s.Path(), 1, 1, string(spool.ProblemStray))
	want(filepath.Join(root, "absent"), 1, 0, "no such file")
}
