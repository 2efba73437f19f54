package dispatcher

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

func TestOldFilesAreTakenAtOnce(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt")
	r.begin()
	r.want(r.round(), 2, 0, 0, 0)
}

// TestClockIsTheFileSystems: a server whose clock goes before ours stamps files with times that only its own clock can judge.
func TestClockIsTheFileSystems(t *testing.T) {
	for _, c := range []struct {
		name    string
		ahead   time.Duration
		pending int64
	}{
		{"equal", 0, 1},
		{"behind", -time.Hour, 0}, // there, the file is from the future
		{"ahead", time.Hour, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.input("a.txt")
			r.age(r.in("a.txt"), time.Minute)
			r.begin()
			r.d.inputs.clock.set(time.Now().Add(c.ahead), r.now)
			r.want(r.round(), c.pending, 0, 0, 0)
		})
	}
}

func TestYoungFileIsTakenAfterTwoEqualLooks(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.age(r.in("a.txt"), -time.Hour) // never old enough
	r.begin()
	if s := r.round(); s.Settling != 1 || s.Staged != 0 {
		t.Fatalf("it was taken at the first look: %+v", s)
	}
	if s := r.after(time.Second); s.Settling != 1 {
		t.Fatalf("the looks are too near to each other: %+v", s)
	}
	r.want(r.after(2*time.Second), 1, 0, 0, 0)
}

func TestGrowingFileIsNotTaken(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	for i := range 5 {
		must(t, os.WriteFile(r.in("a.txt"), make([]byte, i), 0o666))
		r.age(r.in("a.txt"), -time.Hour)
		if s := r.after(3 * time.Second); s.Staged != 0 || s.Settling != 1 || s.Drained {
			t.Fatalf("round %d: %+v", i, s)
		}
	}
	r.after(3 * time.Second)
	r.want(r.after(3*time.Second), 1, 0, 0, 0)
}

// TestCoarseClockLosesNothing: two files that come within one tick leave the folder with the same time.
func TestCoarseClockLosesNothing(t *testing.T) {
	r := newRig(t)
	tick := time.Now().Truncate(time.Second)
	add := func(name string) {
		must(t, os.WriteFile(r.in(name), nil, 0o666))
		r.age(r.in(name), time.Hour)
		must(t, os.Chtimes(r.in(""), tick, tick))
	}
	add("a.txt")
	r.begin()
	r.want(r.round(), 1, 0, 0, 0)
	add("b.txt")
	if s := r.after(0); s.Drained {
		t.Fatal("drained, although the folder's time cannot be trusted yet")
	}
	r.rounds("the second file", func(s *Snapshot) bool { return s.Staged == 2 })
}

func TestQuietFolderIsNotListed(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	r.round()
	first := r.d.inputs.listed
	for range 20 {
		r.after(5 * time.Second)
	}
	if r.d.inputs.listed != first {
		t.Error("the folder was listed again although nothing had changed")
	}
	must(t, os.WriteFile(r.in("b.txt"), nil, 0o666)) // behind the back of the folder's time
	r.age(r.in("b.txt"), time.Hour)
	must(t, os.Chtimes(r.in(""), r.d.inputs.mtime, r.d.inputs.mtime))
	r.want(r.after(listEvery), 2, 0, 0, 0)
}

func TestOddNames(t *testing.T) {
	r := newRig(t)
	names := []string{"a b.txt", "line\nbreak.txt", "bad\xff\xfe.txt", strings.Repeat("x", 251) + ".txt", "-rf.txt", "…ü.txt", "..txt"}
	r.input(names...)
	r.begin()
	r.want(r.round(), int64(len(names)), 0, 0, 0)
	r.finish(r.worker(0, 1))
	r.close()
	r.begin() // the ledger spells them as they are
	r.want(r.drained(), 0, 0, int64(len(names)), 0)
}

func TestWhatIsNoInput(t *testing.T) {
	r := newRig(t)
	must(t, os.Mkdir(r.in("folder.txt"), 0o777))
	must(t, syscall.Mkfifo(r.in("fifo.txt"), 0o666))
	must(t, os.Symlink("nothing", r.in("dangling.txt")))
	must(t, os.Symlink("fifo.txt", r.in("tofifo.txt")))
	must(t, os.Symlink("target", r.in("link.txt")))
	r.input("target", "a.text", "a.txt.bak", ".txt", ".~tf_0.txt")
	r.begin()
	r.round()
	r.place("link.txt")
	r.want(r.round(), 1, 0, 0, 0)
	r.finish(r.worker(0, 1))
}

func TestInputFolderVanishesAndComesBack(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt")
	r.begin()
	r.round()
	must(t, os.Rename(r.in(""), r.root+"/away"))
	s := r.after(time.Second)
	if s.Input == "" || s.Drained {
		t.Fatalf("the folder is gone: %+v", s)
	}
	w := r.worker(0, 1)
	for range 2 {
		h := w.claim()
		w.tell(h, spool.Event{Kind: spool.EventGone}, h.files...)
	}
	r.want(r.after(time.Second), 0, 0, 0, 0)
	must(t, os.Rename(r.root+"/away", r.in("")))
	if s = r.after(time.Second); s.Input != "" {
		t.Fatal(s.Input)
	}
	r.want(s, 2, 0, 0, 0)
	r.want(r.finish(w), 0, 0, 2, 0)
}

// TestLargeFolderIsFedWhileListed: the first batches are there before the listing ends.
func TestLargeFolderIsFedWhileListed(t *testing.T) {
	r := newRig(t)
	n := 2*listChunk + 1
	for i := range n {
		must(t, os.WriteFile(r.in(fmt.Sprintf("%06d.txt", i)), nil, 0o666))
	}
	r.age(r.in(""), time.Hour)
	r.begin()
	r.d.inputs.clock.set(time.Now().Add(time.Hour), r.now) // all are old
	r.d.renewAt = r.now.Add(time.Hour)
	ids, err := r.s.Queue()
	must(t, err)
	if len(ids) != 0 {
		t.Fatal("something is fed before the listing")
	}
	must(t, r.d.discover(t.Context(), r.now))
	if ids, err = r.s.Queue(); err != nil || len(ids) == 0 {
		t.Fatalf("nothing was fed while listing: %v", err)
	}
	r.want(r.round(), int64(n), 0, 0, 0)
}

// TestBusyLargeFolderIsListedSeldom: a listing that takes long is followed by a rest.
func TestBusyLargeFolderIsListedSeldom(t *testing.T) {
	r := newRig(t)
	r.begin()
	r.round()
	r.d.inputs.took = time.Second
	r.input("a.txt")
	if s := r.after(9 * time.Second); s.Staged != 0 || s.Drained {
		t.Fatalf("listed, or drained without: %+v", s)
	}
	if next := r.d.nextTime(r.now); next.Sub(r.now) > time.Second {
		t.Errorf("the next round is %s away", next.Sub(r.now))
	}
	r.want(r.after(time.Second), 1, 0, 0, 0)
}
