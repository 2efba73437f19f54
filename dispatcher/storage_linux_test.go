package dispatcher

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// smallDisk mounts a file system of a few pages, which a test can fill.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill takes all room there is; the returned function gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	must(t, err)
	for size := 64 << 10; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling up ended with %v", err)
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(path)) }
}

// TestFullDisk: nothing is lost, the Snapshot says so, and work goes on when there is room again.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	r := newRigIn(t, disk, func(s *spool.Spec) { s.Durability = spool.Fsync })
	r.input(numbered(6)...)
	r.begin()
	w := r.worker(0, 1)
	r.round()
	h := w.claim()
	w.done(h, 1, h.files...)
	free := fill(t, disk)
	for range 3 {
		s := r.after(time.Second)
		if s.Storage == nil || !s.Storage.Full || s.Drained {
			t.Fatalf("the disk is full: %+v", s)
		}
	}
	free()
	if s := r.after(time.Second); s.Storage != nil {
		t.Fatalf("there is room again: %+v", s.Storage)
	}
	r.want(r.finish(w), 0, 0, 6, 0)
	r.crash() // what was appended while there was no room stands in the ledger
	r.begin()
	r.want(r.drained(), 0, 0, 6, 0)
}

// TestBeginOnFullDisk: a dispatcher that takes up its work while there is no room waits as well.
func TestBeginOnFullDisk(t *testing.T) {
	disk := smallDisk(t)
	r := newRigIn(t, disk)
	r.input("a.txt", "b.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	r.crash()
	must(t, os.WriteFile(r.out("a.out"), nil, 0o666))
	c := spool.Contender{Spool: r.s, Owner: testOwner, TakeOver: true}
	var err error
	r.lock, err = c.Try()
	must(t, err)
	must(t, r.lock.Withdraw()) // which gives a little room
	free := fill(t, disk)
	must(t, r.takeUp())
	if s := r.round(); s.Storage == nil || !s.Storage.Full {
		t.Fatalf("the disk is full: %+v", s)
	}
	free()
	r.want(r.finish(w), 0, 0, 2, 0)
}
