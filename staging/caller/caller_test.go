package caller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/staging"
)

var _ staging.Caller = (*Caller)(nil)

const module = `
import os, sys, time
from pathlib import Path
from tigerflow.staging import StagingContext

calls = []

def reverse(candidates: list[Path], context: StagingContext) -> list[Path]:
    assert all(isinstance(c, Path) and c.is_file() for c in candidates)
    assert context.input_dir == candidates[0].parent and context.output_dir.name == "results", context
    assert (context.staged, context.completed, context.failed) == (5, 3, 1), context
    print("choosing", len(candidates))
    return candidates[::-1]

def none(candidates, context):
    return None

def raises(candidates, context):
    raise ValueError("two\nlines")

def invents(candidates, context):
    return ["/etc/passwd"]

def pid(candidates, context):
    calls.append(1)
    return [str(os.getpid()), str(len(calls))]

def hangs(candidates, context):
    if os.fork() == 0:
        time.sleep(3600)
    Path("hangs").write_text(f"{os.getpid()}")
    time.sleep(3600)

def dies(candidates, context):
    print("I am dying", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)

def leaves(candidates, context):
    sys.exit("I leave")

not_a_function = 1
`

// buffer is written and read by several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newCaller makes a Caller of functions in staging_functions.py.
func newCaller(t *testing.T, change ...func(*Config)) (c *Caller, dir string, log *buffer) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir, log = t.TempDir(), &buffer{}
	for _, sub := range []string{"data", "results"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "staging_functions.py"), module)
	write(t, filepath.Join(dir, "tigerflow.py"), "raise SystemExit('not this one')\n")
	cfg := Config{Dir: dir, InputDir: dir + "/data", OutputDir: dir + "/results", LibDir: dir + "/lib", Log: log}
	for _, f := range change {
		f(&cfg)
	}
	c = New(cfg)
	t.Cleanup(c.Close)
	return c, dir, log
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var counts = staging.Counts{Staged: 5, Completed: 3, Failed: 1}

func (c *Caller) call(t *testing.T, function string, candidates ...string) ([]string, error) {
	t.Helper()
	return c.Call(t.Context(), "staging_functions:"+function, candidates, counts)
}

func TestCall(t *testing.T) {
	c, dir, log := newCaller(t)
	names := []string{"a.txt", "odd \xff\n.txt", "é.txt", "'\"\\.txt"}
	for _, n := range names {
		write(t, filepath.Join(dir, "data", n), "")
	}
	got, err := c.call(t, "reverse", names...)
	slices.Reverse(names)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("chose %q, %v", got, err)
	}
	if got, err := c.call(t, "none", "a.txt"); err != nil || len(got) > 0 {
		t.Errorf("chose %q, %v", got, err)
	}
	if got, err := c.call(t, "invents", "a.txt"); err != nil || !slices.Equal(got, []string{"/etc/passwd"}) { // the steps refuse it
		t.Errorf("chose %q, %v", got, err)
	}
	c.Close()
	if log.String() != "choosing 4\n" {
		t.Errorf("the log is %q", log)
	}
}

// TestCallMany sends more than a pipe holds, both ways.
func TestCallMany(t *testing.T) {
	c, dir, _ := newCaller(t)
	write(t, filepath.Join(dir, "all_of_them.py"), "def f(candidates, context):\n    return candidates\n")
	names := make([]string, 50_000)
	for i := range names {
		names[i] = fmt.Sprintf("recording-%07d.txt", i)
	}
	got, err := c.Call(t.Context(), "all_of_them:f", names, counts)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("chose %d, %v", len(got), err)
	}
}

func TestBrokenFunctions(t *testing.T) {
	c, _, log := newCaller(t)
	for function, want := range map[string]string{
		"raises":         "ValueError: two lines",
		"missing":        "AttributeError: module 'staging_functions' has no attribute 'missing'",
		"not_a_function": "TaskError: not_a_function of staging_functions is not a function",
		"leaves":         "SystemExit: I leave",
		"dies":           "the process that calls it has ended, signal: killed: I am dying",
	} {
		if got, err := c.call(t, function, "a.txt"); err == nil || err.Error() != want || len(got) > 0 {
			t.Errorf("%s: %q, %v, want %s", function, got, err, want)
		}
	}
	if !strings.Contains(log.String(), `raise ValueError("two\nlines")`) {
		t.Errorf("the log has no traceback:\n%s", log)
	}
	_, err := c.Call(t.Context(), "no_such_module:f", []string{"a.txt"}, counts)
	if err == nil || err.Error() != "ModuleNotFoundError: No module named 'no_such_module'" {
		t.Errorf("%v", err)
	}
}

// TestOneProcess: calls share a process until one fails, so that a module that was mended is read anew.
func TestOneProcess(t *testing.T) {
	c, _, _ := newCaller(t)
	first, err := c.call(t, "pid")
	second, err2 := c.call(t, "pid")
	if err := errors.Join(err, err2); err != nil || first[0] != second[0] || second[1] != "2" {
		t.Fatalf("%q %q %v", first, second, err)
	}
	if _, err := c.call(t, "raises"); err == nil {
		t.Fatal("nothing was raised")
	}
	if third, err := c.call(t, "pid"); err != nil || third[0] == first[0] {
		t.Errorf("%q %v", third, err)
	}
}

// TestHanging: a call that does not return is ended with all that it started, by its time, its context, and Close.
func TestHanging(t *testing.T) {
	for name, end := range map[string]struct {
		timeout time.Duration
		by      func(c *Caller, cancel func())
		want    string
	}{
		"timeout": {100 * time.Millisecond, func(*Caller, func()) {}, "it has not returned after 100ms, and was ended"},
		"context": {0, func(_ *Caller, cancel func()) { cancel() }, "context canceled"},
		"close":   {0, func(c *Caller, _ func()) { c.Close() }, "the process that calls it is being ended"},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir, _ := newCaller(t, func(cfg *Config) { cfg.Timeout = end.timeout })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			over := make(chan error)
			go func() {
				_, err := c.Call(ctx, "staging_functions:hangs", []string{"a.txt"}, counts)
				over <- err
			}()
			if end.timeout == 0 {
				hanging(t, dir)
			}
			end.by(c, cancel)
			if err := <-over; err == nil || err.Error() != end.want {
				t.Errorf("%v, want %s", err, end.want)
			}
			if end.timeout == 0 {
				gone(t, hanging(t, dir))
			}
		})
	}
}

// hanging waits until the function hangs, and gives its process.
func hanging(t *testing.T, dir string) (pid int) {
	t.Helper()
	eventually(t, "the function to hang", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "hangs"))
		pid, _ = strconv.Atoi(string(text))
		return pid > 0
	})
	return pid
}

// gone waits until nothing is left of a process group.
func gone(t *testing.T, group int) {
	t.Helper()
	eventually(t, "the end of the group", func() bool { return errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) })
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestNoPython(t *testing.T) {
	c, _, _ := newCaller(t, func(cfg *Config) { cfg.Interpreter = "python-of-nowhere" })
	if _, err := c.call(t, "none"); err == nil || !strings.HasPrefix(err.Error(), `starting Python: exec: "python-of-nowhere"`) {
		t.Errorf("%v", err)
	}
}

// TestOrphan: the process ends with the one that started it, however that goes, though user code runs.
func TestOrphan(t *testing.T) {
	_, dir, _ := newCaller(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), orphanVar+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := hanging(t, dir)
	_ = cmd.Process.Kill() // it lives: it waits for the function
	_ = cmd.Wait()
	gone(t, group)
}

const orphanVar = "TIGERFLOW_TEST_CALLER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(orphanVar); dir != "" {
		c := New(Config{Dir: dir, InputDir: dir + "/data", OutputDir: dir + "/results", LibDir: dir + "/lib"})
		_, _ = c.Call(context.Background(), "staging_functions:hangs", []string{"a.txt"}, counts)
		return
	}
	os.Exit(m.Run())
}
