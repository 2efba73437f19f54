package slurmbridge

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

// TestScenesLive plays the scenes on a real cluster. With -update, on a fresh one with accounting, it takes minutes longer.
func TestScenesLive(t *testing.T) {
	slurmtest.Need(t)
	ids := map[string]string{}
	dir := t.TempDir()
	t.Cleanup(func() {
		command(t, "scancel", "--me")
		slurmtest.PowerOn(t, 4)
	})
	all := submitScenes(t, dir, ids)
	look := func() (queue, accounts []byte, errs []error) {
		queue = command(t, "squeue", queueArgs()...)
		jobs, err := parseQueue(queue)
		if err != nil {
			t.Fatal(err)
		}
		jobs = slices.DeleteFunc(jobs, func(j job) bool { return !slices.Contains(all, j.array) }) // of earlier runs
		var ended []job
		if slurmtest.Accounting(t) {
			accounts = command(t, "sacct", accountingArgs(all)...)
			if ended, err = parseAccounting(accounts); err != nil {
				t.Fatal(err)
			}
		}
		return queue, accounts, compare(jobs, ended, *update)
	}
	// What is to happen to a job that runs waits for it; what ends soon comes last.
	for i, s := range scenes {
		if s.then == "" {
			continue
		}
		if s.args != hour {
			await(t, time.Minute, func() (ok bool, says string) {
				out := command(t, "squeue", "--noheader", "--format=%T", "--jobs="+ids[s.name])
				_, err := os.Stat(filepath.Join(dir, fmt.Sprint(i), "begun"))
				begun := err == nil || !strings.Contains(s.script, "begun")
				return strings.TrimSpace(string(out)) == "RUNNING" && begun, s.name + ": " + string(out)
			})
		}
		if s.state != "COMPLETING" {
			do := strings.Fields(strings.ReplaceAll(s.then, "ID", ids[s.name]))
			command(t, do[0], do[1:]...)
		}
	}
	const patience = 4 * time.Minute // Slurm 24.11 has requeued jobs wait for two
	await(t, patience, func() (bool, string) {
		_, _, errs := look()
		return len(errs) == 1, fmt.Sprint(errs)
	})
	command(t, "scancel", ids["completing"])
	await(t, patience, func() (bool, string) {
		queue, accounts, errs := look()
		if len(errs) == 0 && *update {
			version := strings.Fields(string(command(t, "squeue", "--version")))[1]
			write(t, "testdata/squeue-"+version+".txt", queue)
			write(t, "testdata/sacct-"+version+".txt", accounts)
		}
		return len(errs) == 0, fmt.Sprint(errs)
	})
}

// await waits until a condition is met; it says what is missing.
func await(t *testing.T, patience time.Duration, met func() (bool, string)) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, says := met()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, says)
		}
	}
}

func command(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// submitScenes submits the job of each scene, which works in a folder of its own, and returns the ids of all, in order.
func submitScenes(t *testing.T, dir string, ids map[string]string) []string {
	t.Helper()
	var all []string
	for _, s := range scenes {
		where := "--exclude=node3,node4" // of those that are to be alone there
		if strings.Contains(s.args, "-w ") {
			where = "--time=1:00:00"
		}
		home := filepath.Join(dir, fmt.Sprint(len(all)))
		if err := os.Mkdir(home, 0o777); err != nil {
			t.Fatal(err)
		}
		args := append(strings.Fields(s.args), where, "--parsable", "--job-name="+s.name, "--output=/dev/null", "--chdir="+home)
		if s.array != 0 {
			args = append(args, fmt.Sprint("--array=", s.array))
		}
		cmd := exec.Command("sbatch", args...)
		cmd.Stdin = strings.NewReader("#!/bin/sh\n" + s.script + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", s.name, err, out)
		}
		ids[s.name] = strings.TrimSpace(string(out))
		all = append(all, ids[s.name])
	}
	return all
}
