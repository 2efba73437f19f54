package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestIsStorage(t *testing.T) {
	at := func(errno syscall.Errno) error {
		return fmt.Errorf("doing: %w", &os.PathError{Op: "write", Path: "x", Err: errno})
	}
	for _, c := range []struct {
		err           error
		storage, full bool
	}{
		{at(syscall.ENOSPC), true, true},
		{at(syscall.EDQUOT), true, true},
		{at(syscall.EIO), true, false},
		{at(syscall.ESTALE), true, false},
		{at(syscall.EROFS), true, false},
		{at(syscall.ESHUTDOWN), true, false},
		{at(syscall.ENOTCONN), true, false},
		{errors.Join(errors.New("first"), at(syscall.EIO)), true, false},
		{at(syscall.ENOENT), false, false},
		{at(syscall.EACCES), false, false},
		{at(syscall.ENAMETOOLONG), false, false},
		{errors.New("no space left on device"), false, false},
		{nil, false, false},
	} {
		if IsStorage(c.err) != c.storage || IsFull(c.err) != c.full {
			t.Errorf("%v: storage %t, full %t", c.err, IsStorage(c.err), IsFull(c.err))
		}
	}
}

// bothWays runs a test with renameat2 and with link and unlink.
func bothWays(t *testing.T, test func(t *testing.T)) {
	t.Run("renameat2", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "from"), "")
		if err := renameNoReplace(filepath.Join(dir, "from"), filepath.Join(dir, "to")); errors.Is(err, errors.ErrUnsupported) {
			t.Skip("skipped: this file system has no renameat2")
		}
		test(t)
	})
	t.Run("link", func(t *testing.T) {
		before := renameat2Refused.Swap(true)
		defer renameat2Refused.Store(before)
		test(t)
	})
}

func TestPublish(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			prepare func(tmp, target string) error
			made    bool
			err     error
			target  string // its content afterwards
		}{
			"free":      {made: true, target: "mine"},
			"foreign":   {prepare: func(_, target string) error { return os.WriteFile(target, []byte("theirs"), 0o666) }, target: "theirs"},
			"same text": {prepare: func(_, target string) error { return os.WriteFile(target, []byte("mine"), 0o666) }, target: "mine"},
			"folder":    {prepare: func(_, target string) error { return os.Mkdir(target, 0o777) }, err: syscall.EISDIR},
			"dangling":  {prepare: func(_, target string) error { return os.Symlink("nowhere", target) }},
			"answer lost": {
				prepare: os.Rename, made: true, target: "mine",
			},
			"answer to link lost": {
				prepare: os.Link, made: true, target: "mine",
			},
			"fenced":      {prepare: func(tmp, _ string) error { return os.Remove(tmp) }, err: fs.ErrNotExist},
			"folder gone": {prepare: func(_, target string) error { return os.Remove(filepath.Dir(target)) }, err: fs.ErrNotExist},
		} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				tmp, target := filepath.Join(dir, "tmp"), filepath.Join(dir, "out", "target")
				must(t, os.Mkdir(filepath.Dir(target), 0o777))
				write(t, tmp, "mine")
				info, err := os.Lstat(tmp)
				must(t, err)
				if c.prepare != nil {
					must(t, c.prepare(tmp, target))
				}
				for range 2 { // a second try says the same
					made, err := publishKnown(tmp, target, info)
					if made != c.made || !errors.Is(err, c.err) {
						t.Fatalf("published %t, %v", made, err)
					}
				}
				if c.target != "" && read(t, target) != c.target {
					t.Fatalf("the target reads %q", read(t, target))
				}
			})
		}
	})
}

// TestRefusedRenameIsRemembered has a file system answer that it lacks renameat2, as NFS does. Moving a folder into itself
// gets the same answer from every kernel.
func TestRefusedRenameIsRemembered(t *testing.T) {
	dir := t.TempDir()
	before := renameat2Refused.Swap(false)
	defer renameat2Refused.Store(before)
	must(t, os.Mkdir(filepath.Join(dir, "a"), 0o777))
	for range 2 {
		err := renameNoReplace(filepath.Join(dir, "a"), filepath.Join(dir, "a", "b"))
		wantIs(t, err, errors.ErrUnsupported)
		if !renameat2Refused.Load() {
			t.Fatal("the refusal is not remembered")
		}
	}
	write(t, filepath.Join(dir, "tmp"), "mine")
	made, err := publish(filepath.Join(dir, "tmp"), filepath.Join(dir, "target"))
	if !made || err != nil || exists(filepath.Join(dir, "tmp")) || read(t, filepath.Join(dir, "target")) != "mine" {
		t.Fatalf("published %t, %v", made, err)
	}
}

func TestMakeDirOnce(t *testing.T) {
	const nonceFile = "nonce"
	mine := func(dir string) bool {
		data, err := os.ReadFile(filepath.Join(dir, nonceFile))
		return err == nil && string(data) == "mine"
	}
	put := func(content string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, nonceFile), []byte(content), 0o666) }
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		before func(target string) error
		build  func(dir string) error
		made   bool
		err    error
	}{
		"free":        {build: put("mine"), made: true},
		"taken":       {before: func(target string) error { return errors.Join(os.Mkdir(target, 0o777), put("theirs")(target)) }, build: put("mine")},
		"taken empty": {before: func(target string) error { return os.Mkdir(target, 0o777) }, build: put("mine")},
		"not built":   {build: func(string) error { return broken }, err: broken},
		// The server has renamed, its answer is lost, and the repeated rename finds nothing to move.
		"answer lost": {build: func(dir string) error {
			return errors.Join(put("mine")(dir), os.Rename(dir, filepath.Join(filepath.Dir(dir), "target")), os.Mkdir(dir, 0o777))
		}, made: true},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			target := filepath.Join(parent, "target")
			if c.before != nil {
				must(t, c.before(target))
			}
			made, err := makeDirOnce(parent, "target", c.build, mine)
			if made != c.made || !errors.Is(err, c.err) || made && !mine(target) {
				t.Fatalf("made %t, %v", made, err)
			}
			if left, _ := filepath.Glob(filepath.Join(parent, newPrefix+"*")); len(left) > 0 && name != "answer lost" {
				t.Fatalf("left behind: %q", left)
			}
		})
	}
	_, err := makeDirOnce(filepath.Join(t.TempDir(), "absent"), "target", put("mine"), mine)
	wantIs(t, err, fs.ErrNotExist)
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"one", "", "three"} {
		must(t, writeFile(path, []byte(content)))
		if read(t, path) != content {
			t.Fatalf("wrote %q, found %q", content, read(t, path))
		}
	}
	made, err := writeFileOnce(path, []byte("four"))
	if made || err != nil || read(t, path) != "three" {
		t.Fatalf("overwritten: %t, %v", made, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("left behind: %v", entries)
	}
}

func TestListNames(t *testing.T) {
	dir := t.TempDir()
	names, err := listNames(filepath.Join(dir, "absent"))
	if err != nil || len(names) > 0 {
		t.Fatalf("a folder that is not there: %q, %v", names, err)
	}
	write(t, filepath.Join(dir, "a"), "")
	write(t, filepath.Join(dir, newPrefix+"b"), "")
	names, err = listNames(dir)
	if err != nil || len(names) != 1 || names[0] != "a" {
		t.Fatalf("names %q, %v", names, err)
	}
	if _, err := listNames(filepath.Join(dir, "a")); err == nil {
		t.Fatal("a file is listed like a folder")
	}
}

func TestSyncDir(t *testing.T) {
	must(t, SyncDir(t.TempDir()))
	wantIs(t, SyncDir(filepath.Join(t.TempDir(), "absent")), fs.ErrNotExist)
}

// TestErrorsRepeat: a fault that goes on is told in the same words each time.
func TestErrorsRepeat(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for what, try := range map[string]func() error{
		"a folder": func() error {
			_, err := makeDirOnce(missing, "x", nil, nil)
			return err
		},
		"a file in a folder": func() error {
			_, err := makeDirOnce(filepath.Dir(missing), "x", func(dir string) error {
				return writeFile(filepath.Join(dir, "missing", "a"), nil)
			}, nil)
			return err
		},
		"a file once": func() error {
			_, err := writeFileOnce(filepath.Join(missing, "x"), nil)
			return err
		},
		"a file": func() error { return writeFile(filepath.Join(missing, "x"), nil) },
		"a file in the place of a folder": func() error {
			must(t, os.MkdirAll(filepath.Join(filepath.Dir(missing), "folder", "below"), 0o700))
			return writeFile(filepath.Join(filepath.Dir(missing), "folder"), nil)
		},
	} {
		err, again := try(), try()
		if err == nil || again == nil || err.Error() != again.Error() {
			t.Errorf("%s: %v, then %v", what, err, again)
		}
		if strings.Contains(fmt.Sprint(err), newPrefix) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
