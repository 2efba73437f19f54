package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestDefaultBase(t *testing.T) {
	long := "/" + strings.Repeat("long/", 20)
	remote := func(remote ...string) func(string) error {
		return func(dir string) error {
			if slices.Contains(remote, dir) {
				return errors.New(dir + " is on NFS")
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name   string
		tmp    string
		usable func(string) error
		want   string // the folder that holds the base
		err    string
	}{
		{name: "the first", tmp: "/scratch", usable: remote(), want: "/scratch"},
		{name: "the default", tmp: "/tmp", usable: remote(), want: "/tmp"},
		{name: "of the usual ones the chosen", tmp: "/dev/shm", usable: remote(), want: "/dev/shm"},
		{name: "remote", tmp: "/scratch", usable: remote("/scratch"), want: "/tmp"},
		{name: "too long for a socket", tmp: long, usable: remote("/tmp"), want: "/var/tmp"},
		{name: "nearly all remote", tmp: "/scratch", usable: remote("/scratch", "/tmp", "/var/tmp"), want: "/dev/shm"},
		{
			name: "none", tmp: "/tmp", usable: remote("/tmp", "/var/tmp", "/dev/shm"),
			err: "no place for its state: /tmp is on NFS; /var/tmp is on NFS; /dev/shm is on NFS; " +
				"set TMPDIR to a folder on a local disk",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := defaultBase(tt.tmp, tt.usable)
			if errorText(err) != tt.err {
				t.Fatalf("got error %v, want %q", err, tt.err)
			}
			if err == nil && filepath.Dir(got) != tt.want {
				t.Errorf("got %s, want it in %s", got, tt.want)
			}
		})
	}
}

func TestUsable(t *testing.T) {
	if err := usable("/proc/sys/kernel"); err == nil {
		t.Error("/proc is usable")
	}
	if err := usable("/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
	for magic, want := range map[uint32]string{0x6969: "NFS", 0x19830326: "BeeGFS", 0x47504653: "GPFS"} {
		if got := remoteFS[magic]; got != want {
			t.Errorf("file system %#x is %q, want %q", magic, got, want)
		}
	}
}

func TestRefusesFoldersOfOthers(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"a link", func(p string) error { return os.Symlink(os.TempDir(), p) }, "is not a folder: remove it"},
		{"a file", func(p string) error { return os.WriteFile(p, nil, 0o600) }, "is not a folder: remove it"},
		{"open to others", func(p string) error {
			return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o755))
		}, "is open to other users (mode 0755): run chmod 700 on it"},
		{"of another user", func(p string) error {
			if err := os.Mkdir(p, 0o700); err != nil {
				return err
			}
			if err := os.Chown(p, 12345, -1); err != nil {
				cannot(t, "this user may not give files away: "+err.Error())
			}
			return nil
		}, "belongs to another user (uid 12345): set TMPDIR to another place"},
		{"too long for a socket", func(string) error { return nil }, "too long for a Unix socket in it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := stateDir(t)
			if err := tt.make(base); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(tt.name, "too long") {
				base += strings.Repeat("x", maxSocket)
			}
			if _, err := newRunDir(base); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	base := stateDir(t)
	live, err := newRunDir(base)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(base, runPrefix+"1")
	other := filepath.Join(base, "other")
	for _, dir := range []string{filepath.Join(left, "store"), other} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	next, err := newRunDir(base)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{left: false, other: true, live.path: true, next.path: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	for _, d := range []*runDir{live, next} {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
	}
	if left := runsIn(t, base); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestRunFoldersAreNeverTaken has many begin at once: each removes leftovers while others make their folders.
func TestRunFoldersAreNeverTaken(t *testing.T) {
	base := stateDir(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				d, err := newRunDir(base)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(d.join("file"), nil, 0o600); err != nil {
					t.Errorf("the folder of a live run was taken: %v", err)
				}
				if err := d.remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left := runsIn(t, base); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
