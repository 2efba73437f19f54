package pipeline

import (
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// limits waits until the Tasks have these limits, "" for none, and none of them has another one.
func (h *harness) limits(lead string, others ...string) {
	h.Helper()
	h.wait("limits", func() bool {
		for i, want := range append([]string{lead}, others...) {
			got := ""
			if limit := h.task("p-" + string(rune('a'+i))).Spec.CompleteAfterIdle; limit != nil {
				got = limit.Duration.String()
			}
			if got != want {
				return false
			}
		}
		return true
	})
}

// reports writes the same status of all Tasks.
func (h *harness) reports(ready string, more ...func(*v1alpha1.TaskStatus)) {
	h.Helper()
	for _, name := range []string{"p-a", "p-b", "p-c"} {
		h.report(name, ready, more...)
	}
}

// complete has a Pipeline go all the way to its end.
func completed(t *testing.T, limit string) *harness {
	t.Helper()
	h := start(t, &Reconciler{})
	h.create("p", chain, "{completeAfterIdle: "+limit+"}")
	h.there("p-c", anything)
	h.end()
	return h
}

// end has all Tasks come to their end.
func (h *harness) end() {
	h.Helper()
	h.reports(running)
	h.state("p", good(running))
	h.limits("1m0s", "", "")
	h.reports(idle)
	h.state("p", good(idle))
	h.report("p-a", ended, counted(0, 0, 4, 0))
	h.limits("1m0s", "0s", "0s")
	h.state("p", good("True/Draining"))
	h.report("p-b", ended)
	h.report("p-c", ended)
	h.there("p-a", func(t *v1alpha1.Task) bool { return t.Spec.Pipeline.Lead.OthersEnded != nil })
	h.limits("0s", "0s", "0s")
	h.report("p-a", "False/Starting", counted(0, 0, 4, 0))
	if p := h.pipeline("p"); !strings.Contains(conditionsOf(p.Generation, p.Status.ObservedGeneration, p.Status.Conditions), "True/Draining Complete=False") {
		h.Error("complete before the last count: " + h.describe())
	}
	h.report("p-a", ended, counted(0, 0, 4, 0))
	h.state("p", good(ended))
}

// The lead says when there is nothing left to do; then the others end, and so does the Pipeline.
func TestComplete(t *testing.T) {
	h := completed(t, "1m")
	p := h.pipeline("p")
	if got := messageOf(p, v1alpha1.ConditionComplete); got != "4 files finished, 0 failed" {
		t.Errorf("it says %q", got)
	}
	if f := p.Status.Files; f == nil || *f != (v1alpha1.PipelineFileCounts{Finished: 4}) {
		t.Errorf("files %+v", f)
	}
	generation := h.task("p-b").Generation
	h.report("p-a", ended, counted(0, 0, 5, 0)) // any event
	h.wait("the count", func() bool { return h.pipeline("p").Status.Files.Finished == 5 })
	if h.task("p-b").Generation != generation {
		t.Error("a Task that is complete was changed")
	}
}

// One who asks for a retry just before the end is heard: the last count shows what the others have made of it.
func TestLastCount(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain, "{completeAfterIdle: 0s}")
	h.there("p-c", anything)
	h.reports(idle)
	h.report("p-a", ended, counted(0, 0, 0, 1))
	h.limits("0s", "0s", "0s")
	h.report("p-b", ended)
	h.report("p-c", ended)
	h.there("p-a", func(t *v1alpha1.Task) bool { return t.Spec.Pipeline.Lead.OthersEnded != nil })
	h.report("p-a", idle, counted(0, 1, 0, 0))
	h.limits("", "", "")
	h.reports(idle)
	h.limits("0s", "", "")
	h.report("p-a", ended, counted(0, 0, 1, 0))
	h.limits("0s", "0s", "0s")
}

// What the lead says counts only if the others do not say that they have work.
func TestCompleteWaitsForWork(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain, "{completeAfterIdle: 0s}")
	h.there("p-c", anything)
	h.report("p-a", idle)
	h.report("p-b", idle)
	h.report("p-c", running)
	h.report("p-a", ended)
	h.limits("", "", "") // the lead has to count again
	h.report("p-a", idle)
	h.report("p-c", idle)
	h.limits("0s", "", "")
	h.report("p-a", ended)
	h.limits("0s", "0s", "0s")
}

// A Pipeline that is complete goes on when one of its tasks has work again, and ends again after it.
func TestReopen(t *testing.T) {
	for name, reopen := range map[string]func(h *harness){
		"a child is asked":             func(h *harness) { h.report("p-b", asked) },
		"a child has work":             func(h *harness) { h.report("p-c", running) },
		"the lead has files of others": func(h *harness) { h.report("p-a", idle, counted(0, 1, 3, 0)) },
		"the lead is asked":            func(h *harness) { h.report("p-a", running) },
		"another spec":                 func(h *harness) { h.patch(h.pipeline("p"), "{maxIntermediates: 7}") },
		"another staging":              func(h *harness) { h.patch(h.pipeline("p"), `{staging: [{maxBatch: 1}]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := completed(t, "1m")
			lead := h.task("p-a").Generation
			reopen(h)
			h.limits("", "", "")
			if h.task("p-a").Generation == lead {
				t.Error("the lead is still complete")
			}
			h.report("p-a", idle)
			h.report("p-b", running)
			h.report("p-c", idle)
			h.state("p", good(running))
			h.wait("one at work", func() bool { return messageOf(h.pipeline("p"), v1alpha1.ConditionReady) == "1 of 3 tasks at work" })
			h.report("p-b", idle)
			h.limits("1m0s", "", "")
			h.end()
		})
	}
}

// A Pipeline that is suspended and goes on is not complete until it has looked.
func TestSuspend(t *testing.T) {
	h := completed(t, "1m")
	h.patch(h.pipeline("p"), "{suspend: true}")
	for _, name := range []string{"p-a", "p-b", "p-c"} {
		h.there(name, func(t *v1alpha1.Task) bool { return t.Spec.IsSuspended() })
	}
	h.limits("", "", "")
	h.report("p-a", "False/Draining")
	h.report("p-b", "False/Suspended")
	h.report("p-c", "False/Suspended")
	h.state("p", good("False/Draining"))
	h.report("p-a", "False/Suspended")
	h.state("p", good("False/Suspended"))
	h.patch(h.pipeline("p"), "{suspend: false}")
	h.there("p-c", func(t *v1alpha1.Task) bool { return !t.Spec.IsSuspended() })
	h.reports(idle)
	h.limits("1m0s", "", "")
	h.end()
}

// Without completeAfterIdle nothing ends.
func TestWithoutLimit(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain)
	h.there("p-c", anything)
	h.reports(idle)
	h.state("p", good(idle))
	h.limits("", "", "")
	h.patch(h.pipeline("p"), "{completeAfterIdle: 1m}")
	h.there("p-a", func(t *v1alpha1.Task) bool { return t.Spec.CompleteAfterIdle != nil })
	h.wait("the change to be seen", func() bool { p := h.pipeline("p"); return p.Status.ObservedGeneration == p.Generation })
	h.report("p-a", ended)
	h.limits("1m0s", "0s", "0s")
	h.patch(h.pipeline("p"), "{completeAfterIdle: null}")
	h.limits("", "", "")
}

// A decision on a Task that the cache does not show yet as it is would undo the one before.
func TestBehind(t *testing.T) {
	have := &v1alpha1.Task{}
	have.Name, have.UID, have.Generation = "p-a", "u", 3
	m := &memory{applied: map[string]written{"p-a": {"u", 4}}}
	members := []member{{}, {have: have}}
	if !m.behind(members) {
		t.Error("generation 3 counts though 4 was written")
	}
	have.Generation = 4
	if m.behind(members) {
		t.Error("generation 4 does not count")
	}
}
