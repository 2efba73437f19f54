package slurmtest_test

import (
	"os/exec"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

func TestPower(t *testing.T) {
	slurmtest.Need(t)
	nodes := func() string {
		out, err := exec.Command("srun", "--nodes=4", "--immediate=20", "hostname").CombinedOutput()
		if err != nil {
			t.Fatalf("srun: %v\n%s", err, out)
		}
		return string(out)
	}
	slurmtest.PowerOff(t, 2)
	slurmtest.PowerOn(t, 2)
	if out := nodes(); !strings.Contains(out, "node2") {
		t.Errorf("node2 does not take part:\n%s", out)
	}
}

func TestController(t *testing.T) {
	slurmtest.Need(t)
	slurmtest.StopController(t)
	if out, err := exec.Command("scontrol", "ping").Output(); err == nil && strings.Contains(string(out), "is UP") {
		t.Errorf("slurmctld still answers: %s", out)
	}
	slurmtest.StartController(t)
	if out, err := exec.Command("squeue", "--me").CombinedOutput(); err != nil {
		t.Errorf("squeue: %v\n%s", err, out)
	}
}

func TestDatabase(t *testing.T) {
	slurmtest.NeedAccounting(t)
	slurmtest.StopDatabase(t)
	if out, err := exec.Command("sacct").CombinedOutput(); err == nil {
		t.Errorf("slurmdbd still answers: %s", out)
	}
	slurmtest.StartDatabase(t)
	if out, err := exec.Command("sacct").CombinedOutput(); err != nil {
		t.Errorf("sacct: %v\n%s", err, out)
	}
}

func TestSet(t *testing.T) {
	slurmtest.Need(t)
	const age = "MinJobAge               = "
	config := func() string { return slurmtest.Admin(t, "scontrol", "show", "config") }
	before := config()
	t.Run("changed", func(t *testing.T) {
		slurmtest.Set(t, "MinJobAge", "2")
		if !strings.Contains(config(), age+"2 sec") {
			t.Errorf("MinJobAge is not 2:\n%s", config())
		}
	})
	if !strings.Contains(before, age+"300 sec") || !strings.Contains(config(), age+"300 sec") {
		t.Errorf("MinJobAge is not 300 again:\n%s", config())
	}
}

func TestImage(t *testing.T) {
	for name, program := range map[string][]string{
		"busybox": {"/bin/sh", "-c", "echo ready"}, "busybox.sif": {"/bin/sh", "-c", "echo ready"},
		"python": {"python3", "-c", "print('ready')"}, "python.sif": {"python3", "-c", "print('ready')"},
	} {
		args := append([]string{"--quiet", "exec", "--containall", "--cleanenv", slurmtest.Image(t, name)}, program...)
		if out, err := exec.Command("apptainer", args...).Output(); err != nil || string(out) != "ready\n" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}
