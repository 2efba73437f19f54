package spool

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestNamesInFolders(t *testing.T) {
	for name, want := range map[string]string{"a/b.txt": "a/b", "a.txt/b.txt": "a.txt/b", "a/.txt": "", "a/.~tf_b.txt": "", "a/b": "", ".~tf_a/b.txt": ".~tf_a/b"} {
		stem, ok := MatchInput(name, ".txt")
		if ok != (want != "") || ok && stem != want {
			t.Errorf("%q has stem %q (%t), want %q", name, stem, ok, want)
		}
	}
	long := strings.Repeat("n", 252)
	if got, want := ErrName("a/"+long), "a/"+ErrName(long); got != want || len(filepath.Base(got)) != maxName {
		t.Errorf("the error file is %q, want %q", got, want)
	}
	if got := ErrName(long + "/b"); got != long+"/b.err" {
		t.Errorf("the error file is %q", got)
	}
}

// deep makes a spool with durability Fsync whose inputs may lie in folders.
func deep(t *testing.T) *Spool {
	t.Helper()
	s := newSpool(t)
	s.manifest.Spec.Recursive, s.manifest.Spec.Durability = true, Fsync
	return s
}

// TestFoldersAreMade when an output or an error file needs them; not the output folder itself, and not by a fenced worker.
func TestFoldersAreMade(t *testing.T) {
	s := deep(t)
	l, w := lock(t, s), bear(t, s, "w.0.r1")
	publish := func(stem string) error {
		tmp, err := w.NewTemp(".out")
		must(t, err)
		info, _, err := w.Inspect(tmp)
		must(t, err)
		mine, err := w.Publish(tmp, outputOf(s, stem), info)
		if err == nil && !mine {
			t.Errorf("%q was published by somebody else", stem)
		}
		return err
	}
	for _, stem := range []string{"a/b/c", "a/b/d", "a/e", "f"} {
		must(t, publish(stem))
		if !exists(outputOf(s, stem)) {
			t.Errorf("there is no output of %q", stem)
		}
	}
	if written, err := l.WriteError("a/g/h", ErrorFile{File: "a/g/h.txt"}); !written || err != nil || !exists(filepath.Join(string(s.Spec().OutputDir), "a/g/h.err")) {
		t.Errorf("the error file is written: %t, %v", written, err)
	}
	write(t, filepath.Join(string(s.Spec().OutputDir), "file"), "")
	wantIs(t, publish("file/i"), syscall.ENOTDIR)
	must(t, os.Mkdir(outputOf(s, "folder"), 0o777))
	wantIs(t, publish("folder"), syscall.EISDIR)

	tmp, err := w.NewTemp(".out")
	must(t, err)
	info, _, err := w.Inspect(tmp)
	must(t, err)
	fence(t, l, w.ID())
	_, err = w.Publish(tmp, outputOf(s, "late/j"), info)
	wantIs(t, err, fs.ErrNotExist)
	if exists(filepath.Dir(outputOf(s, "late/j"))) {
		t.Error("a fenced worker made a folder")
	}
	must(t, os.RemoveAll(string(s.Spec().OutputDir)))
	wantIs(t, s.Spec().makeFolder("k/l"), fs.ErrNotExist)
}

func TestWalk(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "b/c", "b/d/e", ".hidden/f", "b/.hidden/g", "out/h"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, "in", name)), 0o777))
		write(t, filepath.Join(root, "in", name), "")
	}
	must(t, os.Symlink("in", filepath.Join(root, "link")))
	must(t, os.Symlink("..", filepath.Join(root, "in", "b", "loop")))
	skip, err := os.Stat(filepath.Join(root, "in", "out"))
	must(t, err)
	for _, c := range []struct {
		dir  string
		deep bool
		want []string
	}{
		{"in", true, []string{"a", "b/c", "b/d/e", "b/loop"}},
		{"link", true, []string{"a", "b/c", "b/d/e", "b/loop"}},
		{"in", false, []string{"a"}},
		{"absent", true, nil},
	} {
		var got []string
		must(t, walk(filepath.Join(root, c.dir), c.deep, skip, func(name string, _ fs.DirEntry) { got = append(got, name) }))
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// TestCheckFolders: what lies in folders belongs together by its relative name.
func TestCheckFolders(t *testing.T) {
	s := deep(t)
	l := lock(t, s)
	for _, name := range []string{"in/a/x.txt", "in/a/y.txt", "in/z.txt", "in/.b/x.txt", "out/a/x.out", "out/a/y.err", "out/a/stray.out", "out/a/" + TempPrefix + "x.out"} {
		path := filepath.Join(string(s.Spec().WorkDir), name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		write(t, path, "")
	}
	must(t, l.Update(testOwner, *s.Spec()))
	must(t, l.Append(Entry{Kind: EntryAdopted, Done: []Name{"a/x.txt", "z.txt"}}))
	must(t, l.Append(Entry{Kind: EntryFailed, File: "a/y.txt"}))
	must(t, l.Close())
	r, err := Check(s.Path())
	must(t, err)
	if r.Inputs != 3 || r.Done != 1 || r.Failed != 1 || r.Waiting != 1 {
		t.Errorf("%+v", r)
	}
	if len(r.Problems) != 2 || r.Problems[0].Kind != ProblemNoOutput || r.Problems[1].Kind != ProblemStray {
		t.Errorf("problems: %v", r.Problems)
	}
	if len(r.Notes) != 1 || !strings.HasSuffix(r.Notes[0].Path, "a/stray.out") {
		t.Errorf("notes: %v", r.Notes)
	}
}

// TestRepairInFolders mends what Check finds in the folders of the output folder, and nothing the second time.
func TestRepairInFolders(t *testing.T) {
	s := deep(t)
	out := func(name string) string { return filepath.Join(string(s.Spec().OutputDir), name) }
	in := func(name string) string { return filepath.Join(string(s.Spec().InputDir), name) }
	for _, dir := range []string{in("a/b"), out("a/b"), out("a/d.out")} {
		must(t, os.MkdirAll(dir, 0o777))
	}
	stray := "a/b/" + TempName(".out")
	for _, path := range []string{in("a/b/c.txt"), out("a/b/c.out"), out("a/b/c.err"), in("a/d.txt"), out("a/d.err"), out(stray)} {
		write(t, path, "")
	}
	must(t, s.update(s.Owner(), *s.Spec()))
	for _, want := range [][]string{{out(stray), out("a/b/c.err")}, nil} {
		mended, err := s.Repair()
		must(t, err)
		var got []string
		for _, p := range mended {
			got = append(got, p.Path)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("mended %q, want %q", got, want)
		}
		report, err := Check(s.Path())
		must(t, err)
		if len(report.Problems) > 0 {
			t.Errorf("problems: %v", report.Problems)
		}
	}
	if !exists(out("a/d.err")) {
		t.Error("a folder was taken for an output")
	}
}
