package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCreate(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "deep", "below")
	_, err := Open(dir)
	wantIs(t, err, fs.ErrNotExist)
	spec := testSpec(root)
	spec.InputDir, spec.OutputDir = "/in/\xff", "/out/line\nbreak"
	spec.Timeout, spec.Retry.Backoff = Duration(90*time.Second), Duration(30*time.Second)
	spec.Params = map[string]json.RawMessage{"prefix": json.RawMessage(`{"nested":[1,null]}`)}
	made, err := Create(dir, testOwner, spec)
	must(t, err)
	again, err := Create(dir, Owner{Plane: "https://another"}, Spec{})
	must(t, err)
	opened, err := Open(dir)
	must(t, err)
	for _, s := range []*Spool{made, again, opened} {
		if s.ID() != made.ID() || s.Owner() != testOwner || !equalSpecs(t, *s.Spec(), spec) || s.Path() != dir {
			t.Fatalf("spool %s of %s with %+v", s.ID(), s.Owner(), *s.Spec())
		}
	}
	if len(made.ID()) != 16 {
		t.Fatalf("id %q", made.ID())
	}
}

// equalSpecs compares specs by what they say: params may be spaced differently.
func equalSpecs(t *testing.T, a, b Spec) bool {
	t.Helper()
	x, err := json.Marshal(a)
	must(t, err)
	y, err := json.Marshal(b)
	must(t, err)
	return bytes.Equal(x, y)
}

func TestCreateByManyAtOnce(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "spool")
	children := make([]*child, 4)
	for i := range children {
		children[i] = start(t, "create", dir)
	}
	for _, c := range children {
		c.line()
	}
	ids := make(chan string, 16)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			s, err := Create(dir, testOwner, testSpec(root))
			if err != nil {
				t.Error(err)
				return
			}
			ids <- s.ID()
		})
	}
	for _, c := range children {
		c.release()
	}
	wg.Wait()
	close(ids)
	all := map[string]bool{}
	for id := range ids {
		all[id] = true
	}
	for _, c := range children {
		for _, id := range c.end() {
			all[id] = true
		}
	}
	if len(all) != 1 {
		t.Fatalf("one spool has the ids %v", all)
	}
	left, err := filepath.Glob(filepath.Join(dir, newPrefix+"*"))
	must(t, err)
	if len(left) > 0 {
		t.Fatalf("left behind: %q", left)
	}
}

func roleCreate(args []string) error {
	say("ready")
	released()
	s, err := Create(args[0], testOwner, testSpec(args[0]))
	if err == nil {
		say("%s", s.ID())
	}
	return err
}

func TestFormat(t *testing.T) {
	for content, want := range map[string]string{
		`{"format": 2, "id": "x", "spec": "of another kind"}`: "has format 2 and this tigerflow knows 1",
		`{"id": "x"}`:                  "has format 0, which no tigerflow has written",
		`{"format": 0, "id": "x"}`:     "move the folder away to begin anew",
		`{"format": -1, "id": "x"}`:    "has format -1, which no tigerflow has written",
		`{"format": "one"}`:            "damaged",
		"\x00\x00\x00\x00":             "damaged",
		`{"format": 1, "spec": "one"}`: "damaged",
		`{"format": 1`:                 "damaged",
		``:                             "damaged",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "spool.json"), content)
		for name, open := range map[string]func() (*Spool, error){
			"Open":   func() (*Spool, error) { return Open(dir) },
			"Create": func() (*Spool, error) { return Create(dir, testOwner, testSpec(dir)) },
		} {
			_, err := open()
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s of %s: %v, want %q and the folder", name, content, err, want)
			}
			var format *FormatError
			if errors.As(err, &format) != (want != "damaged") {
				t.Errorf("%s of %s: %T", name, content, err)
			}
		}
		if got := read(t, filepath.Join(dir, "spool.json")); got != content {
			t.Errorf("%s became %s", content, got)
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "spool.json"), `{"format": 1, "id": "x", "spec": {"task": "a", "later": {"field": 1}}, "more": true}`)
	s, err := Open(dir)
	must(t, err)
	if s.Spec().Task != "a" {
		t.Fatalf("spec %+v", s.Spec())
	}
}

func TestUpdateAndReload(t *testing.T) {
	s := newSpool(t)
	other, err := Open(s.Path())
	must(t, err)
	spec := *s.Spec()
	spec.Revision = "2"
	owner := Owner{Plane: "https://cluster", Namespace: "n", Name: "m"}
	l := lock(t, s)
	must(t, l.Update(owner, spec))
	if other.Spec().Revision != "" {
		t.Fatal("a Spool changes by itself")
	}
	must(t, other.Reload())
	for _, x := range []*Spool{s, other} {
		if x.Spec().Revision != "2" || x.Owner() != owner || x.ID() != s.ID() {
			t.Fatalf("after Update: %+v of %s", x.Spec(), x.Owner())
		}
	}
	if got := owner.String(); got != "n/m of https://cluster" {
		t.Errorf("owner in words: %s", got)
	}
}

func TestInstallLib(t *testing.T) {
	s := newSpool(t)
	for _, content := range []string{"one", "one", "two", "three!"} {
		path, err := s.InstallLib("package-1.zip", []byte(content))
		must(t, err)
		if read(t, path) != content {
			t.Fatalf("installed %q, found %q", content, read(t, path))
		}
	}
	kept, err := os.ReadDir(filepath.Join(s.Path(), "lib"))
	must(t, err)
	if len(kept) != 1 {
		t.Fatalf("lib holds %v", kept)
	}
}

func TestDuration(t *testing.T) {
	data, err := json.Marshal(Duration(90 * time.Minute))
	must(t, err)
	var d Duration
	must(t, json.Unmarshal(data, &d))
	if string(data) != `"1h30m0s"` || d != Duration(90*time.Minute) {
		t.Errorf("%s, %v", data, d)
	}
	if json.Unmarshal([]byte(`"soon"`), &d) == nil {
		t.Error("a duration without number or unit is taken")
	}
}
