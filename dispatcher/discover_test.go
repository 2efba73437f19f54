package dispatcher

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/wake"
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
	writer, err := os.OpenFile(r.in("a.txt"), os.O_WRONLY, 0)
	must(t, err)
	defer writer.Close()
	for range 5 {
		_, err := writer.WriteString("more")
		must(t, err)
		r.age(r.in("a.txt"), -time.Hour)
		if s := r.after(3 * time.Second); s.Staged != 0 || s.Settling != 1 || s.Drained {
			t.Fatalf("taken while it grows: %+v", s)
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

// TestFolderFromTheFuture: a folder whose time lies ahead, as a copied one's may, keeps no Task from its end, and what
// comes into it is found.
func TestFolderFromTheFuture(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.age(r.in(""), -time.Hour)
	r.begin()
	w := r.worker(0, 1)
	r.want(r.finish(w), 0, 0, 1, 0)
	must(t, os.WriteFile(r.in("b.txt"), nil, 0o666))
	r.rounds("the second file", func(s *Snapshot) bool { return s.Staged == 2 })
	r.want(r.finish(w), 0, 0, 2, 0)
}

func TestQuietFolderIsNotListed(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	r.round()
	first := r.d.inputs.folders[0].listed
	for range 20 {
		r.after(5 * time.Second)
	}
	if r.d.inputs.folders[0].listed != first {
		t.Error("the folder was listed again although nothing had changed")
	}
	must(t, os.WriteFile(r.in("b.txt"), nil, 0o666)) // behind the back of the folder's time
	r.age(r.in("b.txt"), time.Hour)
	must(t, os.Chtimes(r.in(""), r.d.inputs.folders[0].mtime, r.d.inputs.folders[0].mtime))
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

func TestLinksAmongInputs(t *testing.T) {
	r := newRig(t)
	store := filepath.Join(r.root, "store")
	for _, dir := range []string{"a", "b"} {
		must(t, os.MkdirAll(filepath.Join(store, dir), 0o777))
		must(t, os.WriteFile(filepath.Join(store, dir, "x"), nil, 0o666))
	}
	must(t, os.Symlink("../b/x", filepath.Join(store, "a", "y")))
	must(t, os.Symlink(filepath.Join(store, "a/x"), r.in("1.txt")))
	must(t, os.Symlink("../store/a/y", r.in("2.txt")))
	must(t, os.Symlink("/nowhere/else", r.in("3.txt")))
	r.begin()
	s := r.rounds("both are taken", func(s *Snapshot) bool { return s.Pending+s.Settling == 2 })
	if want := []string{"/nowhere", filepath.Join(store, "a"), filepath.Join(store, "b")}; !slices.Equal(s.Links, want) {
		t.Errorf("links lead to %q, want %q", s.Links, want)
	}
	for i := range 2 * linksMost {
		must(t, os.Symlink("/other"+strconv.Itoa(i)+"/x", r.in(strconv.Itoa(i)+".other.txt")))
	}
	r.d.inputs.stale()
	s = r.rounds("the links are seen", func(s *Snapshot) bool { return len(s.Links) >= linksMost })
	if len(s.Links) != linksMost {
		t.Errorf("%d folders are remembered", len(s.Links))
	}
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
	r.d.inputs.folders[0].took = time.Second
	r.input("a.txt")
	if s := r.after(9 * time.Second); s.Staged != 0 || s.Drained {
		t.Fatalf("listed, or drained without: %+v", s)
	}
	if next := r.d.nextTime(r.now); next.Sub(r.now) > time.Second {
		t.Errorf("the next round is %s away", next.Sub(r.now))
	}
	r.want(r.after(time.Second), 1, 0, 0, 0)
}

// put makes an old input in a folder of the input folder.
func (r *rig) put(name string) {
	r.t.Helper()
	must(r.t, os.MkdirAll(filepath.Dir(r.in(name)), 0o777))
	r.input(name)
}

// TestFoldersOfInputs: those in the input folder are searched, but for hidden ones, links, and the output folder; outputs and
// error files lie in folders of the same names.
func TestFoldersOfInputs(t *testing.T) {
	recursive := func(s *spool.Spec) { s.Recursive = true }
	inside := func(s *spool.Spec) {
		s.Recursive = true
		s.OutputDir = s.InputDir + "/results"
	}
	for _, c := range []struct {
		name   string
		change func(*spool.Spec)
		out    string
	}{{"beside", recursive, "out"}, {"inside", inside, "in/results"}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.change)
			long := strings.Repeat("l", 251)
			for _, name := range []string{"top.txt", "a/x.txt", "a/b/x.txt", "a/b/fails.txt", "a/bad\xff/x.txt", "a/" + long + ".txt"} {
				r.put(name)
			}
			for _, name := range []string{".hidden/x.txt", "a/.tigerflow/x.txt", "a/b/.txt", "a/b/.~tf_x.txt", "a/b/x.text"} {
				r.put(name)
			}
			must(t, os.MkdirAll(filepath.Join(r.root, c.out), 0o777))
			must(t, os.WriteFile(filepath.Join(r.root, c.out, "own.txt"), nil, 0o666))
			must(t, os.Symlink("..", r.in("a/loop")))
			r.begin()
			defer func() {
				if t.Failed() {
					t.Logf("%+v", r.d.Snapshot())
				}
			}()
			want := int64(6)
			if c.name == "beside" {
				must(t, os.Mkdir(r.in("results"), 0o777))
			}
			if s := r.round(); s.Staged != want {
				t.Fatalf("%d files are known, want %d", s.Staged, want)
			}
			w := r.worker(0, 1)
			r.rounds("drained", func(s *Snapshot) bool {
				for h := w.claim(); h != nil; h = w.claim() {
					for _, name := range h.files {
						if strings.Contains(string(name), "fails") || strings.Contains(string(name), long) {
							w.fail(h, "no", name)
						} else {
							w.done(h, 0.01, name)
						}
					}
				}
				return s.Drained
			})
			r.want(r.d.Snapshot(), 0, 0, 4, 2)
			for _, name := range []string{"top.out", "a/x.out", "a/b/x.out", "a/bad\xff/x.out", "a/b/fails.err", spool.ErrName("a/" + long)} {
				if !exists(filepath.Join(r.root, c.out, name)) {
					t.Errorf("there is no %q", name)
				}
			}
			r.close()
			r.begin() // history and disk agree, in all folders
			r.want(r.drained(), 0, 0, 4, 2)
			must(t, os.Remove(filepath.Join(r.root, c.out, "a/b/x.out")))
			r.close()
			r.begin()
			r.want(r.round(), 1, 0, 3, 2)
			r.put("a/new/deep/y.txt")
			r.rounds("the new folder", func(s *Snapshot) bool { return s.Pending == 2 })
			r.finish(r.worker(1, 1))
		})
	}
}

// TestFoldersComeAndGo: a folder that goes takes nothing with it, and one that comes anew is seen.
func TestFoldersComeAndGo(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Recursive = true })
	r.put("a/x.txt")
	r.begin()
	w := r.worker(0, 1)
	r.want(r.finish(w), 0, 0, 1, 0)
	must(t, os.RemoveAll(r.in("a")))
	r.want(r.drained(), 0, 0, 1, 0)
	if n := len(r.d.inputs.folders); n != 1 {
		t.Errorf("%d folders are known", n)
	}
	r.put("a/y.txt")
	r.rounds("the new file", func(s *Snapshot) bool { return s.Pending == 1 })
	r.want(r.finish(w), 0, 0, 2, 0)
}

// asNobody runs fn with the file rights of a user that has none.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	if os.Getuid() != 0 {
		fn()
		return
	}
	done := make(chan struct{})
	go func() { // on a thread of its own, which ends with it
		defer close(done)
		runtime.LockOSThread()
		if err := syscall.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		fn()
	}()
	<-done
}

// TestWhatCannotBeReadIsTold: a folder that cannot be listed, or entered, has no files as far as anyone knows, so the Task
// is not drained; it goes on when the folder can be read again.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	for _, c := range []struct {
		folder string
		mode   os.FileMode
	}{{"", 0}, {"", 0o444}, {"", 0o111}, {"a", 0}, {"a", 0o444}, {"a", 0o111}} {
		t.Run(fmt.Sprintf("%s %o", c.folder, c.mode), func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { s.Recursive = true })
			r.put("top.txt")
			r.put("a/x.txt")
			must(t, filepath.WalkDir(r.root, func(path string, e fs.DirEntry, err error) error {
				if e.IsDir() {
					return os.Chmod(path, 0o777)
				}
				return os.Chmod(path, 0o666)
			}))
			must(t, os.Chmod(filepath.Dir(r.root), 0o755))
			r.begin()
			must(t, os.Chmod(r.in(c.folder), c.mode))
			var s *Snapshot
			asNobody(t, func() {
				if err := r.d.discover(t.Context(), r.now); err != nil {
					t.Error(err)
				}
				s = r.d.survey()
			})
			must(t, os.Chmod(r.in(c.folder), 0o777))
			if s.Input == "" || s.Drained || s.Staged > 1 {
				t.Errorf("%+v", s)
			}
			s = r.rounds("all of them", func(s *Snapshot) bool { return s.Staged == 2 })
			if s.Input != "" {
				t.Error(s.Input)
			}
			r.finish(r.worker(0, 1))
		})
	}
}

// TestWholeSeconds: where times are whole seconds, two writes in one second look alike, and a file looks older than it is.
func TestWholeSeconds(t *testing.T) {
	r := newRig(t)
	write := func(content string, at time.Time) {
		must(t, os.WriteFile(r.in("a.txt"), []byte(content), 0o666))
		must(t, os.Chtimes(r.in("a.txt"), at, at.Truncate(time.Second)))
	}
	r.begin()
	start := r.now.Truncate(time.Second).Add(time.Hour)
	r.now = start.Add(100 * time.Millisecond)
	r.d.inputs.clock.set(r.now, r.now)
	r.d.renewAt = r.now.Add(time.Hour)
	write("one", r.now)
	if s := r.round(); s.Settling != 1 {
		t.Fatalf("%+v", s)
	}
	write("two", start.Add(900*time.Millisecond)) // same size, same time
	r.now = start.Add(2100 * time.Millisecond)    // 1.2 s after the last write
	if s := r.round(); s.Settling != 1 {
		t.Fatalf("taken %s after its last write: %+v", r.now.Sub(start)-900*time.Millisecond, s)
	}
	if s := r.after(1100 * time.Millisecond); s.Settling != 0 || s.Staged != 1 {
		t.Fatalf("%+v", s)
	}
	r.finish(r.worker(0, 1))
}

// TestSettledAndDoneMeanwhile: what a worker tells of a file that still settles counts, and the file is not fed anew.
func TestSettledAndDoneMeanwhile(t *testing.T) {
	r := newRig(t)
	r.input("a.txt", "b.txt")
	r.age(r.in("a.txt"), -time.Hour)
	r.begin()
	if s := r.round(); s.Settling != 1 {
		t.Fatalf("%+v", s)
	}
	r.d.move("a.txt", placeDone)
	must(t, os.WriteFile(r.out("a.out"), nil, 0o666))
	if s := r.after(3 * time.Second); s.Settling != 0 || s.Done != 1 || s.Pending != 1 {
		t.Fatalf("%+v", s)
	}
	r.finish(r.worker(0, 1))
}

// TestMovedInIsTakenAtOnce: what is moved in or closed by its writer need not settle; what is empty or still open must.
func TestMovedInIsTakenAtOnce(t *testing.T) {
	r := newRig(t)
	r.begin()
	r.d.wake = wake.New()
	r.round()
	if !r.d.inputs.local {
		t.Skip("the temporary folder does not lie on a file system of this host")
	}
	young := func(path, content string) {
		must(t, os.WriteFile(path, []byte(content), 0o666))
		r.age(path, -time.Hour) // however long one waits
	}
	young(r.root+"/moved.txt", "x")
	must(t, os.Rename(r.root+"/moved.txt", r.in("moved.txt")))
	young(r.in("closed.txt"), "x")
	young(r.in("empty.txt"), "")
	open, err := os.Create(r.in("open.txt"))
	must(t, err)
	_, err = open.WriteString("half")
	must(t, err)
	r.age(r.in("open.txt"), -time.Hour)
	round := func() *Snapshot { // at the same time: nothing settles
		r.d.inputs.folders[0].took = 0
		return r.round()
	}
	eventually(t, "the two whole files", func() bool { s := round(); return s.Staged == 2 && s.Settling == 2 })
	r.place("moved.txt")
	r.place("closed.txt")
	must(t, open.Close())
	eventually(t, "the file that was closed", func() bool { return round().Staged == 3 })
	r.want(r.after(3*time.Second), 4, 0, 0, 0)
	r.finish(r.worker(0, 1))
}

// TestFolderBecomesFile: folders of inputs whose name another thing takes are gone, as those that are deleted.
func TestFolderBecomesFile(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Recursive = true })
	must(t, os.MkdirAll(r.in("sub/deep"), 0o777))
	r.input("a.txt", "sub/b.txt", "sub/deep/c.txt")
	r.begin()
	r.want(r.finish(r.worker(0, 1)), 0, 0, 3, 0)
	must(t, os.RemoveAll(r.in("sub")))
	must(t, os.WriteFile(r.in("sub"), nil, 0o666))
	r.d.inputs.stale()
	if s := r.drained(); s.Input != "" {
		t.Error(s.Input)
	}
}

// TestPassingErrorOfInputs: what the storage fails at is waited for, and is nothing for a person to mend about the folders.
func TestPassingErrorOfInputs(t *testing.T) {
	for _, tt := range []struct {
		err            error
		storage, input bool
	}{
		{syscall.ESTALE, true, false},
		{syscall.EIO, true, false},
		{syscall.EACCES, false, true},
		{syscall.ENOENT, false, true},
	} {
		r := newRig(t)
		r.begin()
		r.d.inputs.err = &os.PathError{Op: "open", Path: r.in(""), Err: tt.err}
		if s := r.d.survey(); (s.Storage != nil) != tt.storage || (s.Input != "") != tt.input {
			t.Errorf("%v: %+v", tt.err, s)
		}
		r.close()
	}
}
