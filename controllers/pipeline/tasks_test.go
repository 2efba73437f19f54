package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

func anything(*v1alpha1.Task) bool { return true }

// A Pipeline has the Tasks that it asks for, whatever people do to them, and writes nothing that is there.
func TestTasksAreWhatThePipelineSays(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain)
	for _, name := range []string{"p-a", "p-b", "p-c"} {
		task := h.there(name, anything)
		p := h.pipeline("p")
		if owner := metav1.GetControllerOf(task); owner == nil || owner.UID != p.UID || owner.Name != "p" || owner.BlockOwnerDeletion == nil || !*owner.BlockOwnerDeletion {
			t.Errorf("%s belongs to %+v", name, owner)
		}
	}
	p := h.state("p", good(starting))
	if got := messageOf(p, v1alpha1.ConditionReady); got != `task "a" starts` {
		t.Errorf("it says %q", got)
	}
	if len(p.Finalizers) > 0 {
		t.Errorf("finalizers %v where there is a garbage collector", p.Finalizers)
	}

	h.patch(p, `{tasks: [{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}},
		{name: b, dependsOn: a, type: Local, output: {extension: .b}, handler: {builtin: echo}, params: {prefix: x}},
		{name: c, dependsOn: b, type: Local, output: {extension: .c}, handler: {builtin: echo}}]}`)
	h.there("p-b", func(t *v1alpha1.Task) bool { return string(t.Spec.Params["prefix"].Raw) == `"x"` })
	if a := h.task("p-a"); a.Generation != 1 {
		t.Errorf("Task p-a was changed, too: generation %d", a.Generation)
	}

	h.patch(h.task("p-b"), "{params: {suffix: y}, timeout: 5s, handler: {builtin: nope}, completeAfterIdle: 0s}")
	h.there("p-b", func(t *v1alpha1.Task) bool {
		return len(t.Spec.Params) == 1 && t.Spec.Timeout == nil && t.Spec.CompleteAfterIdle == nil && t.Spec.Handler.Builtin == "echo"
	})

	old := h.task("p-c").UID
	h.must(h.client.Delete(h.Context(), h.task("p-c")))
	h.there("p-c", func(t *v1alpha1.Task) bool { return t.UID != old })
	if got, want := strings.Join(h.applies(), ", "), "apply p-a, apply p-b, apply p-c, apply p-b, apply p-b, update p-b, apply p-c"; got != want {
		t.Errorf("the controller wrote\n%s, want\n%s", got, want)
	}
}

// applies are the controller's writes of Tasks.
func (h *harness) applies() []string {
	var list []string
	for _, write := range h.written() {
		if strings.HasPrefix(write, "apply ") || strings.HasPrefix(write, "update ") {
			list = append(list, write)
		}
	}
	return list
}

// A cache that is slow to show the Tasks that were made has none of them applied again.
func TestSlowCache(t *testing.T) {
	h := start(t, &Reconciler{})
	h.blind.Store(true)
	h.create("p", chain)
	h.there("p-c", anything)
	for round := range 3 {
		before := h.looks.Load()
		h.patch(h.pipeline("p"), fmt.Sprintf("{maxIntermediates: %d}", round+1))
		h.wait("another look", func() bool { return h.looks.Load() >= before+3 })
	}
	if got := h.applies(); len(got) != 3 {
		t.Errorf("the controller wrote %q", got)
	}
	h.blind.Store(false)
	h.there("p-a", func(t *v1alpha1.Task) bool { return t.Spec.Pipeline.MaxIntermediates == 3 })
}

// All that a task of a Pipeline can say comes to its Task as it is, so that nothing is written again.
func TestTasksWithAllFields(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", `{completeAfterIdle: 1h30m, suspend: true, inputPolicy: Delete, maxIntermediates: 5,
		staging: [{minSize: 1Ki}, {minAge: 1.5s}, {sortBy: {key: MTime}}],
		tasks: [{name: Load_All, type: LocalAsync, localAsync: {concurrency: 3}, outputPolicy: Delete, output: {extension: .a},
			handler: {python: {module: m.py}}, params: {s: x, n: 1.50, i: 12345678901, b: true, l: [a, 1, false]},
			container: {env: [{name: X, value: z}], envFile: e.env}, resources: {cpus: 2, memory: 12288Mi, gpus: 1},
			processes: 2, rateLimit: {requests: 10, per: 60s}, setupCommands: ["a b"], scaling: {maxWorkers: 4, minWorkers: 1, workerIdleTimeout: 90s},
			retry: {attempts: 3, backoff: 100ms}, failureBreaker: {first: 0}, timeout: 3600s, drainTimeout: 1h, durability: None},
		{name: b, dependsOn: Load_All, type: Slurm, slurm: {time: 120m, sbatchOptions: [--x=y]}, output: {extension: .b}, handler: {command: [cp, "{input}", "{output}"]}},
		{name: d, type: Local, output: {extension: .d}, handler: {program: {path: ./x}}}]}`)
	h.there("p-d", anything)
	h.report("p-d", idle) // has it looked at again
	h.wait("the status", func() bool {
		p := h.pipeline("p")
		return len(p.Status.Tasks) == 3 && p.Status.Tasks[2].State == "Idle"
	})
	if got := h.applies(); len(got) != 3 {
		t.Errorf("the controller wrote %q", got)
	}
}

// The order in which tasks are listed is that of the status; nothing else follows from it.
func TestOrderOfTasks(t *testing.T) {
	h := start(t, &Reconciler{})
	const b = "{name: b, type: Local, output: {extension: .b}, handler: {builtin: echo}}"
	h.create("p", "{completeAfterIdle: 1h, tasks: [{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}}, "+b+"]}")
	h.there("p-b", anything)
	h.patch(h.pipeline("p"), "{tasks: ["+b+", {name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}}]}")
	h.wait("the order", func() bool { p := h.pipeline("p"); return len(p.Status.Tasks) == 2 && p.Status.Tasks[0].Name == "b" })
	a := h.there("p-a", func(t *v1alpha1.Task) bool { return t.Spec.Pipeline.Lead.Tasks[0].Name == "b" })
	if a.Spec.CompleteAfterIdle == nil || h.task("p-b").Spec.Pipeline.Lead != nil {
		t.Error("another task leads now")
	}
}

// A name that another Pipeline or a person has taken is told, and free again when that has gone.
func TestNameInUse(t *testing.T) {
	h := start(t, &Reconciler{Finalize: true})
	h.create("a", "{tasks: [{name: b-c, type: Local, output: {extension: .x}, handler: {builtin: echo}}]}")
	h.there("a-b-c", anything)
	h.create("a-b", "{tasks: [{name: c, type: Local, output: {extension: .x}, handler: {builtin: echo}}]}")
	p := h.state("a-b", stalled(v1alpha1.ReasonTaskNameInUse))
	if got, want := messageOf(p, v1alpha1.ConditionStalled), `task "c": its Task would be a-b-c, and there is one that belongs to Pipeline a: delete that, or apply this Pipeline by another name`; got != want {
		t.Errorf("it says\n%s, want\n%s", got, want)
	}
	h.must(h.client.Delete(h.Context(), h.pipeline("a")))
	h.there("a-b-c", func(t *v1alpha1.Task) bool { return metav1.IsControlledBy(t, p) })
	h.state("a-b", good(starting))

	h.must(h.client.Create(h.Context(), &v1alpha1.Task{ObjectMeta: h.meta("q-x"), Spec: *h.task("a-b-c").Spec.DeepCopy()}))
	h.create("q", "{tasks: [{name: x, type: Local, output: {extension: .x}, handler: {builtin: echo}}]}")
	p = h.state("q", stalled(v1alpha1.ReasonTaskNameInUse))
	if got := messageOf(p, v1alpha1.ConditionStalled); !strings.Contains(got, "there is one that no Pipeline made") {
		t.Errorf("it says %s", got)
	}
	if task := h.task("q-x"); metav1.GetControllerOf(task) != nil {
		t.Error("the Task has been taken over")
	}
}

// A Pipeline that is applied anew waits for what is left of the one before.
func TestTaskOfAnEarlierPipeline(t *testing.T) {
	h := start(t, &Reconciler{})
	earlier := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: types.UID("1-2-3")}}
	spec := v1alpha1.TaskSpec{
		TaskTemplate: v1alpha1.TaskTemplate{Type: v1alpha1.TaskLocal, Handler: v1alpha1.Handler{Builtin: "echo"}},
		Workspace:    v1alpha1.Workspace{Path: "/w"}, Input: v1alpha1.FileSet{Directory: "in", Extension: ".txt"}, Output: v1alpha1.FileSet{Directory: "x", Extension: ".x"},
	}
	old := &v1alpha1.Task{ObjectMeta: h.meta("p-a"), Spec: spec}
	old.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(earlier, v1alpha1.GroupVersion.WithKind("Pipeline"))}
	old.Finalizers = []string{v1alpha1.FinalizerWorkers}
	h.must(h.client.Create(h.Context(), old))
	h.create("p", chain)
	h.state("p", good(starting)) // the garbage collector has not come so far
	h.must(h.client.Delete(h.Context(), old))
	p := h.state("p", good(starting))
	if got := messageOf(p, v1alpha1.ConditionReady); got != "Task p-a of the Pipeline of this name that was before is ending" {
		t.Errorf("it says %q", got)
	}
	h.must(h.client.Patch(h.Context(), old, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	h.there("p-a", func(t *v1alpha1.Task) bool { return metav1.IsControlledBy(t, p) })
}

// What the API server does not take is told in its words, and tried again.
func TestRefusedTask(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain)
	h.there("p-c", anything)
	h.must(h.client.Delete(h.Context(), h.pipeline("p")))
	for _, name := range []string{"p-a", "p-b", "p-c"} { // as kubectl delete --cascade=orphan leaves them
		task := h.task(name)
		task.OwnerReferences = nil
		h.must(h.client.Update(h.Context(), task))
	}
	h.create("p", strings.Replace(chain, "extension: .c", "extension: .z", 1))
	h.state("p", stalled(v1alpha1.ReasonTaskNameInUse))
	c := h.task("p-c")
	c.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(h.pipeline("p"), v1alpha1.GroupVersion.WithKind("Pipeline"))}
	h.must(h.client.Update(h.Context(), c))
	h.must(h.client.Delete(h.Context(), h.task("p-a")))
	h.must(h.client.Delete(h.Context(), h.task("p-b")))
	p := h.state("p", stalled(v1alpha1.ReasonTaskRefused))
	if got := messageOf(p, v1alpha1.ConditionStalled); !strings.HasPrefix(got, `task "c": `) || !strings.Contains(got, "output is immutable") {
		t.Errorf("it says %s", got)
	}
	h.there("p-b", func(t *v1alpha1.Task) bool { return metav1.IsControlledBy(t, p) })
	h.must(h.client.Delete(h.Context(), h.task("p-c")))
	h.state("p", good(starting))
}

func TestInvalidSpecs(t *testing.T) {
	h := start(t, &Reconciler{Period: time.Hour})
	h.create("graph", `{tasks: [{name: a, dependsOn: z, type: Local, output: {extension: .a}, handler: {builtin: echo}},
		{name: b, input: {extension: .q}, type: Local, output: {extension: .b}, handler: {builtin: echo}}]}`)
	p := h.state("graph", stalled(v1alpha1.ReasonInvalidGraph))
	if got := messageOf(p, v1alpha1.ConditionReady); !strings.Contains(got, `task "a": dependsOn "z": there is no such task`) || !strings.Contains(got, `task "b": it expects .q`) {
		t.Errorf("it says %s", got)
	}

	h.create("staging", chain, `{staging: [{filenameMatch: '(?=x)'}]}`)
	p = h.state("staging", stalled(v1alpha1.ReasonInvalidStaging))
	if got := messageOf(p, v1alpha1.ConditionReady); !strings.Contains(got, "lookahead") {
		t.Errorf("it says %s", got)
	}
	if got := h.written(); len(got) != 2 {
		t.Errorf("the controller wrote %q", got)
	}
	h.patch(p, "{staging: [{filenameMatch: x}]}")
	h.state("staging", good(starting))
	h.there("staging-c", anything)
}
