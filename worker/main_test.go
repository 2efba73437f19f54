package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// brisk is a worker without patience, but for files that take long on a busy machine.
var brisk = timing{
	beat: 50 * time.Millisecond, hold: time.Hour, restart: 10 * time.Millisecond, probe: 20 * time.Millisecond,
	sync: 50 * time.Millisecond, silence: time.Minute, grace: 100 * time.Millisecond, doubt: 20 * time.Millisecond,
}

// interpreter is Python itself and not what a version manager puts in its place, which is slow.
var interpreter = sync.OnceValue(func() string {
	path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "python3"
	}
	return strings.TrimSpace(string(path))
})

// A task that does to a file what its content says. It tells of its life in the file notes.
const module = `
import ast, ctypes, inspect, os, signal, subprocess, sys, threading, time
from pathlib import Path
from tigerflow.tasks import %[1]s

def note(text):
    with open("notes", "a") as notes:
        notes.write(f"{text}\n")

def wait(name):
    Path(name + ".begun").touch()
    while not Path(name + ".go").exists():
        time.sleep(0.002)

class Act(%[1]s):
    @staticmethod
    %[2]sdef setup(context):
        note(f"setup {os.getpid()}")
        if Path("setup.py").exists():
            exec(Path("setup.py").read_text(), globals())

    @staticmethod
    %[2]sdef run(context, input_file, output_file):
        code = compile(input_file.read_bytes(), str(input_file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        answer = eval(code, {**globals(), "input_file": input_file, "output_file": output_file})
        if inspect.isawaitable(answer):
            %[3]sanswer

    @staticmethod
    %[2]sdef teardown(context):
        note(f"teardown {os.getpid()}")
        if Path("teardown.py").exists():
            exec(Path("teardown.py").read_text(), globals())
`

// rig is a Task on disk whose dispatcher is the test.
type rig struct {
	t     *testing.T
	root  string
	spool *spool.Spool
	lock  *spool.Lock
}

// newRig makes a Task of the scripted Python module, one file at a time, unless change says otherwise.
func newRig(t *testing.T, change func(*spool.Spec)) *rig {
	t.Helper()
	return newRigIn(t, t.TempDir(), change)
}

func newRigIn(t *testing.T, root string, change func(*spool.Spec)) *rig {
	t.Helper()
	r := &rig{t: t, root: root}
	spec := spool.Spec{
		Task: "act", Type: spool.TypeSlurm, WorkDir: spool.Name(root),
		InputDir: spool.Name(r.path("in")), InputExt: ".txt", OutputDir: spool.Name(r.path("out")), OutputExt: ".out",
		Handler:     spool.Handler{Python: &spool.PythonHandler{Module: "act.py", Interpreter: interpreter()}},
		Concurrency: 1, Durability: spool.None, Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	}
	if change != nil {
		change(&spec)
	}
	for _, dir := range []string{"in", "out"} {
		must(t, os.MkdirAll(r.path(dir), 0o777))
	}
	r.write("act.py", fmt.Sprintf(module, "LocalTask", "", ""))
	r.write("async.py", fmt.Sprintf(module, "LocalAsyncTask", "async ", "await "))
	var err error
	r.spool, err = spool.Create(spool.Dir(r.path("out"), "act"), spool.Owner{Plane: "test", Name: "act"}, spec)
	must(t, err)
	r.lead()
	t.Cleanup(func() {
		r.lock.Abandon()
		report, err := spool.Check(r.spool.Path())
		if err != nil || len(report.Problems) > 0 {
			t.Errorf("the spool breaks its rules: %v %v", report.Problems, err)
		}
	})
	return r
}

// newEngineIn is an engine that nobody drives but the test.
func newEngineIn(t *testing.T, r *rig) *engine {
	t.Helper()
	w, _, err := r.spool.Bear("k.0.r1", spool.Born{Time: time.Now()})
	must(t, err)
	return newEngine(Config{ID: "k.0.r1", Log: slog.New(slog.DiscardHandler), timing: usual}, r.spool, w, io.Discard)
}

// async makes the Task one of many files in flight.
func async(n int) func(*spool.Spec) {
	return func(s *spool.Spec) {
		s.Type, s.Concurrency, s.Handler.Python.Module = spool.TypeLocalAsync, n, "async.py"
	}
}

func echo(s *spool.Spec) { s.Handler = spool.Handler{Builtin: "echo"} }

// lead takes the spool's lock, which must be free.
func (r *rig) lead() {
	r.t.Helper()
	lock, err := (&spool.Contender{Spool: r.spool, Owner: r.spool.Owner()}).Try()
	must(r.t, err)
	r.lock = lock
}

func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.root}, parts...)...)
}

func (r *rig) write(name, content string) {
	r.t.Helper()
	must(r.t, os.WriteFile(r.path(name), []byte(content), 0o666))
}

// feed makes inputs of names and contents, by turns, and feeds them as one batch.
func (r *rig) feed(pairs ...string) {
	r.t.Helper()
	r.feedBatch(spool.Batch{Files: r.inputs(pairs...)})
}

func (r *rig) inputs(pairs ...string) (names []spool.Name) {
	r.t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		r.write(filepath.Join("in", pair[0]+".txt"), pair[1])
		names = append(names, spool.Name(pair[0]+".txt"))
	}
	return names
}

func (r *rig) feedBatch(b spool.Batch) spool.BatchID {
	r.t.Helper()
	id, err := r.lock.Feed(b)
	must(r.t, err)
	return id
}

// begun waits for a scripted file that calls wait(name).
func (r *rig) begun(name string) { r.t.Helper(); r.exists(name + ".begun") }

// release lets such a file go on.
func (r *rig) release(name string) { r.t.Helper(); r.write(name+".go", "") }

func (r *rig) exists(name string) {
	r.t.Helper()
	eventually(r.t, name, func() bool { return exists(r.path(name)) })
}

// notes are what the scripted task tells of its life.
func (r *rig) notes() []string {
	r.t.Helper()
	return strings.Split(strings.TrimSpace(r.read("notes")), "\n")
}

func (r *rig) read(name string) string {
	r.t.Helper()
	content, err := os.ReadFile(r.path(name))
	must(r.t, err)
	return string(content)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// eventually waits for a condition that others bring about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return errors.Is(err, os.ErrNotExist) || bytes.Contains(stat, []byte(") Z "))
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
