package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

const ok = `output_file.write_text("ok")`

// waits is a script that goes on when the test says so.
const waits = `wait("g")` + "\n" + ok

func TestWork(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*spool.Spec)
		want   string // of input "x"
	}{
		{"builtin", echo, "x"},
		{"builtin with params", func(s *spool.Spec) {
			echo(s)
			s.Params = map[string]json.RawMessage{"prefix": json.RawMessage(`"<"`), "uppercase": json.RawMessage("true")}
		}, "<X"},
		{"command", func(s *spool.Spec) { s.Handler = spool.Handler{Command: []string{"cp", "{input}", "{output}"}} }, "x"},
		{"durable", func(s *spool.Spec) { echo(s); s.Durability = spool.Fsync }, "x"},
		{"many at once", func(s *spool.Spec) { echo(s); s.Concurrency = 4 }, "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.change)
			var names []string
			for b := range 3 {
				var pairs []string
				for i := range 5 {
					names = append(names, fmt.Sprintf("f%d%d", b, i))
					pairs = append(pairs, names[len(names)-1], "x")
				}
				r.feed(pairs...)
			}
			w := r.start(nil)
			if failure := w.ends(spool.ExitIdle); failure != nil {
				t.Errorf("the exit record tells of %+v", failure)
			}
			w.wantFiles("done", strings.Join(names, " "))
			for _, name := range names {
				if got := r.read("out/" + name + ".out"); got != tt.want {
					t.Errorf("%s: %q, want %q", name, got, tt.want)
				}
			}
			if queue, err := r.spool.Queue(); err != nil || len(queue) > 0 {
				t.Errorf("left in the queue: %v %v", queue, err)
			}
			if temps, err := os.ReadDir(filepath.Join(r.spool.Path(), "workers", w.id, "tmp")); err != nil || len(temps) > 0 {
				t.Errorf("left in tmp: %v %v", temps, err)
			}
		})
	}
}

func TestPythonLife(t *testing.T) {
	r := newRig(t, nil)
	r.feed("a", ok, "b", ok)
	r.start(nil).ends(spool.ExitIdle)
	notes := r.notes()
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "setup ") || notes[1] != strings.Replace(notes[0], "setup", "teardown", 1) {
		t.Errorf("the life of the handler was %q, want one setup and one teardown", notes)
	}
}

// What is fed after the Task has changed is for workers of the change.
func TestTaskChanges(t *testing.T) {
	r := newRig(t, echo)
	r.feed("a", "x")
	w := r.start(stays)
	eventually(t, "the first file", func() bool { return w.files(spool.EventDone) == "a" })
	must(t, r.lock.Close())
	r.lead()
	spec := *r.spool.Spec()
	spec.Revision = "changed"
	must(t, r.lock.Update(r.spool.Owner(), spec))
	r.feed("b", "x", "c", "x")
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a", "back", "b c")
}

// What is fed while a worker waits is taken at once, by the hint.
func TestWakes(t *testing.T) {
	r := newRig(t, echo)
	w := r.start(stays)
	eventually(t, "the first beat", func() bool { return len(w.events()) > 0 })
	r.feed("a", "x")
	r.exists("out/a.out")
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a")
}

// A claim whose answer was lost, and whose name was not seen then, is taken up while the worker is idle. What it has worked
// off before is not.
func TestFindsItsOwnClaim(t *testing.T) {
	r := newRig(t, echo)
	r.feed("a", "x")
	w := r.start(stays)
	eventually(t, "the first file", func() bool { return w.files(spool.EventDone) == "a" })
	r.write("in/b.txt", "y")
	record, err := spool.AppendRecord(nil, spool.Batch{Files: []spool.Name{"b.txt"}})
	must(t, err)
	r.write("b.batch", string(record))
	id := spool.BatchID{Epoch: r.lock.Epoch(), Seq: 99}
	claim := filepath.Join(r.spool.Path(), "workers", w.id, "claimed", id.String()+".batch")
	must(t, os.Rename(r.path("b.batch"), claim))
	r.exists("out/b.out")
	eventually(t, "the end of the claim", func() bool {
		_, err := os.Lstat(claim)
		return os.IsNotExist(err)
	})
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a b")
}

func TestSecondProcessForASlot(t *testing.T) {
	r := newRig(t, echo)
	w := r.start(stays)
	eventually(t, "the first beat", func() bool { return len(w.events()) > 0 })
	_, err := Run(t.Context(), t.Context(), Config{Spool: r.spool.Path(), ID: w.id, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, ErrTaken) {
		t.Errorf("the second process: error %v, want ErrTaken", err)
	}
	w.drain()
	w.ends(spool.ExitDrained)
}

func TestNoSpool(t *testing.T) {
	_, err := Run(context.Background(), context.Background(), Config{Spool: t.TempDir(), ID: "w.0.r0", Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want that there is none", err)
	}
}

func TestBatchOfOldEpochIsDropped(t *testing.T) {
	r := newRig(t, echo)
	r.feed("old", "x")
	must(t, r.lock.Close())
	r.lead()
	r.feed("new", "x")
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "new")
	if exists(r.path("out", "old.out")) {
		t.Error("a batch of a superseded dispatcher was run")
	}
}

func TestUnreadableBatches(t *testing.T) {
	for name, content := range map[string]string{"damaged": "no record\n", "torn": "000000ff 0", "no files": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, echo)
			bad := r.feedBatch(spool.Batch{})
			if content != "" {
				must(t, os.WriteFile(filepath.Join(r.spool.QueueDir(), bad.String()+".batch"), []byte(content), 0o666))
			}
			r.feed("a", "x")
			w := r.start(nil)
			w.ends(spool.ExitIdle)
			w.wantFiles("done", "a")
			i := slices.IndexFunc(w.events(), func(e spool.Event) bool { return e.Kind == spool.EventBad })
			if i < 0 || w.events()[i].Batch != bad.String() {
				t.Errorf("no word on batch %s in the journal", bad)
			}
		})
	}
}

// A link out of the container says nothing of the file: what else is in hand is finished, and the worker leaves.
func TestInputNotVisible(t *testing.T) {
	for kind, mend := range map[string]string{spool.TypeSlurm: "add export APPTAINER_BIND=", spool.TypeLocalAsync: "mount its volume by container.mounts"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { async(2)(s); s.Type = kind })
			r.feed("a", `wait("a")`+"\n"+ok, "b", ok, "c", ok)
			must(t, os.Remove(r.path("in", "b.txt")))
			must(t, os.Symlink("../elsewhere/b", r.path("in", "b.txt")))
			w := r.start(func(c *Config) { c.Contained = true })
			r.begun("a")
			r.release("a")
			failure := w.ends(spool.ExitInputNotVisible)
			w.wantFiles("done", "a", "gone", "b", "back", "c")
			if failure == nil || failure.Type != "InputNotVisible" || !strings.Contains(failure.Message, mend) {
				t.Errorf("its word: %+v", failure)
			}
		})
	}
}

// Each suspect has a handler of its own, and what comes before ends in good order.
func TestAlone(t *testing.T) {
	r := newRig(t, async(3))
	pid := `note(f"run {input_file.stem} {os.getpid()}")` + "\n" + ok
	r.feed("a", pid, "b", pid)
	r.feedBatch(spool.Batch{Files: r.inputs("c", pid, "d", pid), Alone: true})
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a b c d")
	handlers, torn := map[string]string{}, 0
	for _, note := range r.notes() {
		fields := strings.Fields(note)
		switch fields[0] {
		case "run":
			handlers[fields[2]] += fields[1]
		case "teardown":
			torn++
		}
	}
	var groups []string
	for _, files := range handlers {
		for _, suspect := range []string{"c", "d"} {
			if strings.Contains(files, suspect) && !strings.HasPrefix(files, suspect) {
				t.Errorf("suspect %s ran in a handler that had run %s", suspect, files)
			}
		}
		groups = append(groups, files)
	}
	if torn != len(handlers) {
		t.Errorf("%d handlers (%v) and %d teardowns", len(handlers), groups, torn)
	}
	for _, files := range groups {
		if strings.Contains(files, "c") && strings.Contains(files, "d") {
			t.Errorf("two suspects had one handler: %v", groups)
		}
	}
}

// While no pace is known, or files are slow, nothing is sent ahead: it would wait behind a long file. Quick files have
// one behind them.
func TestOneFileAhead(t *testing.T) {
	for _, tt := range []struct {
		name, before string
		back, done   string
	}{
		{"unknown", "", "x y z", "g"},
		{"quick", "time.sleep(0.003)\n" + ok, "y z", "a b c g x"},
		{"slow", "time.sleep(0.15)\n" + ok, "x y z", "a b c g"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			if tt.before != "" {
				r.feed("a", tt.before, "b", tt.before, "c", tt.before)
			}
			w := r.start(stays)
			if tt.before != "" {
				r.exists("out/c.out")
			}
			r.feed("g", waits, "x", ok, "y", ok, "z", ok)
			r.begun("g")
			w.drain()
			eventually(t, "names given back", func() bool { return w.files(spool.EventBack) != "" })
			r.release("g")
			w.ends(spool.ExitDrained)
			w.wantFiles("done", tt.done, "back", tt.back)
		})
	}
}

// Others may have what would wait behind a long file.
func TestGivesBackBehindALongFile(t *testing.T) {
	r := newRig(t, nil)
	r.feed("g", waits, "x", ok, "y", ok)
	w := r.start(impatient)
	r.begun("g")
	eventually(t, "names given back", func() bool { return w.files(spool.EventBack) == "x y" })
	r.release("g")
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "g", "back", "x y")
}

func TestConcurrency(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, async(n))
			r.write("setup.py", "running, most = [0], [0]")
			script := `
import asyncio
running[0] += 1
most[0] = max(most[0], running[0])
await asyncio.sleep(0.02)
running[0] -= 1
output_file.write_text(str(most[0]))`
			var pairs []string
			for i := range 4 * n {
				pairs = append(pairs, fmt.Sprintf("f%02d", i), script)
			}
			r.feed(pairs...)
			r.start(nil).ends(spool.ExitIdle)
			if most := r.read(fmt.Sprintf("out/f%02d.out", 4*n-1)); most != fmt.Sprint(n) {
				t.Errorf("at most %s files at once, want %d", most, n)
			}
		})
	}
}
