package worker

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

// What user code says of the storage is no attempt: the worker waits, looks, and goes on.
func TestUserCodeFindsStorageFull(t *testing.T) {
	r := newRig(t, nil)
	r.feed("a", `raise OSError(28, "No space left on device")`, "b", ok)
	w := r.start(stays)
	eventually(t, "the worker's going on", func() bool { return w.files(spool.EventDone) == "b" })
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "b", "storage", "a")
	var kinds []spool.EventKind
	for _, e := range w.events() {
		if e.Kind == spool.EventPaused || e.Kind == spool.EventResumed {
			kinds = append(kinds, e.Kind)
		}
	}
	if !slices.Equal(kinds, []spool.EventKind{spool.EventPaused, spool.EventResumed}) {
		t.Errorf("the journal tells %v, want one pause and its end", kinds)
	}
	if f := w.failure(spool.EventPaused); f.Type != "StorageFull" {
		t.Errorf("the pause is %+v, want StorageFull", f)
	}
}

// The same holds for setup: a full disk is no fault of the task.
func TestSetupFindsStorageFull(t *testing.T) {
	r := newRig(t, nil)
	r.write("setup.py", `
if not Path("tried").exists():
    Path("tried").touch()
    raise OSError(28, "No space left on device")`)
	r.feed("a", ok)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a")
	if f := w.failure(spool.EventPaused); f.Type != "StorageFull" {
		t.Errorf("the pause is %+v", f)
	}
}

// newFullRig makes a Task on a small file system of its own, and gives a function that fills it to the last block.
func newFullRig(t *testing.T, change func(*spool.Spec)) (r *rig, fill func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a file system that is small")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("mounting a small file system: ", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(root, syscall.MNT_DETACH)) })
	r = newRigIn(t, root, change)
	return r, func() {
		filler, err := os.Create(r.path("filler"))
		must(t, err)
		defer filler.Close()
		for err == nil {
			_, err = filler.Write(make([]byte, 4096))
		}
	}
}

func TestDiskFull(t *testing.T) {
	r, fill := newFullRig(t, nil)
	w := r.start(stays)
	r.exists("notes") // of the setup
	eventually(t, "the first beat", func() bool { return len(w.events()) > 0 })
	fill()
	r.feedFull("a", `output_file.write_text("x" * 100000)`)
	eventually(t, "the pause", func() bool { return w.files(spool.EventStorage) == "a" })
	must(t, os.Remove(r.path("filler")))
	eventually(t, "the end of the pause", func() bool {
		return slices.ContainsFunc(w.events(), func(e spool.Event) bool { return e.Kind == spool.EventResumed })
	})
	r.feed("a", ok)
	r.exists("out/a.out")
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a", "storage", "a")
}

// feedFull feeds one file on a full disk: there is room for what the test needs by giving some of the filler back.
func (r *rig) feedFull(name, script string) {
	r.t.Helper()
	info, err := os.Stat(r.path("filler"))
	must(r.t, err)
	must(r.t, os.Truncate(r.path("filler"), info.Size()-2*4096)) // the input and the batch
	r.feed(name, script)
}

// While the journal cannot be written nothing is lost, nothing more is taken, and no record is torn.
func TestJournalOnAFullDisk(t *testing.T) {
	r, fill := newFullRig(t, nil)
	r.feed("loud", `wait("loud"); raise ValueError("x" * 12000)`)
	w := r.start(stays)
	r.begun("loud")
	r.write("loud.go.new", "")
	fill()
	must(t, os.Rename(r.path("loud.go.new"), r.path("loud.go")))
	eventually(t, "the worker's waiting", func() bool { return strings.Contains(w.log.String(), "the storage does not take") })
	if failed := w.files(spool.EventFailed); failed != "" {
		t.Fatalf("the journal of a full disk tells of %s", failed)
	}
	r.feedFull("c", ok)
	must(t, os.Remove(r.path("filler")))
	r.exists("out/c.out")
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "c", "failed", "loud")
}

func TestLocalWorkerWithoutHeartbeat(t *testing.T) {
	r, fill := newFullRig(t, func(s *spool.Spec) { s.Type = spool.TypeLocal })
	r.feed("g", `
note(f"child {subprocess.Popen(['sleep', '1000']).pid}")
wait("g")`)
	w := r.start(func(c *Config) { stays(c); c.timing.silence = 500 * time.Millisecond })
	r.begun("g")
	fill()
	// Beats, a few of which fit into the journal's last block, stop.
	select {
	case <-w.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the worker goes on in silence")
	}
	if w.reason != spool.ExitNoHeartbeat {
		t.Errorf("the worker ended with %q, want NoHeartbeat", w.reason)
	}
	child, err := strconv.Atoi(strings.TrimPrefix(r.notes()[1], "child "))
	must(t, err)
	eventually(t, "the end of the handler's group", func() bool { return gone(child) })
}

// TestProbesAnew: a storage that was well meanwhile is looked at as soon as at the first time.
func TestProbesAnew(t *testing.T) {
	e := newEngineIn(t, newRig(t, nil))
	e.rec = newRecorder(e.w, e.spec, e.cfg, nil)
	l := e.lanes[0]
	for i := range uint64(3) {
		now := time.Now()
		e.pause(syscall.ENOSPC, now)
		if wait := e.probeAt.Sub(now); wait != usual.probe {
			t.Errorf("pause %d: %s to the first look", i, wait)
		}
		e.probe(now)
		if e.trouble != nil {
			t.Fatal(e.trouble)
		}
		e.flying[i] = &file{batch: &batch{left: 1}, name: "a.txt", lane: l}
		l.order = []uint64{i}
		e.onResult(handler.Result{ID: i, Seconds: 1})
	}
}
