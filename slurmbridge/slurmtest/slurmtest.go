// Package slurmtest is for tests that need a Slurm cluster: that of hack/slurm, which make test-slurm brings up. They run inside
// it as an ordinary user, with TMPDIR, so t.TempDir, on the file system that all nodes see. What it does to the cluster it
// undoes when the test ends. Tests that run in parallel do not do anything to nodes that others use.
package slurmtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long the cluster may take to become what it was told to be.
const patience = time.Minute

// Need skips the test where there is no cluster for tests.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv("TIGERFLOW_SLURM_LAB") == "" {
		t.Skip("needs a Slurm cluster for tests: make test-slurm")
	}
}

// NeedAccounting skips the test, too, where the cluster has no accounting database.
func NeedAccounting(t testing.TB) {
	t.Helper()
	Need(t)
	if !Accounting(t) {
		t.Skip("needs an accounting database")
	}
}

// Accounting reports whether the cluster has an accounting database.
func Accounting(t testing.TB) bool {
	t.Helper()
	return setting(t, "AccountingStorageType") == "accounting_storage/slurmdbd"
}

// Image returns the path of an Apptainer image: busybox or python, folders, or busybox.sif or python.sif. It skips the test on
// clusters without Apptainer.
func Image(t testing.TB, name string) string {
	t.Helper()
	Need(t)
	if _, err := exec.LookPath("apptainer"); err != nil {
		t.Skip("needs Apptainer")
	}
	path := filepath.Join(os.Getenv("TIGERFLOW_SLURM_IMAGES"), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no image: run hack/slurm/images.sh and set TIGERFLOW_SLURM_IMAGES to its folder: %v", err)
	}
	return path
}

// PowerOff cuts the power of node n, 1 to 4: all that runs on it ends without a word.
func PowerOff(t testing.TB, n int) {
	t.Helper()
	t.Cleanup(func() { PowerOn(t, n) })
	lab(t, "node-off", strconv.Itoa(n))
}

// PowerOn starts node n, unless it is on, and waits until it takes jobs.
func PowerOn(t testing.TB, n int) {
	t.Helper()
	lab(t, "node-on", strconv.Itoa(n))
}

// StopController kills slurmctld, once it has saved what it knows: the commands fail, jobs go on.
func StopController(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { StartController(t) })
	lab(t, "ctld-off")
}

// StartController starts slurmctld, unless it runs, and waits until it answers.
func StartController(t testing.TB) {
	t.Helper()
	lab(t, "ctld-on")
}

// StopDatabase kills slurmdbd: sacct fails, all else goes on.
func StopDatabase(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { StartDatabase(t) })
	lab(t, "dbd-off")
}

// StartDatabase starts slurmdbd, unless it runs, and waits until it answers.
func StartDatabase(t testing.TB) {
	t.Helper()
	lab(t, "dbd-on")
}

// Set changes a parameter of slurm.conf for the time of the test.
func Set(t testing.TB, key, value string) {
	t.Helper()
	before := strings.TrimSuffix(setting(t, key), " sec")
	t.Cleanup(func() { lab(t, "set", key+"="+before) })
	lab(t, "set", key+"="+value)
}

// Admin runs scontrol, scancel or sacctmgr as the cluster's administrator and returns what it prints.
func Admin(t testing.TB, command string, args ...string) string {
	t.Helper()
	return run(t, "sudo", append([]string{"--non-interactive", command}, args...)...)
}

func lab(t testing.TB, args ...string) {
	t.Helper()
	run(t, "sudo", append([]string{"--non-interactive", "lab"}, args...)...)
}

// setting is what `scontrol show config` says of a parameter.
func setting(t testing.TB, key string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + `\s*= (.*?)\s*$`).FindStringSubmatch(run(t, "scontrol", "show", "config"))
	if found == nil {
		t.Fatalf("scontrol show config knows no %s", key)
	}
	return found[1]
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // Cleanups run when t.Context has ended
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
