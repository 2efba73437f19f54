package standalone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
	"tigerflow.dev/tigerflow/worker/workermain"
)

const patience = 2 * time.Minute

// TestMain makes the test binary a worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		if err := workermain.Run(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// screen is a terminal that shows stdout and stderr alike.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

var times = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| `)

// shown is what is on the screen, without the times.
func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return times.ReplaceAllString(s.text.String(), "")
}

// lone is a lone task and its folders.
type lone struct {
	*testing.T
	dir     string
	spec    Spec
	options Options
	signals chan os.Signal
	screen  *screen
}

func newLone(t *testing.T, handler Handler, files ...string) *lone {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := &lone{T: t, dir: t.TempDir(), screen: &screen{}, signals: make(chan os.Signal, 2)}
	l.spec = Spec{
		TaskName: "T", Type: spool.TypeLocal, InputDir: l.path("in"), InputExt: ".txt", OutputDir: l.path("out"), OutputExt: ".out",
		Handler: handler,
	}
	l.options = Options{Worker: self, Stdout: l.screen, Stderr: l.screen, Signals: l.signals, Ends: true, Log: slog.New(slog.DiscardHandler)}
	l.must(os.Mkdir(l.path("in"), 0o777))
	for _, name := range files {
		l.must(os.WriteFile(l.path("in", name), []byte(name), 0o666))
		past := time.Now().Add(-time.Hour)
		l.must(os.Chtimes(l.path("in", name), past, past))
	}
	t.Cleanup(func() {
		if dir := spool.Dir(l.spec.OutputDir, l.spec.TaskName); exists(dir) {
			spooltest.Check(t, dir)
		}
	})
	return l
}

func (l *lone) path(names ...string) string {
	return filepath.Join(append([]string{l.dir}, names...)...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (l *lone) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// run runs the task and sends the signals, each as soon as what stands before it is shown.
func (l *lone) run(after ...string) error {
	l.Helper()
	ended := make(chan error, 1)
	go func() { ended <- Run(l.Context(), l.spec, l.options) }()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-deadline:
			l.Fatalf("it does not end; shown so far:\n%s", l.screen.shown())
		case <-tick.C:
			if len(after) > 0 && strings.Contains(l.screen.shown(), after[0]) {
				l.signals <- syscall.SIGINT
				after = after[1:]
			}
		}
	}
}

func (l *lone) shows(want string) {
	l.Helper()
	if got := l.screen.shown(); got != want {
		l.Errorf("shown:\n%s\nwant:\n%s", got, want)
	}
}

// A task ends when all is done, and says what it does.
func TestRun(t *testing.T) {
	l := newLone(t, Handler{Builtin: "echo"}, "5.txt")
	l.spec.Params = map[string]json.RawMessage{"prefix": json.RawMessage(`">>> "`)}
	l.must(l.run())
	l.shows(`INFO     | Setting up task
INFO     | Task setup complete
INFO     | Starting processing: 5.txt
INFO     | Successfully processed: 5.txt
INFO     | Shutting down task
INFO     | Task shutdown complete
`)
	if got, err := os.ReadFile(l.path("out", "5.out")); err != nil || string(got) != ">>> 5.txt" {
		t.Errorf("output %q, %v", got, err)
	}
}

// A signal lets the file in hand finish; what user code prints stands where it belongs.
func TestSignal(t *testing.T) {
	l := newLone(t, Handler{Command: []string{"sh", "-c", "echo printed {stem}; cp {input} {output}"}}, "1.txt")
	l.options.Ends = false
	err := l.run("Successfully processed")
	if s, ok := errors.AsType[*SignalError](err); !ok || s.Code() != 130 {
		t.Fatalf("it ended with %v", err)
	}
	l.shows(`INFO     | Setting up task
INFO     | Task setup complete
INFO     | Starting processing: 1.txt
printed 1
INFO     | Successfully processed: 1.txt
WARNING  | Received signal 2, initiating shutdown
INFO     | Shutting down task
INFO     | Task shutdown complete
`)
}

// A second signal ends at once, and the file in hand is run again by the next run.
func TestSecondSignal(t *testing.T) {
	l := newLone(t, Handler{Command: []string{"sh", "-c", "echo begun; test -e released || sleep 600; cp {input} {output}"}}, "1.txt")
	t.Chdir(l.dir)
	err := l.run("begun", "Received signal 2, initiating shutdown")
	if s, ok := errors.AsType[*SignalError](err); !ok || s.Code() != 130 || exists(l.path("out", "1.out")) {
		t.Fatalf("it ended with %v", err)
	}
	l.must(os.WriteFile(l.path("released"), nil, 0o666))
	l.must(l.run())
	if !exists(l.path("out", "1.out")) {
		t.Error("the file was not run again")
	}
}

// Who cannot send a signal, on another host, asks by the spool.
func TestAskedToStop(t *testing.T) {
	for _, tt := range []struct {
		kind spool.RequestKind
		done int
	}{{spool.RequestDrain, 1}, {spool.RequestStop, 0}} {
		t.Run(string(tt.kind), func(t *testing.T) {
			l := newLone(t, Handler{Command: []string{"sh", "-c", "echo begun; until test -e $0/released; do sleep 0.01; done; cp {input} {output}"}}, "1.txt", "2.txt")
			l.spec.Handler.Command = append(l.spec.Handler.Command, l.dir)
			ended := make(chan error, 1)
			go func() { ended <- Run(l.Context(), l.spec, l.options) }()
			l.wait("begun")
			s, err := spool.Open(spool.Dir(l.spec.OutputDir, l.spec.TaskName))
			l.must(err)
			_, err = s.Ask(spool.Request{Kind: tt.kind})
			l.must(err)
			l.wait("Asked to stop, initiating shutdown")
			if tt.done == 1 {
				l.must(os.WriteFile(l.path("released"), nil, 0o666))
			}
			if signal, ok := errors.AsType[*SignalError](<-ended); !ok || signal.Code() != 143 {
				t.Errorf("it ended with %v", signal)
			}
			if outputs, err := filepath.Glob(l.path("out", "*.out")); err != nil || len(outputs) != tt.done {
				t.Errorf("there are %q, %v, and the file in hand is to be finished: %t", outputs, err, tt.done == 1)
			}
		})
	}
}

// wait waits for a text on the screen.
func (l *lone) wait(text string) {
	l.Helper()
	l.until(text, func() bool { return strings.Contains(l.screen.shown(), text) })
}

// until waits until ok holds.
func (l *lone) until(what string, ok func() bool) {
	l.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			l.Fatalf("waited in vain for %q; shown:\n%s", what, l.screen.shown())
		case <-tick.C:
		}
	}
}

// A failure costs its file only; the end tells of it.
func TestFailure(t *testing.T) {
	l := newLone(t, Handler{Command: []string{"sh", "-c", "echo why >&2; exit 3"}}, "1.txt")
	err := l.run()
	if failed, ok := errors.AsType[*FailedError](err); !ok || *failed != (FailedError{Failed: 1}) {
		t.Fatalf("it ended with %v", err)
	}
	l.shows(`INFO     | Setting up task
INFO     | Task setup complete
INFO     | Starting processing: 1.txt
why
ERROR    | Failed processing: 1.txt
INFO     | Shutting down task
INFO     | Task shutdown complete
`)
	if text, err := os.ReadFile(l.path("out", "1.err")); err != nil || !bytes.Contains(text, []byte("why")) {
		t.Errorf("error file %q, %v", text, err)
	}
}

// What cannot work is told in one line, and nothing is run.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, want string // with $DIR for the folder
		spoil      func(l *lone)
	}{
		{"no input folder", "the input directory $DIR/in does not exist: create it, or correct --input-dir", func(l *lone) { l.must(os.RemoveAll(l.path("in"))) }},
		{"extension", `--input-ext "txt": an extension begins with a dot and has no slash, as in .txt`, func(l *lone) { l.spec.InputExt = "txt" }},
		{"error extension", "--output-ext .err: this extension is for error files, choose another", func(l *lone) { l.spec.OutputExt = ".err" }},
		{"nothing", "--output-dir: give a value", func(l *lone) { l.spec.OutputDir = "" }},
		{"name", `--task-name "a/b": give a name without slashes and without a dot at its beginning, of at most 253 bytes`, func(l *lone) { l.spec.TaskName = "a/b" }},
		{"concurrency", "--concurrency-limit 0: give a number from 1 to 100000", func(l *lone) { l.spec.Type = spool.TypeLocalAsync }},
		{"no Slurm", "T is a Slurm task, and there is no Slurm here (no sbatch on the PATH): run it where Slurm is, or make it a LocalTask", func(l *lone) { l.slurm() }},
		{"Slurm without its options", "a Slurm task needs --max-workers, --cpus, --memory and --time", func(l *lone) { l.spec.Type = spool.TypeSlurm }},
		{"workers", "--max-workers 1001: give a number from 1 to 1000", func(l *lone) { l.slurm(); l.spec.Slurm.MaxWorkers = 1001 }},
		{"memory", `--memory "12": give a number and a unit, such as 8G or 500M`, func(l *lone) { l.slurm(); l.spec.Slurm.Memory = "12" }},
		{"time", `--time "2h": it is no time: give HOURS:MINUTES:SECONDS, such as 02:00:00, or DAYS-HOURS`, func(l *lone) { l.slurm(); l.spec.Slurm.Time = "2h" }},
		{"two handlers", "a task is one of a Python module, a library task, a command and a program: 2 are given", func(l *lone) { l.spec.Handler.Command = []string{"x"} }},
		{"unknown param", `unknown param "x": known are prefix, suffix, uppercase`, func(l *lone) { l.spec.Params = map[string]json.RawMessage{"x": json.RawMessage("1")} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLone(t, Handler{Builtin: "echo"}, "1.txt")
			tt.spoil(l)
			err := l.run()
			if want := strings.ReplaceAll(tt.want, "$DIR", l.dir); !IsUsage(err) || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
			if exists(l.path("out", "1.out")) {
				t.Error("it ran")
			}
		})
	}
}

// One runs at a time, and the other is told who does.
func TestInUse(t *testing.T) {
	l := newLone(t, Handler{Builtin: "echo"}, "1.txt")
	l.options.Ends = false
	second := *l
	second.screen = &screen{}
	second.options.Stdout, second.options.Stderr = second.screen, second.screen
	started := make(chan error, 1)
	go func() { started <- Run(t.Context(), l.spec, l.options) }()
	deadline := time.After(patience)
	for !strings.Contains(l.screen.shown(), "Successfully") {
		select {
		case <-deadline:
			t.Fatal("the first does not begin")
		case <-time.After(5 * time.Millisecond):
		}
	}
	err := second.run()
	want := "--output-dir is in use by " + spool.Self().String() + " for "
	if refused, ok := errors.AsType[*flow.RefusedError](err); !ok || !strings.HasPrefix(refused.Message, want) {
		t.Errorf("error %v, want %s…", err, want)
	}
	second.shows("")
	l.signals <- syscall.SIGTERM
	if s, ok := errors.AsType[*SignalError](<-started); !ok || s.Code() != 143 {
		t.Errorf("the first ended with %v", s)
	}
}

// Lines wait for what the worker says of a file, and prints behind them wait with them.
func TestTerminal(t *testing.T) {
	s := &screen{}
	term := newTerminal(s, s, "/in")
	item := func(text string) string { return "\x1e" + text + "\n" }
	stream := item(`{"op":"begin","input":"/in/a"}`) + "no newline" + item(`{"op":"end","input":"/in/a","ok":true}`) +
		item(`{"op":"begin","input":"/in/b"}`) + "of b\n" + item(`{"op":"end","input":"/in/b"}`) +
		item(`{"op":"givenUp","input":"/in/b"}`) + item(`{"op":"published","input":"/in/a"}`) +
		item(`{"op":"begin","input":"/in/c"}`) + item(`{"op":"end","input":"/in/c","ok":true}`) + item(`{"op":"again","input":"/in/c"}`) +
		"odd \x1e mark\n" + strings.Repeat("long", 40_000) + "\n"
	if err := term.follow(io.NopCloser(strings.NewReader(stream))); err != nil {
		t.Fatal(err)
	}
	want := `INFO     | Starting processing: a
no newline
INFO     | Successfully processed: a
INFO     | Starting processing: b
of b
ERROR    | Failed processing: b
INFO     | Starting processing: c
odd ` + "\x1e" + ` mark
` + strings.Repeat("long", 40_000) + "\n"
	if got := s.shown(); got != want {
		t.Errorf("shown:\n%.600s\nwant:\n%.600s", got, want)
	}
}
