package worker

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

func processes(n int) func(*spool.Spec) {
	return func(s *spool.Spec) { s.Processes = n }
}

// setups counts the handlers that there were.
func (r *rig) setups() int {
	r.t.Helper()
	return len(slices.DeleteFunc(r.notes(), func(n string) bool { return !strings.HasPrefix(n, "setup") }))
}

func TestProcesses(t *testing.T) {
	r := newRig(t, processes(3))
	r.feed("a", `wait("a")`+"\n"+ok, "b", `wait("b")`+"\n"+ok, "c", `wait("c")`+"\n"+ok, "d", ok, "e", ok)
	w := r.start(nil)
	for _, name := range []string{"a", "b", "c"} {
		r.begun(name) // all at once, each in a process of its own
	}
	for _, name := range []string{"a", "b", "c"} {
		r.release(name)
	}
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a b c d e")
	if n := r.setups(); n != 3 {
		t.Errorf("%d handlers were set up, want 3: %q", n, r.notes())
	}
}

// A process that dies is replaced alone: the others go on with what they have in hand, and none of that is blamed.
func TestOneOfSeveralProcessesDies(t *testing.T) {
	r := newRig(t, processes(2))
	r.feed("g", waits, "crash", `wait("crash")`+"\nos._exit(3)", "x", ok, "y", ok)
	w := r.start(nil)
	r.begun("g")
	r.begun("crash")
	r.release("crash")
	r.exists("out/y.out")
	r.release("g")
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "g x y", "crashed", "crash")
	for _, e := range w.events() {
		if e.Kind == spool.EventCrashed && e.Suspects {
			t.Error("a file was suspected that its process had alone in hand")
		}
	}
	if n := r.setups(); n != 3 {
		t.Errorf("%d handlers were set up, want 3: %q", n, r.notes())
	}
}

func TestSuspectsWithSeveralProcesses(t *testing.T) {
	r := newRig(t, processes(2))
	pid := `note(f"run {input_file.stem} {os.getpid()}")` + "\n" + ok
	r.feed("a", pid, "b", pid)
	r.feedBatch(spool.Batch{Files: r.inputs("c", pid, "d", pid, "e", pid), Alone: true})
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a b c d e")
	ran := map[string]string{}
	for _, note := range r.notes() {
		if f := strings.Fields(note); f[0] == "run" {
			ran[f[2]] += f[1]
		}
	}
	for _, files := range ran {
		if strings.LastIndexAny(files, "cde") > 0 {
			t.Errorf("a suspect was not the first of its handler: %v", ran)
		}
	}
}

// For a built-in task the processes are goroutines.
func TestProcessesOfABuiltin(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { echo(s); s.Processes = 4 })
	var pairs, names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("f%02d", i))
		pairs = append(pairs, names[i], "x")
	}
	r.feed(pairs...)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", strings.Join(names, " "))
}

// A built-in task that hangs in the kernel cannot be killed but by the end of the worker, which leaves no word that it had
// ended in good order, and all the words on its files.
func TestBuiltinThatHangs(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { echo(s); s.Timeout = spool.Duration(300 * time.Millisecond) })
	must(t, syscall.Mkfifo(r.path("in", "hangs.txt"), 0o666))
	t.Cleanup(func() { // lets the goroutine go
		if f, err := os.OpenFile(r.path("in", "hangs.txt"), os.O_RDWR, 0); err == nil {
			f.Close()
		}
	})
	r.feedBatch(spool.Batch{Files: append(r.inputs("a", "x"), "hangs.txt", r.inputs("b", "x")[0])})
	w := r.start(stays)
	select {
	case <-w.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("the worker does not end")
	}
	if !errors.Is(w.err, ErrStuck) {
		t.Errorf("the worker ended with %q, %v; want ErrStuck", w.reason, w.err)
	}
	if _, err := r.spool.ReadExit(w.id); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is an exit record (%v), though something of the worker may run on", err)
	}
	if done, failed, back := w.files(spool.EventDone), w.files(spool.EventFailed), w.files(spool.EventBack); done != "a" || failed != "hangs" || back != "b" {
		t.Errorf("done %q, failed %q, given back %q; want a, hangs and b", done, failed, back)
	}
	if f := w.failure(spool.EventFailed); f.Type != "Timeout" {
		t.Errorf("the failure is %+v", f)
	}
}
