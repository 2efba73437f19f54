package spool

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/faultfs"
)

// mounted makes a spool on a misbehaving file system, which behaves so far.
func mounted(t *testing.T, opts faultfs.Options) (*Spool, *faultfs.Host) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("mounting needs root and FUSE")
	}
	server, err := faultfs.NewServer(t.TempDir())
	must(t, err)
	dir := t.TempDir()
	host, err := server.Mount("a", dir, opts)
	must(t, err)
	t.Cleanup(func() { must(t, host.Close()) })
	return newSpoolIn(t, dir), host
}

// repeats has the answers to renames get lost.
func repeats(c faultfs.Call) faultfs.Fault { return faultfs.Fault{Repeat: c.Op == faultfs.OpRename} }

func TestLostAnswers(t *testing.T) {
	s, host := mounted(t, faultfs.Options{})
	host.Decide(repeats)
	l := lock(t, s)
	must(t, l.Update(testOwner, *s.Spec()))
	w := bear(t, s, "k.0.r1")
	for seq := 1; seq <= 2; seq++ {
		id, err := l.Feed(Batch{Files: []Name{"a.in"}})
		if want := (BatchID{Epoch: 1, Seq: seq}); err != nil || id != want {
			t.Fatalf("fed %v, %v; want %v", id, err, want)
		}
		if b, ok, err := w.Claim(id); err != nil || !ok || len(b.Files) != 1 {
			t.Fatalf("claimed %v, %t, %v", b, ok, err)
		}
	}
	tmp, err := w.NewTemp(".out")
	must(t, err)
	info, err := os.Lstat(tmp)
	must(t, err)
	if mine, err := w.Publish(tmp, filepath.Join(string(s.Spec().OutputDir), "a.out"), info); err != nil || !mine {
		t.Errorf("publishing: %t, %v", mine, err)
	}
	if written, err := l.WriteError("b", ErrorFile{File: "b.in"}); err != nil || !written {
		t.Errorf("writing an error file: %t, %v", written, err)
	}
	if held, err := l.Fence(w.ID()); err != nil || len(held) != 2 {
		t.Errorf("fencing: %v, %v", held, err)
	}
	host.Decide(nil)
}

// TestFailedFeedKeepsItsNumber: a batch of which nobody knows whether it is fed shares its name with no other.
func TestFailedFeedKeepsItsNumber(t *testing.T) {
	s, host := mounted(t, faultfs.Options{})
	l := lock(t, s)
	host.Decide(func(c faultfs.Call) faultfs.Fault {
		if c.Op == faultfs.OpRename {
			return faultfs.Fault{Before: syscall.EIO}
		}
		return faultfs.Fault{}
	})
	if _, err := l.Feed(Batch{Files: []Name{"a.in"}}); err == nil {
		t.Fatal("feeding succeeded")
	}
	host.Decide(nil)
	if id, err := l.Feed(Batch{Files: []Name{"a.in"}}); err != nil || id.Seq != 2 {
		t.Errorf("fed %v, %v", id, err)
	}
}

// TestLockKnownLater: a try that made the epoch without hearing of it is followed by one that takes it up at once.
func TestLockKnownLater(t *testing.T) {
	s, host := mounted(t, faultfs.Options{})
	host.Decide(func(c faultfs.Call) faultfs.Fault {
		switch {
		case c.Op == faultfs.OpRename && strings.HasSuffix(c.Path, epochName(1)):
			return faultfs.Fault{After: syscall.EIO}
		case c.Op == faultfs.OpOpen && strings.HasSuffix(c.Path, epochName(1)+"/owner.json"):
			return faultfs.Fault{Before: syscall.EIO}
		}
		return faultfs.Fault{}
	})
	c := &Contender{Spool: s, Owner: testOwner}
	if _, err := c.Try(); err == nil {
		t.Fatal("the lock was taken")
	}
	host.Decide(nil)
	l, err := c.Try()
	wantEpoch(t, l, err, 1)
	must(t, l.Append(Entry{Kind: EntryAdopted}))
	must(t, l.Close())
	l, err = c.Try()
	wantEpoch(t, l, err, 2)
	must(t, l.Close())
}

// TestLockRenamedAllTheSame: a host that knows the epoch's folder by its old name only does not empty it.
func TestLockRenamedAllTheSame(t *testing.T) {
	s, host := mounted(t, faultfs.Options{Names: time.Hour})
	host.Decide(func(c faultfs.Call) faultfs.Fault {
		switch {
		case c.Op == faultfs.OpRename && strings.HasSuffix(c.Path, epochName(1)):
			return faultfs.Fault{Repeat: true}
		case c.Op == faultfs.OpRmdir: // which would say that it is gone
			return faultfs.Fault{Before: syscall.EIO}
		}
		return faultfs.Fault{}
	})
	if _, err := (&Contender{Spool: s, Owner: testOwner}).Try(); err == nil {
		t.Fatal("the lock was taken")
	}
	dir := t.TempDir()
	other, err := host.Server().Mount("b", dir, faultfs.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	here, err := filepath.Rel(string(s.Spec().OutputDir), s.epochDir(1))
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, "out", here, "owner.json")); err != nil {
		t.Error(err)
	}
}

// TestJournalSurvivesALateRefusal: a client tells of a full server at the sync only, and has dropped the data by then.
func TestJournalSurvivesALateRefusal(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("mounting needs root and FUSE")
	}
	s, host := mounted(t, faultfs.Options{WriteBack: time.Hour, PageSize: 64})
	w := bear(t, s, "k.0.r1")
	for i, late := range []bool{false, true, true, false, true, false} {
		must(t, w.Journal.Append(Event{Kind: EventBeat, Count: int64(i + 1)}))
		must(t, w.Journal.Flush())
		if late {
			host.Server().Refuse(syscall.ENOSPC)
			wantIs(t, w.Journal.Sync(), syscall.ENOSPC)
			host.Server().Refuse(0)
		} else {
			must(t, w.Journal.Sync())
		}
	}
	n := 0
	must(t, s.JournalTail(w.ID(), 0).Read(func([]byte, int64) error { n++; return nil }))
	if n != 6 {
		t.Errorf("%d of 6 records can be read", n)
	}
}

// TestFenceWhoseWordIsRefused: a client of a network file system tells of a write that was refused at each close, until
// somebody syncs. That the word is there is enough.
func TestFenceWhoseWordIsRefused(t *testing.T) {
	s, host := mounted(t, faultfs.Options{})
	l, w := lock(t, s), bear(t, s, "k.0.r1")
	host.Decide(func(c faultfs.Call) faultfs.Fault {
		if c.Op == faultfs.OpFlush && strings.HasSuffix(c.Path, "/fenced") {
			return faultfs.Fault{Before: syscall.EROFS}
		}
		return faultfs.Fault{}
	})
	if _, err := l.Fence(w.ID()); err != nil || !w.Fenced() {
		t.Errorf("fenced: %t, %v", w.Fenced(), err)
	}
	host.Decide(nil)
}
