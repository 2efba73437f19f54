package embedded

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestServesCustomResources(t *testing.T) {
	cl := newClient(t, startPlane(t))
	ctx := t.Context()

	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(errandKind)
	events, err := cl.Watch(ctx, list)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()

	errand := newErrand("shop", "milk")
	if err := cl.Create(ctx, errand); err != nil {
		t.Fatal(err)
	}
	if times, _, _ := unstructured.NestedInt64(errand.Object, "spec", "times"); times != 1 {
		t.Errorf("spec.times defaults to %d, want 1", times)
	}
	if got := <-events.ResultChan(); got.Type != watch.Added || got.Object.(*unstructured.Unstructured).GetName() != "shop" {
		t.Errorf("watched %v %v, want the addition of shop", got.Type, got.Object)
	}

	changed := errand.DeepCopy()
	_ = unstructured.SetNestedField(changed.Object, "bread", "spec", "goal")
	err = cl.Update(ctx, changed)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "goal is immutable: make a new Errand") {
		t.Errorf("changing an immutable field: %v", err)
	}

	if err := cl.Delete(ctx, errand, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	if err := cl.Get(ctx, client.ObjectKeyFromObject(errand), errand); !apierrors.IsNotFound(err) {
		t.Errorf("after a foreground deletion, reading gives %v, want not found", err)
	}
}

func TestStatusBySeveralOwners(t *testing.T) {
	cl := newClient(t, startPlane(t))
	errand := newErrand("shop", "milk")
	if err := cl.Create(t.Context(), errand); err != nil {
		t.Fatal(err)
	}
	for _, condition := range []string{"Ready", "Complete"} {
		status := newErrand("shop", "")
		unstructured.RemoveNestedField(status.Object, "spec")
		status.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": condition, "status": "True"}}}
		apply := client.ApplyConfigurationFromUnstructured(status)
		if err := cl.Status().Apply(t.Context(), apply, client.FieldOwner("owner-of-"+condition)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.Get(t.Context(), client.ObjectKeyFromObject(errand), errand); err != nil {
		t.Fatal(err)
	}
	conditions, _, _ := unstructured.NestedSlice(errand.Object, "status", "conditions")
	if len(conditions) != 2 {
		t.Errorf("conditions of two owners: %v", conditions)
	}
}

func TestSeveralAtOnce(t *testing.T) {
	one, two := startPlane(t), startPlane(t)
	if err := newClient(t, one).Create(t.Context(), newErrand("shop", "milk")); err != nil {
		t.Fatal(err)
	}
	errand := newErrand("shop", "")
	if err := newClient(t, two).Get(t.Context(), client.ObjectKeyFromObject(errand), errand); !apierrors.IsNotFound(err) {
		t.Errorf("reading from one control plane what another holds: %v", err)
	}
}

func TestNothingOfAStoppedPlaneRuns(t *testing.T) {
	c := startPlane(t)
	if err := newClient(t, c).Create(t.Context(), newErrand("shop", "milk")); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, noneServing) // some wait for up to 3 s on timers of their own
}

func noneServing() error {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for goroutine := range strings.SplitSeq(string(stacks), "\n\n") {
		for _, part := range []string{"go.etcd.io/", "k8s.io/apiserver", "k8s.io/apiextensions-apiserver", "google.golang.org/grpc"} {
			if strings.Contains(goroutine, part) {
				return errors.New("still running:\n" + goroutine)
			}
		}
	}
	return nil
}

func TestStartFails(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		crds []*apiextensionsv1.CustomResourceDefinition
		addr string
		want string
	}{
		{name: "canceled", ctx: canceled, crds: testCRDs(t), want: "context canceled"},
		{name: "address of no host", ctx: t.Context(), addr: "127.0.0.1:99999", want: `address "127.0.0.1:99999" is not of the form`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := stateDir(t)
			_, err := Start(tt.ctx, Options{Dir: dir, Addr: tt.addr, CRDs: tt.crds})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
			if left := runsIn(t, dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestPortInUse(t *testing.T) {
	c := startPlane(t)
	addr := strings.TrimPrefix(c.RESTConfig().Host, "https://")
	_, err := Start(t.Context(), Options{Dir: stateDir(t), Addr: addr})
	if err == nil || !strings.Contains(err.Error(), addr+": bind: address already in use") {
		t.Errorf("starting on the port of another: %v", err)
	}
}

func TestStoreFailureEndsThePlane(t *testing.T) {
	dir := stateDir(t)
	c, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no space left on device")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.store.failures.logger().Sugar().Fatalw("failed to save", "error", cause)
	}()
	<-ended // and the process has not
	<-c.Done()
	if err := c.Stop(); !errors.Is(err, cause) || err.Error() != "etcd: failed to save: no space left on device" {
		t.Errorf("Stop returns %v, want why it ended", err)
	}
	if _, err := os.Stat(c.Kubeconfig()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the kubeconfig of a plane that has ended: %v", err)
	}
}
