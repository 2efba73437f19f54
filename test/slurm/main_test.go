// Package slurm tests tigerflow with Tasks of type Slurm on a real cluster: make test-slurm.
package slurm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

// patience bounds the wait for anything; Slurm itself takes half a minute to notice that a node is gone.
const patience = 4 * time.Minute

// work is a workspace on the shared file system, with inputs and a Task over them.
type work struct {
	*testing.T
	dir string
}

func newWork(t *testing.T) *work {
	t.Helper()
	slurmtest.Need(t)
	w := &work{T: t, dir: t.TempDir()}
	w.must(os.Mkdir(w.path("in"), 0o777))
	t.Cleanup(func() {
		if left := w.queue(alive, "%A"); len(left) > 0 {
			slurmtest.Admin(t, "scancel", left...)
		}
		w.until("the end of all jobs", func() bool { return w.jobs(alive) == 0 })
		spooltest.Check(t, spool.Dir(w.path("out"), "t"))
	})
	return w
}

func (w *work) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *work) path(names ...string) string {
	return filepath.Join(append([]string{w.dir}, names...)...)
}

// inputs makes so many files that are old enough to be taken at once.
func (w *work) inputs(n int) {
	w.Helper()
	past := time.Now().Add(-time.Hour)
	for i := range n {
		path := w.path("in", fmt.Sprintf("%05d.txt", i))
		w.must(os.WriteFile(path, fmt.Appendf(nil, "content %d", i), 0o644))
		w.must(os.Chtimes(path, past, past))
	}
}

// module notes each run of a file, sleeps for so long, and copies it; crash.txt ends its worker.
const module = `import os, signal, time
from tigerflow.tasks import SlurmTask

class T(SlurmTask):
    @staticmethod
    def setup(context):
        context.where = os.uname().nodename

    @staticmethod
    def run(context, input_file, output_file):
        with open(os.environ["RUNS"], "a") as runs:
            runs.write(input_file.name + "\n")
        if input_file.name == "crash.txt":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        time.sleep(%v)
        output_file.write_bytes(input_file.read_bytes())
`

// task writes the module and the Task. more is further lines of its spec.
func (w *work) task(seconds float64, more ...string) {
	w.Helper()
	w.write("t.py", fmt.Sprintf(module, seconds))
	w.taskOf("{python: {module: t.py}}", more...)
}

// taskOf writes a Task of another handler.
func (w *work) taskOf(handler string, more ...string) {
	w.Helper()
	w.write("t.yaml", strings.Join(append([]string{
		"apiVersion: tigerflow.dev/v1alpha1",
		"kind: Task",
		"metadata: {name: t}",
		"spec:",
		"  type: Slurm",
		"  workspace: {path: .}",
		"  input: {directory: in, extension: .txt}",
		"  output: {directory: out, extension: .txt}",
		"  handler: " + handler,
		"  durability: None",
		"  completeAfterIdle: 0s",
		"  resources: {cpus: 1, memory: 100Mi}",
	}, more...), "\n")+"\n")
}

func (w *work) write(name, text string) {
	w.Helper()
	w.must(os.WriteFile(w.path(name), []byte(text), 0o644))
}

// tigerflow is a run of the program.
type tigerflow struct {
	*work
	cmd  *exec.Cmd
	said screen
}

// screen is what the program has said so far.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (w *work) start(args ...string) *tigerflow {
	w.Helper()
	r := &tigerflow{work: w, cmd: exec.Command(os.Getenv("TIGERFLOW_BIN"), args...)}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = w.dir, &r.said, &r.said
	r.cmd.Env = append(os.Environ(), "RUNS="+w.path("runs"))
	w.must(r.cmd.Start())
	w.Cleanup(func() { _ = r.cmd.Process.Kill() }) // it has mostly ended
	return r
}

// end waits for the program and checks its exit code.
func (r *tigerflow) end(want int) {
	r.Helper()
	timer := time.AfterFunc(patience, func() { _ = r.cmd.Process.Signal(syscall.SIGQUIT) })
	defer timer.Stop()
	err := r.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		r.Fatal(err)
	}
	if got := r.cmd.ProcessState.ExitCode(); got != want {
		r.Fatalf("exit code %d, want %d:\n%s%s", got, want, r.said.String(), r.logs())
	}
}

func (w *work) logs() string {
	var text strings.Builder
	logs, _ := filepath.Glob(w.path("out", ".tigerflow", "tasks", "t", "logs", "*"))
	for _, path := range logs {
		log, _ := os.ReadFile(path)
		fmt.Fprintf(&text, "%s:\n%s\n", filepath.Base(path), log)
	}
	return text.String()
}

func (w *work) until(what string, holds func() bool) {
	w.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("waited in vain for %s\n%s", what, w.logs())
		}
	}
}

// outputs counts what is done.
func (w *work) outputs() int {
	list, err := filepath.Glob(w.path("out", "*.txt"))
	w.must(err)
	return len(list)
}

// wantAll checks that each of n inputs has its output, and no other file has one.
func (w *work) wantAll(n int) {
	w.Helper()
	for i := range n {
		got, err := os.ReadFile(w.path("out", fmt.Sprintf("%05d.txt", i)))
		if want := fmt.Sprintf("content %d", i); err != nil || string(got) != want {
			w.Errorf("output %d: %q, %v", i, got, err)
		}
	}
	if got := w.outputs(); got != n {
		w.Errorf("%d outputs for %d inputs", got, n)
	}
	bad, err := filepath.Glob(w.path("out", "*.err"))
	w.must(err)
	for _, path := range bad {
		if filepath.Base(path) != "crash.err" {
			text, _ := os.ReadFile(path)
			w.Errorf("%s: %s", path, text)
		}
	}
}

// runs are how often the module was called for each file.
func (w *work) runs() map[string]int {
	w.Helper()
	text, err := os.ReadFile(w.path("runs"))
	w.must(err)
	runs := map[string]int{}
	for line := range strings.Lines(string(text)) {
		runs[strings.TrimSpace(line)]++
	}
	return runs
}

// alive is all states of jobs that have not ended.
const alive = "PENDING,RUNNING,COMPLETING,SUSPENDED"

// jobs counts the test's jobs in some states.
func (w *work) jobs(states string) int {
	w.Helper()
	return len(w.queue(states, "%i"))
}

// queue is what squeue prints, in a format, of each element of the test's arrays that is in one of the states. Tests that run
// in parallel have theirs.
func (w *work) queue(states, format string) (rows []string) {
	w.Helper()
	spool, err := spool.Open(spool.Dir(w.path("out"), "t"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	w.must(err)
	out, err := exec.Command("squeue", "--me", "--array", "--noheader", "--states="+states, "--format=%j "+format).Output()
	w.must(err)
	for line := range strings.Lines(string(out)) {
		if name, row, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, "t.tf-"+spool.ID()+".") {
			rows = append(rows, row)
		}
	}
	return rows
}

// slow has a test that waits for Slurm more than it works run in parallel with its like.
func slow(t *testing.T) {
	t.Helper()
	slurmtest.Need(t)
	if testing.Short() {
		t.Skip("takes more than half a minute")
	}
	t.Parallel()
}
