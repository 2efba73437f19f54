package handler

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{
		"bin/tool": 0o700, "data/tool": 0o600, "data/locked": 0o600, "here": 0o700, "bin/folder/x": 0o700,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + dir + "/absent:" + dir + "/data::" + dir + "/bin"
	tests := []struct {
		name, env string
		want      string
		err       error
	}{
		{"tool", path, dir + "/bin/tool", nil}, // not the one that is no program
		{"here", path, "./here", nil},          // an empty element is the working directory
		{"tool", "PATH=bin", "bin/tool", nil},
		{"locked", path, "", os.ErrPermission},
		{"folder", path, "", errNotInPath},
		{"absent", path, "", errNotInPath},
		{"tool", "HOME=/", "", errNotInPath},
		{"bin/tool", "", "bin/tool", nil},
		{dir + "/bin/tool", "", dir + "/bin/tool", nil},
		{"./bin/absent", "", "", os.ErrNotExist},
		{"./bin", "", "", syscall.EISDIR},
	}
	for _, tt := range tests {
		got, err := program{argv: []string{tt.name}}.find([]string{tt.env}, dir)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s in %s: %q, %v; want %q, %v", tt.name, tt.env, got, err, tt.want, tt.err)
		}
		if _, ok := errors.AsType[*StartError](err); err != nil && !ok {
			t.Errorf("%s: error %v, want a *StartError", tt.name, err)
		}
	}
}

// Faults of the system are not the author's to mend.
func TestPassingFaultsAreNoStartErrors(t *testing.T) {
	for err, passing := range map[error]bool{syscall.EAGAIN: true, syscall.ESTALE: true, syscall.ENOEXEC: false} {
		got := program{what: "program", mend: "build it"}.startError(&os.PathError{Op: "fork/exec", Path: "/x", Err: err})
		if _, ok := errors.AsType[*StartError](got); ok == passing || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
