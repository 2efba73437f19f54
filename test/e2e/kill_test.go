package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// Whichever process is killed in the middle of a run, and whenever, running again gives every input exactly one output.
func TestKillAnyProcess(t *testing.T) {
	for seed, tt := range []struct {
		spec    string
		handler bool // has a process of its own
	}{
		{`{type: LocalAsync, localAsync: {concurrency: 4}, handler: {builtin: echo}, params: {prefix: "> "}}`, false},
		{`{type: LocalAsync, localAsync: {concurrency: 4}, handler: {python: {module: m.py}}, durability: None}`, true},
	} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			k := &killer{work: newWork(t), random: rand.New(rand.NewPCG(uint64(seed), 7))}
			if tt.handler {
				k.victims = append(k.victims, k.handler)
			}
			k.victims = append(k.victims, k.worker)
			module(`class T(LocalTask):
    @staticmethod
    def run(context, i, o): o.write_text("> " + i.read_text())
`)(k.work)
			k.task(tt.spec)
			k.more()
			k.more()
			for range 4 {
				k.killRun()
			}
			k.good()
			k.check()
		})
	}
}

// killer kills what works on its files.
type killer struct {
	*work
	random  *rand.Rand
	files   int
	victims []func() int // find a process to kill besides tigerflow itself
}

// more adds inputs.
func (k *killer) more() {
	for range 1000 {
		k.put(numbered(k.files), numbered(k.files))
		k.files++
	}
}

// killRun starts a run and kills the victims and tigerflow itself, each after some more outputs. A run that is through
// before that is given more to do. Nothing of it may stay.
func (k *killer) killRun() {
	k.Helper()
	cmd, ended := k.startRun()
	for _, find := range append(slices.Clone(k.victims), func() int { return cmd.Process.Pid }) {
		want := k.outputs() + 1 + k.random.IntN(150)
		k.wait("more outputs, and a process to kill", func() bool {
			select {
			case code := <-ended:
				if code != 0 {
					k.Fatalf("exit code %d of a run that came to its end", code)
				}
				k.more()
				cmd, ended = k.startRun()
				return false
			default:
			}
			if k.outputs() < want {
				return false
			}
			pid := find()
			return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
		})
	}
	if code := <-ended; code != -1 && code != 0 { // 0: it was just through
		k.Errorf("exit code %d of a run that was killed", code)
	}
	k.noneLeft()
}

func (k *killer) startRun() (*exec.Cmd, chan int) {
	cmd := k.command("run", "t.yaml")
	k.must(cmd.Start())
	ended := make(chan int, 1)
	go func() { ended <- k.waitFor(cmd) }()
	return cmd, ended
}

// check compares history, outputs and inputs.
func (k *killer) check() {
	k.Helper()
	report, err := spool.Check(spool.Dir(k.path("out"), "t"))
	k.must(err)
	if report.Done != k.files || report.Failed+report.Waiting > 0 || !report.Settled || len(report.Notes)+len(report.Problems) > 0 {
		k.Errorf("%+v", report)
	}
	for i := range k.files {
		k.output(numbered(i), "> "+numbered(i))
	}
	all, err := filepath.Glob(k.path("out", "[^.]*"))
	k.must(err)
	if len(all) != k.files {
		k.Errorf("%d outputs for %d inputs", len(all), k.files)
	}
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
