package slurmbridge

import (
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

func TestPreview(t *testing.T) {
	s := executor.Spec{
		ID: executor.WorkerID{Key: "key", Restart: 1}, Task: "demo", Spool: "/data/my out/.tigerflow/tasks/demo", Log: "/data/my out/key.0.r1.log",
		WallTime: time.Hour, Slurm: executor.Slurm{Partition: "gpu"},
	}
	command, script, err := Preview(s, "worker")
	must(t, err)
	for _, want := range []string{"sbatch --parsable '--job-name=demo.tf-key.0.r1' ", " '--time=60' ", " '--partition=gpu' ", " '--output=/data/my out/key.0.r1.log' "} {
		if !strings.Contains(command+" ", want) {
			t.Errorf("%q is not in %s", want, command)
		}
	}
	if !strings.HasPrefix(script, "#!/bin/bash -l\n") || !strings.Contains(script, "tf_worker='/data/my out/.tigerflow/bin/worker'\n") {
		t.Errorf("the script is\n%s", script)
	}
	s.Slurm.Options = []string{"--array=1"}
	if _, _, err := Preview(s, "worker"); err == nil {
		t.Error("it has no fault with --array")
	}
}
