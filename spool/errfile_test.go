package spool

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWriteError(t *testing.T) {
	for _, durability := range []Durability{None, Fsync} {
		s := newSpool(t)
		s.manifest.Spec.Durability = durability
		l := lock(t, s)
		stems := []string{strings.Repeat("n", 255), strings.Repeat("文", 84)}
		for _, n := range hardNames {
			stem, _ := MatchInput(n, ".txt")
			stems = append(stems, stem)
		}
		for _, stem := range stems {
			want := ErrorFile{
				File: Name(stem + ".txt"), Timestamp: time.Unix(1700000000, 0).UTC(), ExceptionType: "ValueError", Message: "bad\nvalue", Traceback: "line 1",
				Attempts: 2, Crashes: 1, Worker: "w.0.r1", ExitCode: -11, Stderr: "last words",
			}
			for range 2 { // over an older one, too
				written, err := l.WriteError(stem, want)
				if err != nil || !written {
					t.Fatalf("error file of %q: %t, %v", stem, written, err)
				}
			}
			path := filepath.Join(string(s.Spec().OutputDir), ErrName(stem))
			var got ErrorFile
			must(t, readJSON(path, &got))
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("wrote %+v, read %+v", want, got)
			}
			for range 2 {
				must(t, l.RemoveError(stem))
			}
		}
		if left, _ := os.ReadDir(string(s.Spec().OutputDir)); len(left) != 1 { // .tigerflow
			t.Fatalf("left behind: %v", left)
		}
	}
}

// TestErrorFileFields pins the names that TigerFlow's own readers know.
func TestErrorFileFields(t *testing.T) {
	data, err := json.Marshal(ErrorFile{File: "a.txt", Timestamp: time.Unix(0, 0).UTC(), ExceptionType: "E", Message: "m", Traceback: "t", Attempts: 1})
	must(t, err)
	want := `{"file":"a.txt","timestamp":"1970-01-01T00:00:00Z","exception_type":"E","message":"m","traceback":"t","attempts":1}`
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}

// TestErrorFileIsForPeople: what a traceback names is not escaped.
func TestErrorFileIsForPeople(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	_, err := l.WriteError("a", ErrorFile{File: "a.txt", Traceback: `in <module> & "x"`})
	must(t, err)
	text, err := os.ReadFile(filepath.Join(string(s.Spec().OutputDir), "a.err"))
	must(t, err)
	if !strings.Contains(string(text), `in <module> & \"x\"`) {
		t.Errorf("%s", text)
	}
}

func TestOutputWinsOverError(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	write(t, filepath.Join(string(s.Spec().OutputDir), "a.out"), "")
	written, err := l.WriteError("a", ErrorFile{File: "a.txt"})
	if written || err != nil || exists(filepath.Join(string(s.Spec().OutputDir), "a.err")) {
		t.Fatalf("an error file beside an output: %t, %v", written, err)
	}
}

func TestWriteErrorOntoFullDisk(t *testing.T) {
	s := newSpoolIn(t, mountTmpfs(t))
	l := lock(t, s)
	_, err := l.WriteError("a", ErrorFile{File: "a.txt", Message: "old"})
	must(t, err)
	filler := s.path("filler")
	fill(t, filler, 0)
	if _, err := l.WriteError("a", ErrorFile{File: "a.txt", Message: "new"}); !IsFull(err) {
		t.Fatalf("writing an error file onto a full disk: %v", err)
	}
	path := filepath.Join(string(s.Spec().OutputDir), "a.err")
	if !strings.Contains(read(t, path), "old") {
		t.Fatalf("the older one is damaged: %s", read(t, path))
	}
	must(t, os.Remove(filler))
	_, err = l.WriteError("a", ErrorFile{File: "a.txt", Message: "new"})
	must(t, err)
	if !strings.Contains(read(t, path), "new") {
		t.Fatalf("with room again: %s", read(t, path))
	}
}

func TestWriteErrorWithoutOutputFolder(t *testing.T) {
	root := t.TempDir()
	spec := testSpec(root)
	spec.OutputDir = Name(filepath.Join(root, "absent"))
	s, err := Create(filepath.Join(root, "spool"), testOwner, spec)
	must(t, err)
	written, err := lock(t, s).WriteError("a", ErrorFile{})
	if written || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("written: %t, %v", written, err)
	}
}
