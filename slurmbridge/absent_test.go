package slurmbridge

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// TestAbsentIsNotDead: a worker that listings lack is Unknown, and lost only after three good ones. A listing that fails is
// none, whatever it printed.
func TestAbsentIsNotDead(t *testing.T) {
	c := newCluster(t, brisk)
	s := c.spec(0, 1)
	must(t, c.start(s))
	row := entry{"7", "0", "RUNNING", "demo.tf-k3f9.0.r1"}
	c.queue(row)
	c.awaitPhase(s.ID, executor.Running)

	c.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
	c.await("the failure", func() bool { _, err := c.e.List(t.Context()); return err != nil })
	failed := len(c.calls("squeue"))
	c.await("more failures than a worker may be missing", func() bool { return len(c.calls("squeue")) > failed+missesUntilLost })
	c.queue(row)
	c.awaitPhase(s.ID, executor.Running)

	c.queue()
	gone := len(c.calls("squeue"))
	c.awaitPhase(s.ID, executor.Unknown)
	w := c.awaitPhase(s.ID, executor.Lost)
	if n := len(c.calls("squeue")) - gone; n < missesUntilLost {
		t.Errorf("lost after %d listings", n)
	}
	if w.Witnessed || w.Phase.Blames() {
		t.Errorf("nobody saw its end: %+v", w)
	}
}

// TestCanceledBeforeItBegan: the last elements of an array that were canceled in the queue are one row, without a number.
func TestCanceledBeforeItBegan(t *testing.T) {
	c := newCluster(t, brisk)
	ours, theirs := c.spec(0, 1), c.spec(1, 1)
	must(t, c.start(ours, theirs))
	const name = "demo.tf-k3f9.0.r1"
	c.queue(entry{"7", "0", "PENDING", name}, entry{"7", "1", "PENDING", name})
	c.awaitPhase(theirs.ID, executor.Pending)
	must(t, c.e.Stop(t.Context(), []executor.WorkerID{ours.ID}, executor.Drain))
	c.queue(entry{"7", "N/A", "CANCELLED", name})
	c.awaitPhase(ours.ID, executor.Stopped)
	c.awaitPhase(theirs.ID, executor.Canceled)
}

// TestNotSqueue: what prints something else, or nothing, has not answered.
func TestNotSqueue(t *testing.T) {
	c := newCluster(t, brisk)
	s := c.spec(0, 1)
	must(t, c.start(s))
	for _, text := range []string{"", "squeue is down for maintenance\n"} {
		c.says("squeue", text)
		before := len(c.calls("squeue"))
		c.await("listings", func() bool { return len(c.calls("squeue")) > before+missesUntilLost })
		if list, err := c.e.List(t.Context()); err == nil {
			t.Errorf("after %q: %+v", text, list)
		}
	}
	c.queue(entry{"7", "0", "PENDING", "demo.tf-k3f9.0.r1"})
	c.awaitPhase(s.ID, executor.Pending)
}

// TestSecondJobOfAWorker: of two jobs that claim a worker, the one that lives counts.
func TestSecondJobOfAWorker(t *testing.T) {
	c := newCluster(t, brisk)
	const name = "demo.tf-k3f9.0.r1"
	for _, c2 := range []struct {
		states [2]string
		want   executor.Phase
	}{
		{[2]string{"COMPLETED", "RUNNING"}, executor.Running},
		{[2]string{"RUNNING", "COMPLETED"}, executor.Running},
		{[2]string{"PENDING", "RUNNING"}, executor.Running},
		{[2]string{"PENDING", "FAILED"}, executor.Pending},
	} {
		c.queue(entry{"7", "0", c2.states[0], name}, entry{"8", "0", c2.states[1], name})
		jobs, err := c.e.queue(t.Context())
		must(t, err)
		if phase, _ := phaseOf(jobs[c.spec(0, 1).ID]); phase != c2.want {
			t.Errorf("%v: %s, want %s", c2.states, phase, c2.want)
		}
	}
}

// TestQuiet: a cluster without workers is not asked.
func TestQuiet(t *testing.T) {
	c := newCluster(t, brisk)
	s := c.spec(0, 1)
	must(t, c.start(s))
	c.queue(entry{"7", "0", "COMPLETED", "demo.tf-k3f9.0.r1"})
	c.awaitPhase(s.ID, executor.Succeeded)
	must(t, c.e.Forget(t.Context(), []executor.WorkerID{s.ID}))
	c.e.mu.Lock()
	due := c.e.due
	c.e.mu.Unlock()
	if !due.IsZero() {
		t.Errorf("the next listing is due at %s", due)
	}
	c.e.Adopt(c.spec(3, 1).ID, "7_3")
	c.awaitPhase(c.spec(3, 1).ID, executor.Lost)
	if list, err := c.e.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("a worker that was forgotten is listed again: %+v, %v", list, err)
	}
}

// TestUnheardDrain: a worker that began while its cancellation was under way is signaled when a listing shows it.
func TestUnheardDrain(t *testing.T) {
	c := newCluster(t, brisk)
	s := c.spec(0, 1)
	must(t, c.start(s))
	c.queue(entry{"7", "0", "PENDING", "demo.tf-k3f9.0.r1"})
	must(t, c.e.Stop(t.Context(), []executor.WorkerID{s.ID}, executor.Drain))
	c.queue(entry{"7", "0", "RUNNING", "demo.tf-k3f9.0.r1"})
	c.await("the signal", func() bool {
		calls := c.calls("scancel")
		return len(calls) == 2 && calls[0] == "--state=PENDING 7_0" && calls[1] == "--batch --signal=TERM 7_0"
	})
	c.queue(entry{"7", "0", "COMPLETED", "demo.tf-k3f9.0.r1"})
	c.awaitPhase(s.ID, executor.Succeeded)
	if n := len(c.calls("scancel")); n != 2 {
		t.Errorf("%d calls of scancel", n)
	}
}

// TestSilentRefusal: scancel says nothing of jobs that have just ended, only in its status.
func TestSilentRefusal(t *testing.T) {
	c := newCluster(t, brisk)
	s := c.spec(0, 1)
	must(t, c.start(s))
	c.queue(entry{"7", "0", "RUNNING", "demo.tf-k3f9.0.r1"})
	c.awaitPhase(s.ID, executor.Running)
	c.fails("scancel", "")
	must(t, os.WriteFile(filepath.Join(c.dir, "scancel.code"), []byte("229"), 0o644))
	must(t, c.e.Stop(t.Context(), []executor.WorkerID{s.ID}, executor.Drain))
	must(t, os.WriteFile(filepath.Join(c.dir, "scancel.code"), []byte("1"), 0o644))
	if err := c.e.Stop(t.Context(), []executor.WorkerID{s.ID}, executor.Kill); err == nil {
		t.Error("a failure without a word is none")
	}
}

// TestAdoptedIsStopped: by its own word of what its job is.
func TestAdoptedIsStopped(t *testing.T) {
	patient := brisk
	patient.soon, patient.stopped = time.Hour, time.Hour
	c := newCluster(t, patient)
	named, nameless := c.spec(3, 1).ID, c.spec(4, 1).ID
	c.e.Adopt(named, "7_3")
	c.e.Adopt(nameless, "")
	must(t, c.e.Stop(t.Context(), []executor.WorkerID{named, nameless}, executor.Drain))
	if calls := c.calls("scancel"); len(calls) != 1 || calls[0] != "--batch --signal=TERM 7_3" {
		t.Errorf("scancel was called with %q", calls)
	}
}

// TestStartedAgain: a job that ends badly at its second start says nothing of the worker that its first one was. So real clusters
// say it where slurmctld was killed right after the start.
func TestStartedAgain(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1e9+s), 0) }
	row := func(state string, start time.Time) job {
		return job{array: "7", state: state, priority: 1, start: start}
	}
	for name, c := range map[string]struct {
		rows []job
		want executor.Phase
	}{
		"once":          {[]job{row("RUNNING", at(5)), row("FAILED", at(5))}, executor.Failed},
		"never seen":    {[]job{row("PENDING", time.Time{}), row("FAILED", at(5))}, executor.Failed},
		"no start":      {[]job{row("RUNNING", at(5)), row("FAILED", time.Time{})}, executor.Failed},
		"switched on":   {[]job{row("CONFIGURING", at(5)), row("RUNNING", at(9)), row("FAILED", at(9))}, executor.Failed},
		"waiting again": {[]job{row("RUNNING", at(5)), row("PENDING", time.Time{}), row("FAILED", at(9))}, executor.Lost},
		"between two":   {[]job{row("RUNNING", at(5)), row("FAILED", at(9))}, executor.Lost},
		"elsewhere":     {[]job{row("RUNNING", at(5)), row("RUNNING", at(9)), row("COMPLETED", at(9))}, executor.Succeeded},
	} {
		w := worker{}
		for _, j := range c.rows {
			w.take(j)
		}
		if w.Phase != c.want {
			t.Errorf("%s: %s, want %s", name, w.Phase, c.want)
		}
	}
}
