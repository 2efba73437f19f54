package slurm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// started is six workers on four nodes: two wait in the queue.
func (w *work) started() *tigerflow {
	w.Helper()
	w.inputs(200)
	w.task(1, "  slurm: {time: 10m, sbatchOptions: [\"--exclusive\"]}", "  scaling: {minWorkers: 6, maxWorkers: 6}")
	r := w.start("run", "t.yaml")
	w.until("four workers at work, and two that wait", func() bool {
		return w.jobs("RUNNING") == 4 && w.jobs("PENDING") == 2 && w.outputs() > 4
	})
	return r
}

// wantNobody checks that a run that has ended has left nothing behind. The scripts of workers that have ended may yet have to see
// them out.
func (w *work) wantNobody() {
	w.Helper()
	if left := w.queue("PENDING,SUSPENDED", "%i %T"); len(left) > 0 {
		w.Errorf("jobs are left behind: %q", left)
	}
	workers, err := filepath.Glob(w.path("out", ".tigerflow", "tasks", "t", "workers", "*"))
	w.must(err)
	for _, dir := range workers {
		_, word := os.Stat(filepath.Join(dir, "exit.json"))
		_, fenced := os.Stat(filepath.Join(dir, "fenced"))
		if word != nil && fenced != nil {
			w.Errorf("worker %s is left behind", filepath.Base(dir))
		}
	}
	w.until("the end of all jobs", func() bool { return w.jobs(alive) == 0 })
}

// TestInterrupted: the files in hand are finished, jobs that wait leave the queue, and the next run goes on.
func TestInterrupted(t *testing.T) {
	w := newWork(t)
	r := w.started()
	w.must(r.cmd.Process.Signal(os.Interrupt))
	r.end(130)
	w.wantNobody()
	if done, begun := w.outputs(), len(w.runs()); done != begun {
		t.Errorf("%d files were begun, and %d are done", begun, done)
	}
	w.task(0, "  slurm: {time: 10m}", four)
	w.start("run", "t.yaml").end(0)
	w.wantAll(200)
}

// TestInterruptedTwice: who is in a hurry leaves no job behind either.
func TestInterruptedTwice(t *testing.T) {
	w := newWork(t)
	w.inputs(8)
	w.task(600, "  slurm: {time: 20m}", "  scaling: {minWorkers: 2, maxWorkers: 2}", "  drainTimeout: 1h")
	r := w.start("run", "t.yaml")
	w.until("two files in hand", func() bool {
		_, err := os.Stat(w.path("runs"))
		return err == nil && len(w.runs()) == 2
	})
	w.must(r.cmd.Process.Signal(os.Interrupt))
	w.until("the notice", func() bool { return strings.Contains(r.said.String(), "Finishing the files in hand") })
	w.must(r.cmd.Process.Signal(os.Interrupt))
	r.end(130)
	w.wantNobody()
}

// TestStopped: tigerflow stop ends a run and its jobs.
func TestStopped(t *testing.T) {
	w := newWork(t)
	r := w.started()
	w.start("stop", "out").end(0)
	r.end(1)
	w.wantNobody()
}

// TestLone: a module by itself, as its authors run it.
func TestLone(t *testing.T) {
	w := newWork(t)
	w.inputs(60)
	w.task(0.5)
	text, err := os.ReadFile(w.path("t.py"))
	w.must(err)
	w.write("t.py", string(text)+"\nT.cli()\n")
	r := w.start("task", "run", "t.py", "--input-dir", "in", "--input-ext", ".txt", "--output-dir", "out", "--output-ext", ".txt",
		"--task-name", "t", "--max-workers", "3", "--cpus", "1", "--memory", "100M", "--time", "00:10:00", "--gpus", "0",
		"--sbatch-option", "--mail-user=me@example.org", "--setup-command", "true")
	w.until("all outputs", func() bool { return w.outputs() == 60 })
	w.must(r.cmd.Process.Signal(syscall.SIGINT))
	r.end(130)
	w.wantNobody()
	w.wantAll(60)
	var told []string
	for line := range strings.Lines(r.said.String()) {
		if parts := strings.SplitN(strings.TrimSpace(line), " | ", 3); len(parts) == 3 {
			told = append(told, parts[1]+"| "+parts[2])
		}
	}
	for _, want := range []string{"INFO    | Submitted task with Slurm job ID ", "INFO    | Status changed: INACTIVE -> ", "WARNING | Received signal 2, initiating shutdown"} {
		if !slices.ContainsFunc(told, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("%q is not told in\n%s", want, strings.Join(told, "\n"))
		}
	}
	last := told[max(0, len(told)-2):]
	if len(last) < 2 || !strings.HasSuffix(last[0], " -> INACTIVE (Reason: CANCELLED+)") || last[1] != "INFO    | Task shutdown complete" {
		t.Errorf("the end is %q", last)
	}
}
