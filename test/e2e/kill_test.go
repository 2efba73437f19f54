package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// Whichever process is killed in the middle of a run, and whenever, running again gives every input exactly one output.
func TestKillAnyProcess(t *testing.T) {
	const files = 2000
	for seed, spec := range []string{
		`{type: LocalAsync, localAsync: {concurrency: 4}, handler: {builtin: echo}, params: {prefix: "> "}}`,
		`{type: LocalAsync, localAsync: {concurrency: 4}, handler: {python: {module: m.py}}, durability: None}`,
	} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(seed), 7))
			w := newWork(t)
			for i := range files {
				w.put(numbered(i), numbered(i))
			}
			module(`class T(LocalTask):
    @staticmethod
    def run(context, i, o): o.write_text("> " + i.read_text())
`)(w)
			w.task(spec)
			for range 4 {
				w.killRun(random)
			}
			w.good()
			report, err := spool.Check(spool.Dir(w.path("out"), "t"))
			w.must(err)
			if report.Done != files || report.Failed+report.Waiting > 0 || !report.Settled || len(report.Notes) > 0 {
				t.Errorf("%+v", report)
			}
			for i := range files {
				w.output(numbered(i), "> "+numbered(i))
			}
			all, err := filepath.Glob(w.path("out", "[^.]*"))
			w.must(err)
			if len(all) != files {
				t.Errorf("%d outputs for %d inputs", len(all), files)
			}
		})
	}
}

// killRun starts a run and kills a handler, a worker and tigerflow itself, each after some more outputs. Nothing may stay.
func (w *work) killRun(random *rand.Rand) {
	w.Helper()
	cmd := w.command("run", "t.yaml")
	w.must(cmd.Start())
	ended := make(chan int, 1)
	go func() { ended <- w.waitFor(cmd) }()
	for _, find := range []func() int{w.handler, w.worker, func() int { return cmd.Process.Pid }} {
		want := w.outputs() + 1 + random.IntN(150)
		w.wait("more outputs, and a process to kill", func() bool {
			if len(ended) > 0 {
				w.Fatalf("the run was through before it was killed: %d outputs", w.outputs())
			}
			if w.outputs() < want {
				return false
			}
			pid := find()
			return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
		})
	}
	if code := <-ended; code != -1 {
		w.Errorf("exit code %d of a run that was killed", code)
	}
	w.noneLeft()
}

func (w *work) outputs() int {
	names, err := filepath.Glob(w.path("out", "*.txt"))
	w.must(err)
	return len(names)
}

func (w *work) worker() int { return w.find(true) }

func (w *work) handler() int { return w.find(false) }

// find finds a worker's process or a handler's; 0 if there is none.
func (w *work) find(worker bool) int {
	for _, pid := range w.processes() {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(line), "\x00run\x00--spool\x00") == worker {
			return pid
		}
	}
	return 0
}
