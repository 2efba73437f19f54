package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func newTemp(t *testing.T, w *Worker) string {
	t.Helper()
	tmp, err := w.NewTemp(".out")
	must(t, err)
	return tmp
}

func outputOf(s *Spool, stem string) string {
	return filepath.Join(string(s.Spec().OutputDir), OutputName(stem, s.Spec().OutputExt))
}

func TestCommit(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		s := newSpool(t)
		w := bear(t, s, "w.0.r1")
		for _, n := range hardNames {
			stem, _ := MatchInput(n, ".txt")
			for i, want := range []string{"first", "second"} {
				tmp := newTemp(t, w)
				write(t, tmp, want)
				info, failure, err := w.Inspect(tmp)
				if err != nil || failure != nil {
					t.Fatalf("inspecting: %+v, %v", failure, err)
				}
				must(t, SyncFile(tmp))
				published, err := w.Publish(tmp, outputOf(s, stem), info)
				if err != nil || published != (i == 0) || read(t, outputOf(s, stem)) != "first" {
					t.Fatalf("publishing %q for the %d. time: %t, %v", n, i+1, published, err)
				}
				must(t, w.Discard(tmp))
			}
		}
		if left, _ := os.ReadDir(s.tmpDir(w.ID())); len(left) > 0 {
			t.Fatalf("left in tmp: %v", left)
		}
	})
}

func TestPublishNameTooLong(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		s := newSpool(t)
		w := bear(t, s, "w.0.r1")
		tmp := newTemp(t, w)
		info, _, err := w.Inspect(tmp)
		must(t, err)
		published, err := w.Publish(tmp, outputOf(s, strings.Repeat("n", 252)), info)
		if published || !errors.Is(err, syscall.ENAMETOOLONG) || IsStorage(err) {
			t.Fatalf("an output's name of 256 bytes: %t, %v", published, err)
		}
	})
}

func TestPublishLargeOutput(t *testing.T) {
	s := newSpool(t)
	w := bear(t, s, "w.0.r1")
	tmp := newTemp(t, w)
	const size = 5 << 30 // nearly all of it a hole
	f, err := os.OpenFile(tmp, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), size-3)
	must(t, errors.Join(err, f.Close()))
	info, failure, err := w.Inspect(tmp)
	if err != nil || failure != nil || info.Size() != size {
		t.Fatalf("inspecting: %+v, %v", failure, err)
	}
	published, err := w.Publish(tmp, outputOf(s, "a"), info)
	must(t, err)
	if there, err := os.Stat(outputOf(s, "a")); err != nil || !published || there.Size() != size {
		t.Fatalf("published %t, %v", published, err)
	}
}

func TestInspect(t *testing.T) {
	for name, c := range map[string]struct {
		user func(tmp string) error // user code
		want string                 // type of the failure
		says string
	}{
		"nothing written": {user: func(string) error { return nil }},
		"written":         {user: func(tmp string) error { return os.WriteFile(tmp, []byte("x"), 0o666) }},
		"replaced":        {user: func(tmp string) error { return errors.Join(os.Remove(tmp), os.WriteFile(tmp, []byte("x"), 0o666)) }},
		"written and more": {user: func(tmp string) error {
			return errors.Join(os.WriteFile(tmp, []byte("x"), 0o666), os.WriteFile(tmp+".npy", []byte("x"), 0o666))
		}},
		"removed":            {user: os.Remove, want: FailureOutputRemoved, says: "removed"},
		"renamed":            {user: func(tmp string) error { return os.Rename(tmp, tmp+".bak") }, want: FailureOutputRemoved},
		"folder instead":     {user: func(tmp string) error { return errors.Join(os.Remove(tmp), os.Mkdir(tmp, 0o777)) }, want: FailureOutputNotAFile, says: "d"},
		"link instead":       {user: func(tmp string) error { return errors.Join(os.Remove(tmp), os.Symlink("/etc/passwd", tmp)) }, want: FailureOutputNotAFile, says: "L"},
		"pipe instead":       {user: func(tmp string) error { return errors.Join(os.Remove(tmp), syscall.Mkfifo(tmp, 0o666)) }, want: FailureOutputNotAFile, says: "p"},
		"as numpy.save does": {user: func(tmp string) error { return os.WriteFile(tmp+".npy", []byte("x"), 0o666) }, want: FailureOutputElsewhere, says: ".out.npy"},
		"another extension": {user: func(tmp string) error {
			return os.WriteFile(strings.TrimSuffix(tmp, ".out")+".json", []byte("x"), 0o666)
		}, want: FailureOutputElsewhere, says: ".json"},
		"a folder beside":       {user: func(tmp string) error { return os.Mkdir(tmp+".d", 0o777) }, want: FailureOutputElsewhere},
		"something unconnected": {user: func(tmp string) error { return os.WriteFile(filepath.Join(filepath.Dir(tmp), "cache"), nil, 0o666) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := bear(t, newSpool(t), "w.0.r1")
			other := newTemp(t, w) // of another file in hand at the same time
			tmp := newTemp(t, w)
			must(t, c.user(tmp))
			info, failure, err := w.Inspect(tmp)
			must(t, err)
			got, message := "", ""
			if failure != nil {
				got, message = failure.Type, failure.Message
			}
			if got != c.want || !strings.Contains(message, c.says) || (info != nil) != (failure == nil) {
				t.Fatalf("inspected as %q (%s), want %q", got, message, c.want)
			}
			must(t, w.Discard(tmp))
			left, err := filepath.Glob(tmp[:len(tmp)-len(".out")] + "*")
			if err != nil || len(left) > 0 {
				t.Fatalf("after Discard there is %q, %v", left, err)
			}
			if info, failure, err := w.Inspect(other); info == nil || failure != nil || err != nil {
				t.Fatalf("the other temporary suffered: %v, %v", failure, err)
			}
		})
	}
}

func TestSweep(t *testing.T) {
	w := bear(t, newSpool(t), "w.0.r1")
	swept := newTemp(t, w)
	must(t, os.MkdirAll(filepath.Join(filepath.Dir(swept), "cache", "deep"), 0o777))
	must(t, w.Sweep())
	entries, err := os.ReadDir(filepath.Dir(swept))
	if err != nil || len(entries) > 0 {
		t.Fatalf("after Sweep there is %v, %v", entries, err)
	}
}

// TestOutputsBelongToTheFolder checks that an output gets the mode that the user's umask gives and the group that a setgid
// output folder hands down.
func TestOutputsBelongToTheFolder(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		gid := otherGroup(t)
		before := syscall.Umask(0o027)
		defer syscall.Umask(before)
		root := t.TempDir()
		out := string(testSpec(root).OutputDir)
		must(t, os.MkdirAll(out, 0o777))
		must(t, os.Chown(out, -1, gid))
		must(t, os.Chmod(out, 0o770|os.ModeSetgid))
		s := newSpoolIn(t, root)
		w := bear(t, s, "w.0.r1")
		tmp := newTemp(t, w)
		info, _, err := w.Inspect(tmp)
		must(t, err)
		_, err = w.Publish(tmp, outputOf(s, "a"), info)
		must(t, err)
		_, err = lock(t, s).WriteError("b", ErrorFile{})
		must(t, err)
		for _, path := range []string{outputOf(s, "a"), filepath.Join(out, "b.err")} {
			info, err := os.Stat(path)
			must(t, err)
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok || int(stat.Gid) != gid || info.Mode() != 0o640 {
				t.Errorf("%s has group %d and mode %s, want %d and -rw-r-----", path, stat.Gid, info.Mode(), gid)
			}
		}
	})
}

// otherGroup finds a group that this process may give a folder to and that is not its own.
func otherGroup(t *testing.T) int {
	t.Helper()
	if os.Geteuid() == 0 {
		return 12345
	}
	groups, err := os.Getgroups()
	must(t, err)
	for _, g := range groups {
		if g != os.Getegid() {
			return g
		}
	}
	t.Skip("skipped: this user has one group only")
	return 0
}

func TestNewTempInFencedFolder(t *testing.T) {
	s := newSpool(t)
	w := bear(t, s, "w.0.r1")
	tmp := newTemp(t, w)
	_, err := lock(t, s).Fence(w.ID())
	must(t, err)
	_, err = w.NewTemp(".out")
	wantIs(t, err, fs.ErrNotExist)
	_, failure, err := w.Inspect(tmp)
	wantIs(t, err, fs.ErrNotExist)
	if failure != nil {
		t.Fatalf("user code is blamed for the fence: %+v", failure)
	}
}
