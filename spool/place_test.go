package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHereOf(t *testing.T) {
	for _, tt := range []struct{ written, dir, path, want string }{
		{"/workspace/out/.tigerflow/tasks/t", "/scratch/me/out/.tigerflow/tasks/t", "/workspace/in", "/scratch/me/in"},
		{"/workspace/out/.tigerflow/tasks/t", "/scratch/me/out/.tigerflow/tasks/t", "/workspace", "/scratch/me"},
		{"/workspace/out/.tigerflow/tasks/t", "/scratch/me/out/.tigerflow/tasks/t", "/workspaces/in", "/workspaces/in"},
		{"/workspace/out/.tigerflow/tasks/t", "/scratch/me/out/.tigerflow/tasks/t", "/data/in", "/data/in"},
		{"/out/.tigerflow/tasks/t", "/mnt/out/.tigerflow/tasks/t", "/in", "/mnt/in"},
		{"/mnt/out/.tigerflow/tasks/t", "/out/.tigerflow/tasks/t", "/mnt/in", "/in"},
		{"/scratch/me/out/.tigerflow/tasks/t", "/copies/2/.tigerflow/tasks/t", "/scratch/me/out/t", "/copies/2/t"},
		{"/scratch/me/out/.tigerflow/tasks/t", "/copies/2/.tigerflow/tasks/t", "/scratch/me/in", "/scratch/me/in"},
	} {
		if got := hereOf(tt.written, tt.dir)(Name(tt.path)); string(got) != tt.want {
			t.Errorf("%s, written in %s and read in %s: %s, want %s", tt.path, tt.written, tt.dir, got, tt.want)
		}
	}
	for _, written := range []string{"", "out/.tigerflow/tasks/t", "/scratch/out/.tigerflow/tasks/t"} {
		if hereOf(written, "/scratch/out/.tigerflow/tasks/t") != nil {
			t.Errorf("%q is taken for another place", written)
		}
	}
}

// A spool whose tree is mounted elsewhere is one with the files of that tree; a link to it is not elsewhere.
func TestOpenElsewhere(t *testing.T) {
	root := t.TempDir()
	at := func(names ...string) string { return filepath.Join(append([]string{root}, names...)...) }
	must(t, os.MkdirAll(at("here", "in"), 0o777))
	folder := func(name string) Name { return Name(at("here", name)) }
	s, err := Create(Dir(at("here", "out"), "t"), Owner{}, Spec{Task: "t", WorkDir: folder(""), InputDir: folder("in"), OutputDir: folder("out")})
	must(t, err)
	must(t, os.Symlink(at("here", "out"), at("link")))
	open := func(out string) Spec {
		t.Helper()
		s, err := Open(Dir(out, "t"))
		must(t, err)
		return *s.Spec()
	}
	if got := open(at("link")); got.InputDir != folder("in") || got.OutputDir != folder("out") {
		t.Errorf("over a link it is %+v", got)
	}
	t.Chdir(at("here"))
	if got := open("out"); got.InputDir != folder("in") {
		t.Errorf("by a relative name it is %+v", got)
	}
	must(t, os.Rename(at("here"), at("there")))
	got := open(at("there", "out"))
	for path, want := range map[Name]string{got.WorkDir: at("there"), got.InputDir: at("there", "in"), got.OutputDir: at("there", "out")} {
		if string(path) != want {
			t.Errorf("elsewhere it has %s, want %s", path, want)
		}
	}
	if text := read(t, filepath.Join(Dir(at("there", "out"), "t"), "spool.json")); !strings.Contains(text, s.Path()) {
		t.Errorf("where it was written is not in %s", text)
	}
}
