package pipeline

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// gone reports whether there is no such object any more.
func (h *harness) gone(obj client.Object) bool {
	h.Helper()
	err := h.client.Get(h.Context(), client.ObjectKeyFromObject(obj), obj)
	h.must(client.IgnoreNotFound(err))
	return apierrors.IsNotFound(err)
}

// A deleted Pipeline is there until the workers of its Tasks have ended.
func TestDelete(t *testing.T) {
	h := start(t, &Reconciler{Finalize: true})
	h.create("p", chain)
	h.there("p-c", anything)
	b := h.task("p-b")
	h.must(h.client.Patch(h.Context(), b, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["`+v1alpha1.FinalizerWorkers+`"]}}`))))
	other := &v1alpha1.Task{ObjectMeta: h.meta("other"), Spec: *b.Spec.DeepCopy()}
	other.Labels = map[string]string{v1alpha1.LabelPipeline: "p"}
	h.must(h.client.Create(h.Context(), other))

	p := h.pipeline("p")
	h.must(h.client.Delete(h.Context(), p))
	h.wait("the others to go", func() bool { return h.task("p-a") == nil && h.task("p-c") == nil })
	p = h.state("p", good("False/Draining"))
	if got := messageOf(p, v1alpha1.ConditionReady); got != "deleted: workers finish what they have in hand" {
		t.Errorf("it says %q", got)
	}
	if b = h.task("p-b"); b == nil || b.DeletionTimestamp.IsZero() {
		t.Fatalf("Task p-b is %v", b)
	}
	h.must(h.client.Patch(h.Context(), b, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	h.wait("the end", func() bool { return h.gone(p) })
	if h.task("p-b") != nil || h.task("other") == nil {
		t.Error("Task p-b is there, or the one that is not the Pipeline's is not")
	}
}

// Where there is a garbage collector it deletes the Tasks: none is made anew meanwhile.
func TestDeleteWithGarbageCollector(t *testing.T) {
	h := start(t, &Reconciler{})
	h.create("p", chain)
	h.there("p-c", anything)
	p := h.pipeline("p")
	h.must(h.client.Patch(h.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["foregroundDeletion"]}}`))))
	h.must(h.client.Delete(h.Context(), p))
	h.must(h.client.Delete(h.Context(), h.task("p-b")))
	h.create("q", chain) // looked at after what came before
	h.there("q-c", anything)
	if h.task("p-b") != nil {
		t.Error("Task p-b was made anew")
	}
	h.must(h.client.Patch(h.Context(), p, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
}
