package task

import (
	"context"
	"slices"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

// Where a garbage collector ends the workers nothing holds a deleted Task back. What runs for it here drains all the same.
func TestDeleteWithoutFinalizer(t *testing.T) {
	h := start(t, options{collected: true})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}, scaling: {minWorkers: 1}}`)
	if task := h.state(idle); len(task.Finalizers) > 0 {
		t.Errorf("finalizers %q", task.Finalizers)
	}
	h.must(h.client.Delete(t.Context(), h.named()))
	if err := h.client.Get(t.Context(), h.key, h.named()); !apierrors.IsNotFound(err) {
		t.Errorf("the Task is still there: %v", err)
	}
	h.wait("the worker to end", func() bool {
		all, err := h.rec.Backends[v1alpha1.TaskLocal].Executor.List(t.Context())
		h.must(err)
		return !slices.ContainsFunc(all, func(w executor.Worker) bool { return !w.Phase.Terminal() })
	})
	h.wait("the dispatcher to end", func() bool { return h.rec.Snapshot(h.key) == nil })
}

// A Task that is not this process's stays as it is.
func TestOwns(t *testing.T) {
	h := start(t, options{owns: func(t *v1alpha1.Task) bool { return t.Name != "t" }})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}}`)
	h.wait("the cache", func() bool { return h.rec.Client.Get(h.Context(), h.key, h.named()) == nil })
	h.pokes(2)
	if task := h.get(); len(task.Status.Conditions)+len(task.Finalizers) > 0 || exists(h.path("out")) {
		t.Errorf("finalizers %q, status %+v", task.Finalizers, task.Status)
	}
}

// viewed is an executor for one Task.
type viewed struct {
	executor.Executor
	started func()
}

func (v viewed) Start(ctx context.Context, specs []executor.Spec) error {
	v.started()
	return v.Executor.Start(ctx, specs)
}

// Workers are started by the executor for their Task, as it is in its present revision.
func TestBackendFor(t *testing.T) {
	var mu sync.Mutex
	var params []string
	h := start(t, options{view: func(t *v1alpha1.Task, e executor.Executor) executor.Executor {
		return viewed{e, func() {
			mu.Lock()
			defer mu.Unlock()
			params = append(params, string(t.Spec.Params["prefix"].Raw))
		}}
	}})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}, params: {prefix: "1"}, completeAfterIdle: 0s}`)
	h.state(complete)
	h.patch(`{params: {prefix: "2"}}`)
	h.put("b.txt")
	h.state(complete)
	h.output("b.txt", "2b.txt")
	mu.Lock()
	defer mu.Unlock()
	if want := []string{`"1"`, `"2"`}; !slices.Equal(params, want) {
		t.Errorf("workers were started for params %q, want %q", params, want)
	}
}
