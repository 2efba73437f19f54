package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// The status of a Pipeline is what its Tasks say.
func TestStatus(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain)
	h.there("p-c", anything)
	count := func(s *v1alpha1.TaskStatus) {
		s.Files, s.Workers = &v1alpha1.FileCounts{Done: 3, Failed: 1}, &v1alpha1.WorkerCounts{Running: 1, Desired: 1}
	}
	h.report("p-a", running, counted(1, 2, 3, 0), count)
	h.report("p-b", idle)
	h.report("p-c", asked)
	h.wait("the status", func() bool {
		p := h.pipeline("p")
		return len(p.Status.Tasks) == 3 && p.Status.Tasks[2].State == "Waiting"
	})
	p := h.state("p", good(running))
	if a := p.Status.Tasks[0]; a.Name != "a" || a.Object != "p-a" || a.State != "Running" || *a.Files != (v1alpha1.FileCounts{Done: 3, Failed: 1}) || a.Workers.Running != 1 {
		t.Errorf("task a is %+v", a)
	}
	h.report("p-a", idle)
	p = h.state("p", good("False/Waiting"))
	if got := messageOf(p, v1alpha1.ConditionReady); got != `task "c": so it is` {
		t.Errorf("it says %q", got)
	}
	if f := p.Status.Files; f == nil || *f != (v1alpha1.PipelineFileCounts{Staged: 1, InProgress: 2, Finished: 3}) {
		t.Errorf("files %+v, and the lead has counted nothing since", f)
	}
}

// What is wrong with tasks is told of the first, and of how many.
func TestTroubleOfTasks(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain)
	h.there("p-c", anything)
	degraded := func(reason v1alpha1.Reason) string {
		return strings.Replace(good(running), "Degraded=False/AsExpected", "Degraded=True/"+string(reason), 1)
	}
	says := func(kind, want string) {
		t.Helper()
		if got := messageOf(h.pipeline("p"), kind); got != want {
			t.Errorf("%s says\n%q, want\n%q", kind, got, want)
		}
	}
	filesFailed := bad(v1alpha1.ConditionDegraded, v1alpha1.ReasonFilesFailed, "2 files failed")
	h.reports(running, filesFailed)
	h.state("p", good(running))
	h.report("p-a", running, filesFailed, counted(0, 0, 1, 2))
	h.state("p", degraded(v1alpha1.ReasonFilesFailed))
	says(v1alpha1.ConditionDegraded, "2 files failed: the .err files in the folders of the tasks say why")

	crash := bad(v1alpha1.ConditionDegraded, v1alpha1.ReasonWorkersCrashing, "exit code 1")
	h.report("p-b", running, crash)
	h.report("p-c", running, crash)
	h.state("p", degraded(v1alpha1.ReasonTaskDegraded))
	h.wait("both", func() bool {
		return messageOf(h.pipeline("p"), v1alpha1.ConditionDegraded) == `task "b": exit code 1 (and 1 task more)`
	})

	h.report("p-a", running, bad(v1alpha1.ConditionDegraded, v1alpha1.ReasonStagingFailed, "ValueError"))
	h.state("p", degraded(v1alpha1.ReasonStagingFailed))
	says(v1alpha1.ConditionDegraded, `task "a": ValueError`)

	h.reports(running)
	h.report("p-c", "False/StorageFull", bad(v1alpha1.ConditionStalled, v1alpha1.ReasonStorageFull, "quota"))
	h.state("p", strings.Replace(stalled(v1alpha1.ReasonTaskStalled), "Degraded=False/AsExpected", "Degraded=True/FilesFailed", 1))
	says(v1alpha1.ConditionStalled, `task "c": quota`)
	says(v1alpha1.ConditionReady, `task "c": quota`)
}

// Counters that only move on are written once in each period; what matters is written at once.
func TestWritesKeepTheirPace(t *testing.T) {
	h := start(t, &Reconciler{Period: time.Hour})
	h.create("p", chain)
	h.there("p-c", anything)
	h.reports(running)
	h.state("p", good(running))
	h.wait("all to run", func() bool {
		return messageOf(h.pipeline("p"), v1alpha1.ConditionReady) == "3 of 3 tasks at work"
	})
	before := len(h.written())
	for n := range int64(20) {
		h.report("p-a", running, counted(20-n, 0, n, 0))
	}
	h.report("p-b", idle)
	h.wait("task b to be idle", func() bool { return h.pipeline("p").Status.Tasks[1].State == "Idle" })
	if got := h.written()[before:]; len(got) != 1 {
		t.Errorf("the controller wrote %q", got)
	}
}

// Many Pipelines settle with a few writes each, and then none.
func TestManyPipelines(t *testing.T) {
	const many = 80
	h := start(t, &Reconciler{Finalize: true, Period: time.Second})
	began := time.Now()
	for i := range many {
		h.create(fmt.Sprintf("p%d", i), chain)
	}
	for i := range many {
		h.state(fmt.Sprintf("p%d", i), good(starting))
	}
	t.Logf("%d Pipelines had their Tasks after %s", many, time.Since(began))
	for i := range many {
		for _, task := range []string{"a", "b", "c"} {
			h.report(fmt.Sprintf("p%d-%s", i, task), idle)
		}
	}
	for i := range many {
		p := h.state(fmt.Sprintf("p%d", i), good(idle))
		h.wait("all states", func() bool { p = h.pipeline(p.Name); return p.Status.Tasks[2].State == "Idle" })
	}
	// A Pipeline has a finalizer, three Tasks, a status when it has them, and one for each Task that comes to be idle.
	writes := len(h.written())
	t.Logf("%d writes in %s", writes, time.Since(began))
	if most := many * (1 + 3 + 1 + 3 + 1); writes > most {
		t.Errorf("%d writes, want %d at most", writes, most)
	}
}
