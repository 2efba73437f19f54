package flow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

func TestBinds(t *testing.T) {
	defer func(usual []string) { ofImage = usual }(ofImage)
	ofImage = []string{"/bin", "/usr"} // not the folder of temporary files
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"space/code", "store/videos", "models", "out/.tigerflow/tasks/a", "tasks", "secrets", "linked"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"space/in": filepath.Join(root, "data/videos"), "data": "store", "space/here": "code"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(path string) spool.Name { return spool.Name(filepath.Join(root, path)) }
	spec := &spool.Spec{
		WorkDir: at("space"), InputDir: at("space/in"), OutputDir: at("out"), EnvFile: at("secrets/x.env"),
		Handler: spool.Handler{Python: &spool.PythonHandler{Module: "../tasks/a.py:Task"}},
		Params: map[string]json.RawMessage{
			"model": raw(t, at("models")), "absent": raw(t, at("absent")), "list": raw(t, []string{"../store", "x"}),
			"number": raw(t, 3), "root": raw(t, "/"), "empty": raw(t, ""), "program": raw(t, "/bin/sh"), "word": raw(t, "base"),
		},
	}
	got := Binds(spec, string(at("out/.tigerflow/tasks/a")), []string{string(at("linked")), string(at("linked/not")), "/usr/share"})
	var lines []string
	for _, b := range got {
		line := strings.TrimPrefix(b.Path, root)
		if b.ReadOnly {
			line += " ro"
		}
		lines = append(lines, line)
	}
	want := []string{
		"/space", "/space/in", "/data/videos", "/store/videos", "/out", "/out/.tigerflow/tasks/a", "/tasks ro", "/secrets ro",
		"/models", "/store", "/linked ro",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTrailOfALoop(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if got := trail(filepath.Join(dir, "loop/x")); len(got) != linksMost+1 {
		t.Errorf("%d stages", len(got))
	}
}
