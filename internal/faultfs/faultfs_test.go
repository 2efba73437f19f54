package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain makes the test binary a process that looks at a path, too.
func TestMain(m *testing.M) {
	if path := os.Getenv("FAULTFS_LOOK"); path != "" {
		if err := unix.Lstat(path, new(unix.Stat_t)); errors.Is(err, syscall.EINTR) { // os.Lstat would try again
			os.Exit(interrupted)
		}
		os.Exit(0)
	}
	if path := os.Getenv("FAULTFS_HOLD"); path != "" {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			panic(err)
		}
		_, _ = f.WriteString("x")
		_, _ = os.Stdout.WriteString("x")
		if os.Getenv("FAULTFS_EXEC") != "" {
			_, _ = os.Stdin.Read(make([]byte, 1))
			panic(syscall.Exec("/proc/self/exe", []string{"look"}, []string{"FAULTFS_LOOK=/"}))
		}
		select {}
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	var err error
	if root, err = TempRoot("tigerflow-faultfs"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(root) // else the next run does it
	os.Exit(code)
}

// root has all mounts in it.
var root string

const (
	long        = time.Hour // for caches that the test itself ends
	interrupted = 4         // the exit status of a look
)

// pair is one tree on two hosts.
type pair struct {
	t      *testing.T
	server *Server
	a, b   *Host
}

func newPair(t *testing.T, a, b Options) *pair {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("no FUSE here: ", err)
	}
	p := &pair{t: t}
	var err error
	p.server, err = NewServer(t.TempDir())
	must(t, err)
	p.a, p.b = p.mount("a", a), p.mount("b", b)
	return p
}

func (p *pair) mount(name string, opts Options) *Host {
	p.t.Helper()
	dir, err := os.MkdirTemp(root, name)
	must(p.t, err)
	h, err := p.server.Mount(name, dir, opts)
	must(p.t, err)
	p.t.Cleanup(func() { must(p.t, h.Close()) })
	return h
}

func (p *pair) on(h *Host, name string) string { return filepath.Join(h.dir, name) }
func (p *pair) disk(name string) string        { return filepath.Join(p.server.dir, name) }

func TestNoFaults(t *testing.T) {
	p := newPair(t, Options{NoReplace: true}, Options{})
	must(t, os.MkdirAll(p.on(p.a, "d/e"), 0o755))
	data := bytes.Repeat([]byte("0123456789"), 50_000)
	must(t, os.WriteFile(p.on(p.a, "d/e/f"), data, 0o640))
	got, err := os.ReadFile(p.on(p.b, "d/e/f"))
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Fatalf("read %d bytes, wrote %d", len(got), len(data))
	}
	must(t, os.Symlink("e/f", p.on(p.b, "d/l")))
	info, err := os.Stat(p.on(p.a, "d/l"))
	must(t, err)
	if info.Mode() != 0o640 || info.Size() != int64(len(data)) {
		t.Errorf("the link leads to %v of %d bytes", info.Mode(), info.Size())
	}
	must(t, os.Link(p.on(p.a, "d/e/f"), p.on(p.a, "g")))
	must(t, os.Truncate(p.on(p.a, "g"), 3))
	if got, _ := os.ReadFile(p.on(p.b, "d/e/f")); string(got) != "012" {
		t.Errorf("%q is left", got)
	}
	err = unix.Renameat2(unix.AT_FDCWD, p.on(p.a, "g"), unix.AT_FDCWD, p.on(p.a, "d/l"), unix.RENAME_NOREPLACE)
	wantErr(t, err, syscall.EEXIST)
	err = unix.Renameat2(unix.AT_FDCWD, p.on(p.b, "g"), unix.AT_FDCWD, p.on(p.b, "h"), unix.RENAME_NOREPLACE)
	wantErr(t, err, syscall.EINVAL)
	must(t, os.RemoveAll(p.on(p.b, "d")))
	wantNames(t, p.on(p.a, ""), "g")
	f, err := os.OpenFile(p.on(p.a, "g"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString("3")
	must(t, errors.Join(err, f.Close()))
	if got, _ := os.ReadFile(p.on(p.b, "g")); string(got) != "0123" {
		t.Errorf("%q after appending", got)
	}
}

func TestNamesAppearLate(t *testing.T) {
	p := newPair(t, Options{}, Options{Names: long, Attrs: long, Listings: long})
	_, err := os.Lstat(p.on(p.b, "f"))
	wantErr(t, err, syscall.ENOENT)
	wantNames(t, p.on(p.b, ""))
	must(t, os.WriteFile(p.on(p.a, "f"), nil, 0o600))
	_, err = os.Lstat(p.on(p.b, "f"))
	wantErr(t, err, syscall.ENOENT)
	wantNames(t, p.on(p.b, ""))
	wantErr(t, os.Mkdir(p.on(p.b, "f"), 0o700), syscall.EEXIST) // changes are the server's matter

	must(t, os.WriteFile(p.on(p.b, "g"), nil, 0o600)) // its own change makes a host look anew
	wantNames(t, p.on(p.b, ""), "f", "g")
	must(t, os.Remove(p.on(p.a, "g")))
	if _, err := os.Lstat(p.on(p.b, "g")); err != nil {
		t.Errorf("the name that was removed is gone at once: %v", err)
	}
}

func TestNamesAppearAfterAWhile(t *testing.T) {
	p := newPair(t, Options{}, Options{Names: 20 * time.Millisecond, Attrs: 20 * time.Millisecond, Listings: 20 * time.Millisecond})
	_, err := os.Lstat(p.on(p.b, "f"))
	wantErr(t, err, syscall.ENOENT)
	wantNames(t, p.on(p.b, ""))
	must(t, os.WriteFile(p.on(p.a, "f"), []byte("x"), 0o600))
	eventually(t, "the name", func() bool { _, err := os.Lstat(p.on(p.b, "f")); return err == nil })
	eventually(t, "the listing", func() bool { names, err := os.ReadDir(p.on(p.b, "")); return err == nil && len(names) == 1 })
}

func TestDataAppearsAtSyncAndOpen(t *testing.T) {
	p := newPair(t, Options{WriteBack: long}, Options{Attrs: long})
	f, err := os.Create(p.on(p.a, "f"))
	must(t, err)
	defer f.Close()
	_, err = f.WriteString("one")
	must(t, err)
	if got, _ := os.ReadFile(p.on(p.a, "f")); string(got) != "one" { // closing what was only read writes nothing
		t.Errorf("its writer reads %q", got)
	}
	reader, err := os.Open(p.on(p.b, "f"))
	must(t, err)
	defer reader.Close()
	if info, _ := reader.Stat(); info.Size() != 0 {
		t.Errorf("%d bytes are seen before the sync", info.Size())
	}
	must(t, f.Sync())
	if got, _ := os.ReadFile(p.disk("f")); string(got) != "one" {
		t.Errorf("the server has %q after the sync", got)
	}
	buf := make([]byte, 8)
	if n, _ := reader.ReadAt(buf, 0); n != 0 {
		t.Errorf("%q is seen through a file opened before", buf[:n])
	}
	if got, _ := os.ReadFile(p.on(p.b, "f")); string(got) != "one" {
		t.Errorf("%q is seen when opened anew", got)
	}
	_, err = f.WriteString("two")
	must(t, err)
	must(t, f.Close())
	if got, _ := os.ReadFile(p.on(p.b, "f")); string(got) != "onetwo" {
		t.Errorf("%q is seen after closing", got)
	}
}

func TestLaterPageFirst(t *testing.T) {
	p := newPair(t, Options{WriteBack: 50 * time.Millisecond, LaterFirst: true, PageSize: 16}, Options{})
	f, err := os.Create(p.on(p.a, "f"))
	must(t, err)
	defer f.Close()
	data := []byte(strings.Repeat("x", 40))
	var nuls bool
	for i := 0; !nuls && i < 200; i++ { // a slow machine may miss the moment
		_, err = f.WriteAt(data, 0)
		must(t, err)
		eventually(t, "the last page", func() bool {
			got, err := os.ReadFile(p.on(p.b, "f"))
			must(t, err)
			nuls = nuls || bytes.HasPrefix(got, make([]byte, 32))
			return nuls || bytes.Equal(got, data)
		})
		if !nuls {
			must(t, f.Truncate(0))
		}
	}
	if !nuls {
		t.Error("NULs were never seen")
	}
	eventually(t, "all of it", func() bool { got, _ := os.ReadFile(p.on(p.b, "f")); return bytes.Equal(got, data) })
}

func TestPages(t *testing.T) {
	p := newPair(t, Options{WriteBack: long, PageSize: 16}, Options{})
	want := make([]byte, 200)
	must(t, os.WriteFile(p.on(p.a, "f"), want, 0o600))
	f, err := os.OpenFile(p.on(p.a, "f"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for i := range 60 {
		off, n := i*37%150, 1+i%50
		part := bytes.Repeat([]byte{byte(i)}, n)
		copy(want[off:], part)
		_, err := f.WriteAt(part, int64(off))
		must(t, err)
		if got, _ := os.ReadFile(p.on(p.a, "f")); !bytes.Equal(got, want) {
			t.Fatalf("write %d is seen as %v, want %v", i, got, want)
		}
	}
	must(t, f.Sync())
	if got, _ := os.ReadFile(p.disk("f")); !bytes.Equal(got, want) {
		t.Errorf("the server has %v, want %v", got, want)
	}
}

func TestCoarseClock(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.server.Clock(time.Hour, -24*time.Hour)
	must(t, os.WriteFile(p.on(p.a, "f"), []byte("x"), 0o600))
	for _, name := range []string{"f", ""} {
		info, err := os.Stat(p.on(p.b, name))
		must(t, err)
		at := info.ModTime()
		if behind := time.Since(at); !at.Equal(at.Truncate(time.Hour)) || behind < 24*time.Hour || behind > 26*time.Hour {
			t.Errorf("%q has the time %v", name, at)
		}
	}
}

func TestLostAnswers(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	must(t, os.WriteFile(p.on(p.a, "f"), nil, 0o600))
	p.a.Decide(func(c Call) Fault { return Fault{Repeat: changesNames(c.Op)} })
	wantErr(t, os.Rename(p.on(p.a, "f"), p.on(p.a, "g")), syscall.ENOENT)
	wantErr(t, os.Link(p.on(p.a, "g"), p.on(p.a, "h")), syscall.EEXIST)
	wantErr(t, os.Mkdir(p.on(p.a, "d"), 0o700), syscall.EEXIST)
	wantNames(t, p.on(p.b, ""), "d", "g", "h")
	wantErr(t, unix.Unlink(p.on(p.a, "g")), syscall.ENOENT)
	p.a.Decide(func(c Call) Fault {
		if c.Op == OpRename {
			return Fault{After: syscall.ESTALE}
		}
		return Fault{}
	})
	wantErr(t, os.Rename(p.on(p.a, "h"), p.on(p.a, "i")), syscall.ENOENT) // the kernel tries again after ESTALE
	wantNames(t, p.on(p.b, ""), "d", "i")
}

// TestLostAnswerTeachesNothing: a client that did not hear of a change goes on believing what it believed.
func TestLostAnswerTeachesNothing(t *testing.T) {
	p := newPair(t, Options{Names: long, Attrs: long}, Options{})
	must(t, os.WriteFile(p.on(p.a, "f"), nil, 0o600))
	p.a.Decide(func(c Call) Fault { return Fault{Repeat: c.Op == OpRename} })
	wantErr(t, os.Rename(p.on(p.a, "f"), p.on(p.a, "g")), syscall.ENOENT)
	_, err := os.Lstat(p.on(p.a, "g"))
	wantErr(t, err, syscall.ENOENT)
	if _, err := os.Lstat(p.on(p.a, "f")); err != nil {
		t.Errorf("the old name is gone: %v", err)
	}
	wantNames(t, p.on(p.b, ""), "g")
}

func TestInjectedErrors(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	must(t, os.WriteFile(p.disk("f"), []byte("x"), 0o600))
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.EINTR, syscall.ENOSPC, syscall.EDQUOT} {
		p.a.Decide(func(c Call) Fault {
			if c.Op == OpRename && c.Path == "g" {
				return Fault{Before: errno}
			}
			return Fault{}
		})
		wantErr(t, unix.Rename(p.on(p.a, "f"), p.on(p.a, "g")), errno)
	}
	wantNames(t, p.on(p.b, ""), "f")
}

func TestShortWrite(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	f, err := os.Create(p.on(p.a, "f"))
	must(t, err)
	defer f.Close()
	p.a.Decide(func(c Call) Fault { return Fault{Short: c.Op == OpWrite} })
	n, err := unix.Pwrite(int(f.Fd()), []byte("12345678"), 0)
	if n != 4 || err != nil {
		t.Errorf("%d bytes were written, %v", n, err)
	}
}

func TestFullServer(t *testing.T) {
	p := newPair(t, Options{WriteBack: long}, Options{})
	f, err := os.Create(p.on(p.a, "f"))
	must(t, err)
	p.server.Refuse(syscall.ENOSPC)
	_, err = f.WriteString("late")
	must(t, err)
	wantErr(t, f.Close(), syscall.ENOSPC)
	g, err := os.Open(p.on(p.a, "f"))
	must(t, err)
	defer g.Close()
	wantErr(t, g.Sync(), syscall.ENOSPC) // whoever syncs next is told, though it is another
	must(t, g.Sync())
	wantErr(t, os.WriteFile(p.on(p.b, "g"), nil, 0o600), syscall.ENOSPC)
	h, err := os.OpenFile(p.on(p.b, "f"), os.O_WRONLY, 0)
	must(t, err)
	defer h.Close()
	_, err = h.WriteString("x")
	wantErr(t, err, syscall.ENOSPC)
	p.server.Refuse(0)
	must(t, os.WriteFile(p.on(p.b, "g"), nil, 0o600))
	if info, _ := os.Stat(p.on(p.b, "f")); info.Size() != 0 {
		t.Errorf("the file has %d bytes", info.Size())
	}
}

func TestHang(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.a.Hang(false)
	looks := exec.Command(os.Args[0])
	looks.Env = append(os.Environ(), "FAULTFS_LOOK="+p.on(p.a, "f"))
	must(t, looks.Start())
	eventually(t, "the look", func() bool { return p.a.count(OpGetattr)+p.a.count(OpLookup) > 0 })
	must(t, looks.Process.Kill())
	if err := looks.Wait(); err == nil {
		t.Error("a look at a hanging mount succeeded")
	}

	g, err := os.Create(p.on(p.b, "g"))
	must(t, err)
	g.Close()
	p.a.Resume()
	holds := exec.Command(os.Args[0])
	holds.Env = append(os.Environ(), "FAULTFS_HOLD="+p.on(p.a, "g"))
	stdout, err := holds.StdoutPipe()
	must(t, err)
	must(t, holds.Start())
	_, err = stdout.Read(make([]byte, 1)) // it has the file open
	must(t, err)
	p.a.Hang(false)
	must(t, holds.Process.Kill())
	if err := holds.Wait(); err == nil { // its close at exit does not wait for ever
		t.Error("a killed process ended well")
	}

	found := make(chan error, 1)
	go func() { _, err := os.Lstat(p.on(p.a, "")); found <- err }()
	eventually(t, "the second look", func() bool { return p.a.count(OpGetattr) > 0 })
	select {
	case err := <-found:
		t.Fatalf("it did not hang: %v", err)
	default:
	}
	must(t, os.WriteFile(p.on(p.b, "h"), nil, 0o600)) // the other host goes on
	p.a.Resume()
	must(t, <-found)
}

// TestHangInExec: what a process asks while it becomes another program is answered when the host goes on.
func TestHangInExec(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	g, err := os.Create(p.on(p.b, "g"))
	must(t, err)
	g.Close()
	becomes := exec.Command(os.Args[0])
	becomes.Env = append(os.Environ(), "FAULTFS_EXEC=1", "FAULTFS_HOLD="+p.on(p.a, "g"))
	stdin, err := becomes.StdinPipe()
	must(t, err)
	stdout, err := becomes.StdoutPipe()
	must(t, err)
	must(t, becomes.Start())
	_, err = stdout.Read(make([]byte, 1)) // it has the file open
	must(t, err)
	p.a.Hang(false)
	_, err = stdin.Write([]byte("x"))
	must(t, err)
	eventually(t, "its close", func() bool { return p.a.count(OpFlush) > 0 })
	// Whether it is killed is asked for 10 ms later, and on some kernels answered at once.
	buf, polls := make([]byte, 1<<20), 0
	eventually(t, "the question whether it is killed", func() bool {
		polls++
		return polls > 100 || strings.Contains(string(buf[:runtime.Stack(buf, true)]), "faultfs.exiting(")
	})
	p.a.Resume()
	must(t, becomes.Wait())
}

func TestInterruptibleHang(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	p.a.Hang(true)
	looks := exec.Command(os.Args[0])
	looks.Env = append(os.Environ(), "FAULTFS_LOOK="+p.on(p.a, "f"))
	must(t, looks.Start())
	eventually(t, "the look", func() bool { return p.a.count(OpGetattr)+p.a.count(OpLookup) > 0 })
	eventually(t, "the end of the look", func() bool {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", looks.Process.Pid))
		for _, task := range tasks { // the thread that waits is one of them
			tid, _ := strconv.Atoi(task.Name())
			_ = unix.Tgkill(looks.Process.Pid, tid, syscall.SIGURG)
		}
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, looks.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
		return err == nil && info.Signo != 0
	})
	_ = looks.Wait()
	if code := looks.ProcessState.ExitCode(); code != interrupted {
		t.Errorf("the look ended with %d", code)
	}
}

// TestLose: an fsync that a host was waiting in when it lost its mount fails, and its data is nowhere; one that was
// answered well has its data on the server.
func TestLose(t *testing.T) {
	p := newPair(t, Options{WriteBack: long}, Options{})
	kept, err := os.Create(p.on(p.a, "kept"))
	must(t, err)
	lost, err := os.Create(p.on(p.a, "lost"))
	must(t, err)
	_, err = kept.WriteString("kept")
	must(t, err)
	must(t, kept.Sync())
	_, err = lost.WriteString("lost")
	must(t, err)
	p.a.Hang(false)
	before := p.a.count(OpFsync)
	synced := make(chan error, 1)
	go func() { synced <- lost.Sync() }()
	eventually(t, "the sync", func() bool { return p.a.count(OpFsync) > before })
	p.a.Lose(syscall.EIO)
	wantErr(t, <-synced, syscall.EIO)
	for name, want := range map[string]string{"kept": "kept", "lost": ""} {
		if got, err := os.ReadFile(p.on(p.b, name)); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
	_, err = os.Lstat(p.on(p.a, "kept"))
	wantErr(t, err, syscall.EIO)
	kept.Close()
	lost.Close()
}

// TestCloseUnderOpenFiles: a file that is open does not keep the mount.
func TestCloseUnderOpenFiles(t *testing.T) {
	p := newPair(t, Options{WriteBack: long}, Options{})
	f, err := os.Create(p.on(p.a, "f"))
	must(t, err)
	_, err = f.WriteString("x")
	must(t, err)
	must(t, p.a.Close())
	if _, err := f.Stat(); err == nil {
		t.Error("the file of a mount that is gone can be asked about")
	}
	if err := f.Close(); err == nil {
		t.Error("closing it tells nothing of what is lost")
	}
}

// TestRemovedElsewhere: what another host has removed can neither be read, written, linked nor put anything into.
func TestRemovedElsewhere(t *testing.T) {
	p := newPair(t, Options{Names: long, Attrs: long}, Options{})
	must(t, os.Mkdir(p.on(p.a, "d"), 0o700))
	f, err := os.Create(p.on(p.a, "d/f"))
	must(t, err)
	defer f.Close()
	must(t, os.Remove(p.on(p.b, "d/f")))
	must(t, os.Remove(p.on(p.b, "d")))
	_, err = f.WriteString("x")
	wantErr(t, err, syscall.ESTALE)
	if err := os.Link(p.on(p.a, "d/f"), p.on(p.a, "g")); err == nil {
		t.Error("a removed file was linked")
	}
	if err := os.WriteFile(p.on(p.a, "d/h"), nil, 0o600); !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESTALE) {
		t.Errorf("making a file in a removed folder: %v", err)
	}
	wantNames(t, p.on(p.b, ""))
}

// TestRemovedWhileOpen: on its own host an open file keeps a name, and its folder.
func TestRemovedWhileOpen(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	must(t, os.Mkdir(p.on(p.a, "d"), 0o700))
	f, err := os.Create(p.on(p.a, "d/f"))
	must(t, err)
	must(t, os.Remove(p.on(p.a, "d/f")))
	_, err = f.WriteString("x")
	must(t, err)
	wantErr(t, unix.Rmdir(p.on(p.a, "d")), syscall.ENOTEMPTY)
	must(t, f.Close())
	eventually(t, "the folder's end", func() bool { return unix.Rmdir(p.on(p.a, "d")) == nil })
}

func TestEvents(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	var events []Event
	p.server.OnName(func(e Event) { events = append(events, e) })
	must(t, os.Mkdir(p.on(p.a, "d"), 0o700))
	must(t, os.WriteFile(p.on(p.b, "d/f"), nil, 0o600))
	must(t, os.Link(p.on(p.b, "d/f"), p.on(p.b, "g")))
	must(t, os.Rename(p.on(p.a, "g"), p.on(p.a, "d/h")))
	p.server.OnName(nil)
	var got []string
	for _, e := range events {
		got = append(got, string(e.Op)+" "+e.Host+" "+e.Path)
	}
	if want := []string{"mkdir a d", "create b d/f", "link b g", "rename a d/h"}; !slices.Equal(got, want) {
		t.Errorf("events are %q, want %q", got, want)
	}
	if events[1].Ino != events[3].Ino {
		t.Error("the inode changed with the name")
	}
}

func TestRatesAreRepeatable(t *testing.T) {
	r := Rates{Slow: .3, SlowFor: time.Second, Fail: .2, Errnos: []syscall.Errno{syscall.EIO, syscall.ESTALE}, Lost: .3, LostLate: .2, Short: .5}
	first, second, other := r.Decider(1), r.Decider(1), r.Decider(2)
	var faults, differ int
	for n := range 1000 {
		for _, op := range []Op{OpRename, OpWrite, OpOpen} {
			f := first(Call{Op: op, Path: "x", N: n})
			if f != second(Call{Op: op, Path: "y", N: n}) {
				t.Fatal("one seed decides in two ways")
			}
			if f != (Fault{}) {
				faults++
			}
			if f != other(Call{Op: op, N: n}) {
				differ++
			}
			if op == OpOpen && (f.Repeat || f.Short || f.After != 0) {
				t.Fatalf("%s has %+v", op, f)
			}
		}
	}
	if faults < 500 || differ < 500 {
		t.Errorf("%d faults, %d decided otherwise by another seed", faults, differ)
	}
}

// TestLeftovers: the folder of a process that is no more goes with its mounts, those of living ones stay.
func TestLeftovers(t *testing.T) {
	p := newPair(t, Options{}, Options{})
	must(t, os.WriteFile(p.on(p.a, "f"), nil, 0o600))
	look := exec.Command(os.Args[0])
	look.Env = append(os.Environ(), "FAULTFS_LOOK=/")
	must(t, look.Run())
	dead := filepath.Join(os.TempDir(), fmt.Sprintf("tigerflow-leftover-%d", look.Process.Pid))
	mount := filepath.Join(dead, "m")
	must(t, os.MkdirAll(mount, 0o700))
	h, err := p.server.Mount("c", mount, Options{})
	must(t, err)
	mine, err := TempRoot("tigerflow-leftover")
	must(t, err)
	defer os.RemoveAll(mine)
	if _, err := os.Lstat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
	must(t, h.Close())
	again, err := TempRoot("tigerflow-leftover")
	must(t, err)
	if again != mine {
		t.Errorf("%s and %s are of one process", mine, again)
	}
	wantNames(t, p.on(p.b, ""), "f")
}

func (h *Host) count(op Op) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[op]
}

func wantErr(t *testing.T, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", dir, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
