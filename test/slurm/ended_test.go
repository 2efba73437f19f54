package slurm

import (
	"os/exec"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

// TestNobodyIsBlamed: what Slurm ends, it sends SIGTERM to all processes of: the command in hand dies of it, and no file is
// blamed though none may fail even once.
func TestNobodyIsBlamed(t *testing.T) {
	const files = 60
	for name, end := range map[string]func(w *work, running []string){
		"canceled": func(w *work, running []string) { slurmtest.Admin(w, "scancel", running[:len(running)/2]...) },
		"requeued": func(w *work, running []string) {
			for _, args := range [][]string{{"update", "jobid=" + running[0], "requeue=1"}, {"requeue", running[0]}} {
				// The job of an earlier round may have been the one that ran: it finds its worker's folder taken, and is gone.
				out, err := exec.Command("sudo", append([]string{"--non-interactive", "scontrol"}, args...)...).CombinedOutput()
				if err != nil && !strings.Contains(string(out), "already") {
					w.Fatalf("%v: %s", err, out)
				}
			}
		},
		"preempted": func(w *work, _ []string) {
			out, err := exec.Command("sbatch", "--partition=batch", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=exit").CombinedOutput()
			if err != nil {
				w.Fatalf("%v: %s", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWork(t)
			w.inputs(files)
			w.taskOf(`{command: [sh, -c, 'sleep 1; cp "$0" "$1"', "{input}", "{output}"]}`,
				"  slurm: {time: 10m, partition: spare}", "  scaling: {minWorkers: 4, maxWorkers: 4}", "  retry: {attempts: 1, crashLimit: 1}")
			r := w.start("run", "t.yaml")
			for round := range 3 {
				before := w.outputs()
				w.until("work", func() bool { return w.outputs() > before+3 })
				running := w.queue("RUNNING", "%i")
				if len(running) > 1 || round == 0 {
					end(w, running)
				}
			}
			r.end(0)
			w.wantAll(files)
		})
	}
}
