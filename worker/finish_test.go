package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
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

func TestUserException(t *testing.T) {
	r := newRig(t, nil)
	r.feed("a", ok, "b", "def inner():\n    raise ValueError('no good')\ninner()", "c", ok)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a c", "failed", "b")
	f := w.failure(spool.EventFailed)
	if f.Type != "ValueError" || f.Message != "no good" || !strings.Contains(f.Traceback, "inner") {
		t.Errorf("the failure is %+v", f)
	}
	if setups := len(r.notes()); setups != 2 {
		t.Errorf("an exception must not cost the handler: %q", r.notes())
	}
}

func TestCommandFails(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) {
		s.Handler = spool.Handler{Command: []string{"sh", "-c", `. {input}`}}
		s.Concurrency = 2
	})
	r.feed("good", ":", "status", "echo why >&2; exit 3", "signal", "kill -SEGV $$", "good2", ":")
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "good good2", "failed", "status", "crashed", "signal")
	for _, e := range w.events() {
		if e.Kind == spool.EventFailed && e.Files[0] == "status.txt" && (e.Failure.ExitCode != 3 || e.Failure.Traceback != "why") {
			t.Errorf("the failure is %+v", e.Failure)
		}
		if e.Kind == spool.EventCrashed && e.Suspects {
			t.Error("a command's crash is its own file's")
		}
	}
}

// Blame falls on the file in hand and never on the one that was sent ahead; the rest goes on in a new handler.
func TestCrash(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		exitCode     int
	}{
		{"exit", "os._exit(3)", 3},
		{"killed", "os.kill(os.getpid(), signal.SIGKILL)", 137},
		{"segfault", "ctypes.string_at(0)", 139},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.feed("a", ok, "b", ok, "crash", "print('last words', file=sys.stderr)\n"+tt.script, "c", ok, "d", ok)
			w := r.start(nil)
			w.ends(spool.ExitIdle)
			w.wantFiles("done", "a b c d", "crashed", "crash")
			if f := w.failure(spool.EventCrashed); f.ExitCode != tt.exitCode || !strings.Contains(f.Stderr, "last words") {
				t.Errorf("the failure is %+v, want exit code %d and the last words", f, tt.exitCode)
			}
			setups := slices.DeleteFunc(r.notes(), func(n string) bool { return !strings.HasPrefix(n, "setup") })
			if len(setups) != 2 {
				t.Errorf("%d handlers, want 2", len(setups))
			}
		})
	}
}

func TestCrashWithSeveralInHand(t *testing.T) {
	r := newRig(t, async(3))
	wait := func(name string) string {
		return fmt.Sprintf("import asyncio\nPath(%q).touch()\nwhile True: await asyncio.sleep(0.01)", name)
	}
	r.feed("a", wait("a"), "b", wait("b"), "c", `
import asyncio
while not (Path("a").exists() and Path("b").exists()): await asyncio.sleep(0.002)
os._exit(3)`)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("crashed", "a b c")
	for _, e := range w.events() {
		if e.Kind == spool.EventCrashed && !e.Suspects {
			t.Errorf("%v were in hand together and are not suspects", e.Files)
		}
	}
}

func TestHandlerKeepsDyingBetweenFiles(t *testing.T) {
	r := newRig(t, nil)
	r.write("setup.py", `
from tigerflow import _protocol
send = _protocol.send
def send_and_leave(**message):
    send(**message)
    print("leaving", file=sys.stderr)
    os._exit(7)
_protocol.send = send_and_leave`)
	f := r.start(stays).ends(spool.ExitHandlerFailed)
	if f.Type != "HandlerFailed" || f.ExitCode != 7 || !strings.Contains(f.Stderr, "leaving") {
		t.Errorf("the failure is %+v", f)
	}
	if n := len(r.notes()); n != fruitlessLimit {
		t.Errorf("%d handlers, want %d", n, fruitlessLimit)
	}
}

// A handler that got something done before it died is replaced without end.
func TestHandlerDiesNowAndThen(t *testing.T) {
	r := newRig(t, nil)
	r.write("teardown.py", "os._exit(1)")
	var done []string
	var pairs []string
	for i := range 3 * fruitlessLimit {
		name := fmt.Sprintf("f%02d", i)
		done = append(done, name)
		pairs = append(pairs, name, ok)
	}
	for _, name := range r.inputs(pairs...) {
		r.feedBatch(spool.Batch{Files: []spool.Name{name}, Alone: true})
	}
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", strings.Join(done, " "))
}

func TestTimeout(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Timeout = spool.Duration(300 * time.Millisecond) })
	r.feed("a", ok, "slow", `
child = subprocess.Popen(["sleep", "1000"])
Path("child.tmp").write_text(str(child.pid)); os.rename("child.tmp", "child")
time.sleep(1000)`, "b", ok)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a b", "failed", "slow")
	if f := w.failure(spool.EventFailed); f.Type != "Timeout" || !strings.Contains(f.Message, "300ms") {
		t.Errorf("the failure is %+v", f)
	}
	child, err := strconv.Atoi(r.read("child"))
	must(t, err)
	eventually(t, "the end of the group", func() bool { return gone(child) })
}

// Whoever is in hand beside a file that is late is given back, not blamed.
func TestTimeoutOfOneAmongSeveral(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) {
		async(2)(s)
		s.Timeout = spool.Duration(time.Second)
	})
	forever := "import asyncio\nnote(input_file.stem)\nwhile True: await asyncio.sleep(0.01)"
	r.feed("late", forever)
	w := r.start(nil)
	eventually(t, "half the time", func() bool {
		return slices.ContainsFunc(w.events(), func(e spool.Event) bool { return len(e.InHand) > 0 && e.InHand[0].Seconds > 0.5 })
	})
	r.feed("young", forever)
	w.ends(spool.ExitIdle)
	w.wantFiles("failed", "late", "back", "young")
	if !slices.Contains(r.notes(), "young") {
		t.Error("the other was not in hand")
	}
}

func TestCannotStart(t *testing.T) {
	python := func(change func(*spool.PythonHandler)) func(*spool.Spec) {
		return func(s *spool.Spec) { change(s.Handler.Python) }
	}
	for _, tt := range []struct {
		name   string
		change func(*spool.Spec)
		setup  string
		want   spool.ExitReason
		tells  string // type, message or traceback
	}{
		{"no module", python(func(h *spool.PythonHandler) { h.Module = "absent.py" }), "", spool.ExitNotFound, "absent.py"},
		{"no class", python(func(h *spool.PythonHandler) { h.Module = "act.py:Absent" }), "", spool.ExitInvalid, "Absent"},
		{"unknown param", func(s *spool.Spec) { s.Params = map[string]json.RawMessage{"shade": json.RawMessage(`"red"`)} }, "", spool.ExitInvalidParams, "shade"},
		{"setup raises", nil, "def deep():\n    raise RuntimeError('no model')\ndeep()", spool.ExitSetupFailed, "in deep"},
		{"setup exits", nil, "os._exit(5)", spool.ExitSetupFailed, "exit status 5"},
		{"setup is killed", nil, "os.kill(os.getpid(), signal.SIGKILL)", spool.ExitSetupFailed, "SIGKILL"},
		{"setup command", func(s *spool.Spec) { s.SetupCommands = []string{"true", "module-load x"} }, "", spool.ExitSetupFailed, "module-load x"},
		{"no interpreter", python(func(h *spool.PythonHandler) { h.Interpreter = "python-absent" }), "", spool.ExitNotFound, "python-absent"},
		{"unknown builtin", func(s *spool.Spec) { s.Handler = spool.Handler{Builtin: "ehco"} }, "", spool.ExitInvalid, `unknown builtin "ehco": known are echo, http-request`},
		{"unknown builtin param", func(s *spool.Spec) {
			echo(s)
			s.Params = map[string]json.RawMessage{"shade": json.RawMessage(`"red"`)}
		}, "", spool.ExitInvalidParams, "shade"},
		{"no program", func(s *spool.Spec) {
			s.Handler = spool.Handler{Program: &spool.ProgramHandler{Path: "/absent/program"}}
		}, "", spool.ExitNotFound, "/absent/program"},
		{"no command", func(s *spool.Spec) { s.Handler = spool.Handler{Command: []string{"absent-command"}} }, "", spool.ExitNotFound, "absent-command"},
		{"no workspace", func(s *spool.Spec) { echo(s); s.WorkDir = "/absent" }, "", spool.ExitNotFound, "working directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.change)
			if tt.setup != "" {
				r.write("setup.py", tt.setup)
			}
			r.feed("a", ok)
			w := r.start(stays)
			f := w.ends(tt.want)
			if f == nil || !strings.Contains(f.Type+"\n"+f.Message+"\n"+f.Traceback, tt.tells) {
				t.Errorf("the failure is %+v, want it to tell %q", f, tt.tells)
			}
			if queue, err := r.spool.Queue(); err != nil || len(queue) != 1 {
				t.Errorf("in the queue: %v %v, want what was fed: no file is to blame", queue, err)
			}
		})
	}
}

func TestTeardownRaises(t *testing.T) {
	r := newRig(t, nil)
	r.write("teardown.py", "raise RuntimeError('too late')")
	r.feed("a", ok)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a")
	if !strings.Contains(w.log.String(), "too late") {
		t.Errorf("the log does not tell of it:\n%s", w.log)
	}
}

func TestInputs(t *testing.T) {
	r := newRig(t, echo)
	must(t, os.Mkdir(r.path("in", "folder.txt"), 0o777))
	must(t, os.Symlink("loop.txt", r.path("in", "loop.txt")))
	must(t, os.Symlink("nowhere", r.path("in", "dangling.txt")))
	r.inputs("a", "x", "link", "x")
	must(t, os.Symlink("a.txt", r.path("in", "alias.txt")))
	r.feedBatch(spool.Batch{Files: []spool.Name{"vanished.txt", "folder.txt", "loop.txt", "dangling.txt", "alias.txt", "a.txt"}})
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a alias", "failed", "folder loop", "gone", "dangling vanished")
	for _, e := range w.events() {
		if e.Kind == spool.EventFailed && e.Files[0] == "folder.txt" && e.Failure.Errno != int(syscall.EISDIR) {
			t.Errorf("the failure of a folder is %+v", e.Failure)
		}
	}
}

// dead is a handler that has ended by itself.
type dead struct{ killed bool }

func (*dead) Run(handler.Request) error   { return handler.ErrEnded }
func (*dead) Close(context.Context) error { return nil }
func (d *dead) Kill()                     { d.killed = true }
func (*dead) Exit() handler.Exit          { return handler.Exit{Code: 3} }

// TestEndBeforeStart: a handler that ends as soon as it has started may be heard of in either order.
func TestEndBeforeStart(t *testing.T) {
	r := newRig(t, nil)
	w, _, err := r.spool.Bear("k.0.r1", spool.Born{Time: time.Now()})
	must(t, err)
	starting := func() (*engine, *lane, *dead) {
		e := newEngine(Config{ID: "k.0.r1", Log: slog.New(slog.DiscardHandler), timing: usual}, r.spool, w, io.Discard)
		d, l := &dead{}, e.lanes[0]
		l.starting = true
		e.started <- started{lane: l, h: d, unhook: func() bool { return true }}
		return e, l, d
	}
	ended := handler.Result{Ended: true}

	e, l, _ := starting()
	e.onResult(ended)
	if l.h != nil || l.starting || l.fruitless != 1 || l.startAt.IsZero() || e.end != nil {
		t.Errorf("at work: %+v, end %v", l, e.end)
	}
	e, l, d := starting()
	e.end = &ending{reason: spool.ExitStopped}
	e.onLastResult(ended)
	if l.h != nil || l.starting || !d.killed {
		t.Errorf("at the end: %+v", l)
	}
}

// TestProtocolBreachIsTold: the worker kills such a handler, and its signal alone would look like want of memory.
func TestProtocolBreachIsTold(t *testing.T) {
	r := newRig(t, nil)
	r.feed("a", `os.write(4, b'{"op":"done","id":99,"seconds":1.0}\n'); time.sleep(1000)`)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("crashed", "a")
	if f := w.failure(spool.EventCrashed); !strings.Contains(f.Message, "answered for file 99") {
		t.Errorf("the failure is %+v", f)
	}
}
