package slurm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

const four = "  scaling: {maxWorkers: 4, drainTarget: 1s}"

// safe is for tests that run in parallel with TestNodeLost.
func safe(limit string) string {
	return `  slurm: {time: ` + limit + `, sbatchOptions: ["--exclude=node3,node4"]}`
}

func TestRun(t *testing.T) {
	w := newWork(t)
	w.inputs(100)
	w.task(0, "  slurm: {time: 10m}", four)
	began := time.Now()
	r := w.start("run", "t.yaml")
	w.until("the first output", func() bool { return w.outputs() > 0 })
	first := time.Since(began)
	w.until("all outputs", func() bool { return w.outputs() == 100 })
	last := time.Since(began)
	r.end(0)
	t.Logf("from the start to the first output %s, to the last %s, to the end %s", first, last, time.Since(began))
	w.wantAll(100)
	// The last script has yet to see its worker out.
	w.until("no job", func() bool { return w.jobs(alive) == 0 })
	for file, n := range w.runs() {
		if n != 1 {
			t.Errorf("%s was run %d times", file, n)
		}
	}
}

// TestPoison: a file that ends its worker is given up, and all others are done.
func TestPoison(t *testing.T) {
	slow(t)
	w := newWork(t)
	w.inputs(20)
	w.write("in/crash.txt", "x")
	w.task(0, safe("10m"), four, "  retry: {crashLimit: 3}")
	w.start("run", "t.yaml").end(1)
	w.wantAll(20)
	text, err := os.ReadFile(w.path("out", "crash.err"))
	w.must(err)
	if !strings.Contains(string(text), "signal: killed") && !strings.Contains(string(text), "NonZeroExitCode") {
		t.Errorf("the error file does not say how: %s", text)
	}
	if n := w.runs()["crash.txt"]; n != 3 {
		t.Errorf("crash.txt was run %d times, want 3", n)
	}
}

// TestNodeLost: a node goes without a word, with a file in hand.
func TestNodeLost(t *testing.T) {
	slow(t)
	w := newWork(t)
	w.inputs(120)
	w.task(0.5, "  slurm: {time: 10m, sbatchOptions: [\"--exclusive\", \"--exclude=node1,node2\"]}", "  scaling: {minWorkers: 2, maxWorkers: 2}")
	r := w.start("run", "t.yaml")
	w.until("two workers at work", func() bool { return w.jobs("RUNNING") == 2 && w.outputs() > 2 })
	node := w.queue("RUNNING", "%N")[0]
	slurmtest.PowerOff(t, int(node[len(node)-1]-'0'))
	r.end(0)
	w.wantAll(120)
}

// TestCanceledByAdministrator: half of the workers are ended by a stranger.
func TestCanceledByAdministrator(t *testing.T) {
	w := newWork(t)
	w.inputs(200)
	w.task(0.2, "  slurm: {time: 10m}", "  scaling: {minWorkers: 4, maxWorkers: 4}")
	r := w.start("run", "t.yaml")
	w.until("four workers at work", func() bool { return w.jobs("RUNNING") == 4 && w.outputs() > 4 })
	slurmtest.Admin(t, "scancel", w.queue("RUNNING", "%i")[:2]...)
	r.end(0)
	w.wantAll(200)
}

// TestKilled: tigerflow is killed without mercy; the next one goes on with the workers that are there.
func TestKilled(t *testing.T) {
	w := newWork(t)
	w.inputs(200)
	w.task(0.2, "  slurm: {time: 10m}", "  scaling: {minWorkers: 2, maxWorkers: 2}")
	r := w.start("run", "t.yaml")
	w.until("two workers at work", func() bool { return w.jobs("RUNNING") == 2 && w.outputs() > 4 })
	w.must(r.cmd.Process.Kill())
	r.end(-1)
	jobs := w.queue(alive, "%i")
	w.start("run", "t.yaml", "--take-over").end(0)
	w.wantAll(200)
	for file, n := range w.runs() {
		if n != 1 {
			t.Errorf("%s was run %d times: %v were there", file, n, jobs)
		}
	}
}

// TestControllerKilled: Slurm does not answer for a while; workers go on.
func TestControllerKilled(t *testing.T) {
	w := newWork(t)
	w.inputs(200)
	w.task(0.2, "  slurm: {time: 10m}", "  scaling: {minWorkers: 2, maxWorkers: 2}")
	r := w.start("run", "t.yaml")
	w.until("two workers at work", func() bool { return w.jobs("RUNNING") == 2 && w.outputs() > 4 })
	slurmtest.StopController(t)
	before := w.outputs()
	w.until("more outputs without a controller", func() bool { return w.outputs() > before+10 })
	slurmtest.StartController(t)
	r.end(0)
	w.wantAll(200)
}

// TestRequeued: an administrator has the job of a worker run again.
func TestRequeued(t *testing.T) {
	w := newWork(t)
	w.inputs(100)
	w.task(0.2, "  slurm: {time: 10m}")
	r := w.start("run", "t.yaml")
	w.until("a worker at work", func() bool { return w.jobs("RUNNING") == 1 && w.outputs() > 2 })
	id := w.queue("RUNNING", "%i")[0]
	slurmtest.Admin(t, "scontrol", "update", "jobid="+id, "requeue=1")
	slurmtest.Admin(t, "scontrol", "requeue", id)
	r.end(0)
	w.wantAll(100)
}

// TestWallTime: workers whose time is a minute hand over in good order.
func TestWallTime(t *testing.T) {
	slow(t)
	w := newWork(t)
	w.inputs(45)
	w.task(4, safe("1m"), "  scaling: {maxWorkers: 2, drainTarget: 1s}")
	w.start("run", "t.yaml").end(0)
	w.wantAll(45)
	for file, n := range w.runs() {
		if n != 1 {
			t.Errorf("%s was run %d times: it was begun without the time for it", file, n)
		}
	}
}

func TestContainer(t *testing.T) {
	for _, image := range []string{"python", "python.sif"} {
		t.Run(image, func(t *testing.T) {
			path := slurmtest.Image(t, image)
			w := newWork(t)
			w.inputs(20)
			w.task(0, "  slurm: {time: 10m}", "  setupCommands: [\"export APPTAINERENV_FROM_HOST=1\"]",
				"  container: {image: "+path+", env: [{name: RUNS, value: "+w.path("runs")+"}]}")
			w.start("run", "t.yaml").end(0)
			w.wantAll(20)
		})
	}
}

// TestSetupFails: a setup command that fails is told once, with what it said, and nothing is burnt on trying.
func TestSetupFails(t *testing.T) {
	w := newWork(t)
	w.inputs(3)
	w.task(0, "  slurm: {time: 10m}", "  setupCommands: [\"true\", \"echo no such module >&2; exit 5\"]")
	r := w.start("run", "t.yaml")
	r.end(1)
	if text := r.said.String(); !strings.Contains(text, "no such module") || !strings.Contains(text, "SetupFailed") {
		t.Errorf("it said %s", text)
	}
	if logs, err := filepath.Glob(w.path("out", ".tigerflow", "tasks", "t", "workers", "*")); err != nil || len(logs) > 3 {
		t.Errorf("%d workers were tried, %v", len(logs), err)
	}
}

// badNodeModule cannot be set up on the first node that it comes to, ever.
const badNodeModule = `import os, time
from tigerflow.tasks import SlurmTask

class T(SlurmTask):
    @staticmethod
    def setup(context):
        here = os.environ["SLURMD_NODENAME"]
        try:
            with open("bad", "x") as bad:
                bad.write(here)
        except FileExistsError:
            pass
        with open("bad") as bad:
            if bad.read() == here:
                with open("setups", "a") as setups:
                    setups.write(here + "\n")
                raise RuntimeError("no GPU here")

    @staticmethod
    def run(context, input_file, output_file):
        time.sleep(0.3)
        output_file.write_bytes(input_file.read_bytes())
`

// TestBadNode: a node on which nothing works is free again at once each time. It gets no third worker.
func TestBadNode(t *testing.T) {
	w := newWork(t)
	w.inputs(30)
	w.task(0, `  slurm: {time: 10m, sbatchOptions: ["--exclusive", "--exclude=node3,node4"]}`, "  scaling: {minWorkers: 2, maxWorkers: 2}")
	w.write("t.py", badNodeModule)
	r := w.start("run", "t.yaml")
	r.end(0)
	w.wantAll(30)
	bad, err := os.ReadFile(w.path("bad"))
	w.must(err)
	setups, err := os.ReadFile(w.path("setups"))
	w.must(err)
	if n := strings.Count(string(setups), "\n"); n != 2 {
		t.Errorf("%d workers were set up on %s, want 2", n, bad)
	}
	if want := "NodesAvoided: workers fail to work on " + string(bad) + " and are started elsewhere for an hour"; !strings.Contains(r.said.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, r.said.String())
	}
}
