package promptcache

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/embedded"
)

func TestHandlersKnowAllThatIsThere(t *testing.T) {
	c, objects := newCache(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	i, err := c.GetInformer(ctx, &v1alpha1.Pipeline{})
	if err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	r, err := i.AddEventHandlerWithOptions(toolscache.ResourceEventHandlerFuncs{AddFunc: func(any) { seen.Add(1) }}, toolscache.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !c.WaitForCacheSync(ctx) {
		t.Fatal("it did not sync")
	}
	if !r.HasSynced() || seen.Load() != objects {
		t.Errorf("the handler has synced: %v, and knows %d objects of %d", r.HasSynced(), seen.Load(), objects)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Nobody waits for ever on a cache that was never started.
func TestWaitEndsWithItsContext(t *testing.T) {
	c, _ := newCache(t)
	i, err := c.GetInformer(t.Context(), &v1alpha1.Pipeline{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.AddEventHandler(toolscache.ResourceEventHandlerFuncs{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c.WaitForCacheSync(ctx) {
		t.Error("it claims to have synced")
	}
}

// newCache is a cache of an API server that has some Pipelines.
func newCache(t *testing.T) (_ cache.Cache, objects int64) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	crds, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	plane, err := embedded.Start(t.Context(), embedded.Options{Dir: filepath.Join(t.TempDir(), "plane"), CRDs: crds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	cl, err := client.New(plane.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
		p.Spec.Workspace.Path, p.Spec.Input = "/w", v1alpha1.FileSet{Directory: "in", Extension: ".txt"}
		p.Spec.Output.Directory = "out"
		task := v1alpha1.PipelineTask{Name: "t"}
		task.Type, task.Handler.Builtin, task.Output.Extension = v1alpha1.TaskLocal, "echo", ".txt"
		p.Spec.Tasks = []v1alpha1.PipelineTask{task}
		if err := cl.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		objects++
	}
	c, err := New(plane.RESTConfig(), cache.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c, objects
}
