package slurmbridge

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// brisk is quicker than a cluster would be, but leaves a test time to look.
var brisk = timing{
	list: 20 * time.Millisecond, soon: 5 * time.Millisecond, stopped: 5 * time.Millisecond, retry: 5 * time.Millisecond, absent: 10 * time.Millisecond,
	messages: 50 * time.Millisecond,
}

const timedOut = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"

func (c *cluster) start(specs ...executor.Spec) error { return c.e.Start(c.t.Context(), specs) }

// wantDoubt checks that nothing is submitted while it is not known what became of the last submission.
func (c *cluster) wantDoubt(specs ...executor.Spec) {
	c.t.Helper()
	before := len(c.calls("sbatch"))
	err := c.start(specs...)
	if w, ok := executor.Waiting(err); !ok || w.Reason != ReasonInDoubt {
		c.t.Fatalf("after a lost answer: %v", err)
	}
	if now := len(c.calls("sbatch")); now != before {
		c.t.Fatalf("%d submissions, want %d", now, before)
	}
}

// TestLostAnswerJobRan: sbatch times out, and the job shows up later.
func TestLostAnswerJobRan(t *testing.T) {
	patient := brisk
	patient.messages = time.Hour
	c := newCluster(t, patient)
	c.fails("sbatch", timedOut)
	if err := c.start(c.spec(0, 1), c.spec(1, 1)); err == nil {
		t.Fatal("a lost answer is no success")
	}
	c.says("sbatch", "8\n")
	c.wantDoubt(c.spec(0, 2))
	if got, of := c.e.Doubts(c.spool), c.e.Doubts(c.spool+"2"); !slices.Equal(got, []string{"demo.tf-k3f9.0.r1"}) || len(of) > 0 {
		t.Errorf("in doubt are %q, and of another spool %q", got, of)
	}
	c.queue(entry{"7", "0", "PENDING", "demo.tf-k3f9.0.r1"}, entry{"7", "1", "RUNNING", "demo.tf-k3f9.0.r1"})
	c.awaitPhase(c.spec(0, 1).ID, executor.Pending)
	c.awaitPhase(c.spec(1, 1).ID, executor.Running)
	must(t, c.start(c.spec(2, 2)))
	if got := c.e.Doubts(c.spool); len(got) > 0 {
		t.Errorf("still in doubt are %q", got)
	}
	if left, err := readRecords(c.spool); err != nil || len(left) != 0 {
		t.Errorf("notes stay behind: %v, %v", left, err)
	}
}

// TestLostAnswerNothingRan: sbatch times out, and no job ever comes of it.
func TestLostAnswerNothingRan(t *testing.T) {
	c := newCluster(t, brisk)
	c.fails("sbatch", timedOut)
	if err := c.start(c.spec(0, 1)); err == nil {
		t.Fatal("a lost answer is no success")
	}
	lost := time.Now()
	c.says("sbatch", "8\n")
	c.await("a second submission", func() bool { return c.start(c.spec(0, 2)) == nil })
	if waited := time.Since(lost); waited < brisk.messages {
		t.Errorf("submitted again after %s: the first may still come", waited)
	}
	if n := len(c.calls("sbatch")); n != 2 {
		t.Errorf("%d submissions, want 2", n)
	}
}

// TestKilledWhileSubmitting: another process finds the note of one that ended before it had an answer.
func TestKilledWhileSubmitting(t *testing.T) {
	patient := brisk
	patient.messages = time.Hour
	c := newCluster(t, patient)
	_, err := writeRecord(c.spool, "demo.tf-k3f9.0.r1")
	must(t, err)
	c.wantDoubt(c.spec(0, 2))
	c.queue(entry{"7", "0", "RUNNING", "demo.tf-k3f9.0.r1"})
	c.awaitPhase(c.spec(0, 1).ID, executor.Running)
	c.await("the end of doubt", func() bool { return c.start(c.spec(1, 2)) == nil })
}

// TestLimitsAfterSilence: how long a request may take effect is what the cluster says, once it has said so.
func TestLimitsAfterSilence(t *testing.T) {
	unset := brisk
	unset.messages = 0
	c := newCluster(t, unset)
	c.fails("scontrol", "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)")
	if err := c.start(c.spec(0, 1)); err == nil {
		t.Fatal("submitted to nobody")
	}
	c.says("scontrol", "MessageTimeout          = 100 sec\n")
	must(t, c.start(c.spec(0, 1)))
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if got := c.e.cfg.timing.messages; got != 100*time.Second {
		t.Errorf("requests are waited for %s", got)
	}
}

// TestClearRefusal: a refusal leaves no doubt and no note.
func TestClearRefusal(t *testing.T) {
	c := newCluster(t, brisk)
	c.fails("sbatch", "sbatch: error: Batch job submission failed: Invalid qos specification")
	for range 2 {
		if s, ok := executor.Stalled(c.start(c.spec(0, 1))); !ok || s.Reason != ReasonRefused || !strings.Contains(s.Message, "Invalid qos") {
			t.Fatalf("got %v", s)
		}
	}
	if left, err := readRecords(c.spool); err != nil || len(left) != 0 {
		t.Errorf("notes stay behind: %v, %v", left, err)
	}
	list, err := c.e.List(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v", list, err)
	}
}

// TestNoNoteNoJob: what cannot be noted is not submitted.
func TestNoNoteNoJob(t *testing.T) {
	c := newCluster(t, brisk)
	must(t, os.WriteFile(recordsDir(c.spool), nil, 0o644)) // where the folder should be
	if err := c.start(c.spec(0, 1)); err == nil {
		t.Error("submitted without a note")
	}
	if n := len(c.calls("sbatch")); n != 0 {
		t.Errorf("%d submissions", n)
	}
}

func TestArrays(t *testing.T) {
	c := newCluster(t, brisk)
	other := c.spec(2, 1)
	other.Resources.CPUs = 2
	must(t, c.start(c.spec(0, 1), c.spec(130, 1), c.spec(1, 1), other, c.spec(1, 1)))
	var names []string
	for _, call := range c.calls("sbatch") {
		for arg := range strings.FieldsSeq(call) {
			if strings.HasPrefix(arg, "--array=") || strings.HasPrefix(arg, "--job-name=") {
				names = append(names, arg)
			}
		}
	}
	want := "--job-name=demo.tf-k3f9.0.r1 --array=0-1 --job-name=demo.tf-k3f9.0.r1 --array=2 --job-name=demo.tf-k3f9.128.r1 --array=2"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("submitted %s\nwant %s", got, want)
	}
}

func TestStartAfterClose(t *testing.T) {
	c := newCluster(t, brisk)
	c.e.Close()
	if err := c.start(c.spec(0, 1)); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

// TestCtrlC: what the terminal sends to all of its group ends no sbatch in the middle.
func TestCtrlC(t *testing.T) {
	c := newCluster(t, brisk)
	out, err := c.e.tools.run(t.Context(), "", "sh", "-c", "cut -d' ' -f5 /proc/$$/stat")
	must(t, err)
	if group := strings.TrimSpace(string(out)); group == strconv.Itoa(syscall.Getpgrp()) {
		t.Errorf("it is in the process group %s of the bridge", group)
	}
}
