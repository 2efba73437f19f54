package pod

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/fake"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

var pods = schema.GroupResource{Resource: "pods"}

// cluster is an API server without nodes, for what a real one cannot be made to say.
type cluster struct {
	*testing.T
	api *api
	e   *Executor
}

// api is the fake API server, which can be told what to answer.
type api struct {
	typedcorev1.PodInterface
	create func() error                     // before a Pod is made; nil is nothing
	lost   error                            // the answer to who has made one
	remove func(metav1.DeleteOptions) error // instead of deleting one; nil deletes it
	list   error                            // the answer to each list
}

func newAPI() *api { return &api{PodInterface: fake.NewClientset().CoreV1().Pods("ns")} }

// IsWatchListSemanticsUnSupported tells what the fake cannot do.
func (*api) IsWatchListSemanticsUnSupported() bool { return true }

func (a *api) Create(ctx context.Context, p *corev1.Pod, o metav1.CreateOptions) (*corev1.Pod, error) {
	if a.create != nil {
		if err := a.create(); err != nil {
			return nil, err
		}
	}
	made, err := a.PodInterface.Create(ctx, p, o)
	return made, errors.Join(err, a.lost)
}

func (a *api) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	if a.remove != nil {
		return a.remove(o)
	}
	return a.PodInterface.Delete(ctx, name, o)
}

func (a *api) List(ctx context.Context, o metav1.ListOptions) (*corev1.PodList, error) {
	if a.list != nil {
		return nil, a.list
	}
	return a.PodInterface.List(ctx, o)
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{T: t, api: newAPI()}
	c.e = New(Config{Pods: c.api, Select: labels.Set{v1alpha1.LabelTask: "demo"}, Images: Images{Worker: "w", Python: "p"}, As: nobody})
	t.Cleanup(c.e.Close)
	return c
}

func demo() *v1alpha1.Task {
	t := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo", UID: "u"}}
	t.Spec.Type = v1alpha1.TaskLocal
	t.Spec.Workspace = v1alpha1.Workspace{Path: "/data", Volume: &v1alpha1.WorkspaceVolume{
		PersistentVolumeClaim: v1alpha1.PersistentVolumeClaim{ClaimName: "scratch", SubPath: "me"},
	}}
	return t
}

func specOf(index int) executor.Spec {
	id := executor.WorkerID{Key: "k", Index: index, Restart: 1}
	return executor.Spec{ID: id, Spool: "/data/s", Log: "/data/s/logs/" + id.String(), DrainTimeout: 90500 * time.Millisecond}
}

func (c *cluster) start(index int) error {
	return c.e.For(demo()).Start(c.Context(), []executor.Spec{specOf(index)})
}

// worker waits until the list shows a worker as wanted.
func (c *cluster) worker(index int, want string, is func(executor.Worker) bool) executor.Worker {
	c.Helper()
	deadline := time.After(time.Minute)
	for {
		list, err := c.e.List(c.Context())
		if err != nil {
			c.Fatal(err)
		}
		for _, w := range list {
			if w.ID.Index == index && is(w) {
				return w
			}
		}
		select {
		case <-c.e.Changes():
		case <-deadline:
			c.Fatalf("waiting for %s: %+v", want, list)
		}
	}
}

func TestRefusals(t *testing.T) {
	forbidden := func(text string) error { return apierrors.NewForbidden(pods, "demo-k-0-r1", errors.New(text)) }
	rbac := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Code: 403, Message: `pods is forbidden: User "x" cannot create resource "pods" in API group ""`}}
	ending := forbidden("ns is being terminated")
	ending.(*apierrors.StatusError).ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}} //nolint:errorlint // made above
	for name, tt := range map[string]struct {
		err  error
		want string // StalledError, WaitError or neither
		text string
	}{
		"policy":          {forbidden(`violates PodSecurity "restricted:latest"`), "stalled", `the API server refuses the Pod: pods "demo-k-0-r1" is forbidden: violates PodSecurity "restricted:latest"`},
		"invalid":         {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "x", field.ErrorList{field.Invalid(field.NewPath("spec"), 1, "bad")}), "stalled", "Invalid value: 1: bad"},
		"webhook":         {apierrors.NewBadRequest("admission webhook denied the request: no"), "stalled", "denied the request: no"},
		"quota":           {forbidden("exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5"), "waits", "exceeded quota: q"},
		"no right yet":    {rbac, "passes", "cannot create resource"},
		"no account yet":  {forbidden(`error looking up service account ns/default: serviceaccount "default" not found`), "passes", "service account"},
		"namespace ends":  {ending, "passes", "being terminated"},
		"busy":            {apierrors.NewTooManyRequests("slow down", 1), "passes", "slow down"},
		"timeout":         {apierrors.NewServerTimeout(pods, "create", 1), "passes", "could not be completed"},
		"broken":          {apierrors.NewInternalError(errors.New("etcd")), "passes", "etcd"},
		"connection lost": {errors.New("connection refused"), "passes", "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.api.create = func() error { return tt.err }
			err := c.start(0)
			_, stalled := executor.Stalled(err)
			_, waits := executor.Waiting(err)
			if stalled != (tt.want == "stalled") || waits != (tt.want == "waits") || err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want that it is %s and %q", err, tt.want, tt.text)
			}
		})
	}
}

// A Pod whose making was not answered is found; a stranger's is not touched.
func TestStartAgain(t *testing.T) {
	c := newCluster(t)
	c.api.lost = errors.New("connection reset")
	if err := c.start(0); err == nil {
		t.Fatal("the answer was not lost")
	}
	c.api.lost = nil
	if err := c.start(0); err != nil {
		t.Error(err)
	}
	c.worker(0, "the worker", func(w executor.Worker) bool { return w.Phase == executor.Pending })
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo-k-1-r1"}}
	if _, err := c.api.Create(t.Context(), stranger, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.start(1); err == nil || !strings.Contains(err.Error(), "there is a Pod demo-k-1-r1 that is no worker of this Task: delete it") {
		t.Errorf("in a stranger's place: %v", err)
	}
	noVolume := demo()
	noVolume.Spec.Workspace.Volume = nil
	err := c.e.For(noVolume).Start(t.Context(), []executor.Spec{specOf(2)})
	if st, ok := executor.Stalled(err); !ok || st.Reason != string(v1alpha1.ReasonWorkspaceNotFound) {
		t.Errorf("without a volume: %v", err)
	}
}

// Without an answer List fails; "none" is never said.
func TestListWithoutTheAPIServer(t *testing.T) {
	away := newAPI()
	away.list = errors.New("connection refused")
	e := New(Config{Pods: away})
	defer e.Close()
	if list, err := e.List(t.Context()); err == nil || list != nil {
		t.Errorf("%v, %v", list, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// Of a worker whose Pod went while nobody watched it is known that it is gone, not that it has ended.
func TestGoneUnseen(t *testing.T) {
	c := newCluster(t)
	if err := c.start(0); err != nil {
		t.Fatal(err)
	}
	c.worker(0, "the worker", func(executor.Worker) bool { return true })
	seen := podOf(runs)
	seen.Labels, seen.ResourceVersion = map[string]string{v1alpha1.LabelWorker: specOf(1).ID.String()}, "5"
	late := podOf(runs)
	late.Labels, late.ResourceVersion = map[string]string{v1alpha1.LabelWorker: specOf(2).ID.String()}, "9"
	c.e.put(seen)
	c.e.put(late)
	waiting := podOf(homeless)
	waiting.Labels, waiting.ResourceVersion = map[string]string{v1alpha1.LabelWorker: specOf(3).ID.String()}, "6"
	c.e.put(waiting)
	if err := (store{c.e}).Replace(nil, "7"); err != nil {
		t.Fatal(err)
	}
	w := c.worker(1, "the gone one", func(w executor.Worker) bool { return w.Phase == executor.Lost })
	if w.Witnessed {
		t.Errorf("witnessed: %+v", w)
	}
	if w := c.worker(3, "the one that waited", func(w executor.Worker) bool { return w.Phase == executor.Lost }); w.Witnessed {
		t.Errorf("it is not known whether it has run, and yet witnessed: %+v", w)
	}
	c.worker(2, "the one that was made after the listing", func(w executor.Worker) bool { return w.Phase == executor.Running })
	if err := c.e.Forget(t.Context(), []executor.WorkerID{w.ID}); err != nil {
		t.Fatal(err)
	}
	list, err := c.e.List(t.Context())
	if err != nil || len(list) != 3 {
		t.Errorf("after it was forgotten: %+v, %v", list, err)
	}
}

// An end that a deleted Pod tells of stays known until it is forgotten, and old ones have a bound.
func TestKeepsEnds(t *testing.T) {
	c := newCluster(t)
	for i := range executor.MaxEnded + 5 {
		p := podOf(installed, ended(workerContainer, 0, "Completed", ""))
		p.Labels = map[string]string{v1alpha1.LabelWorker: executor.WorkerID{Key: "k", Index: i, Restart: 1}.String()}
		p.Status.ContainerStatuses[1].State.Terminated.FinishedAt = metav1.NewTime(moment.Add(time.Duration(i) * time.Second))
		if err := (store{c.e}).Delete(p); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.e.List(t.Context())
	if err != nil || len(list) != executor.MaxEnded || list[0].ID.Index != 5 || !list[0].Witnessed {
		t.Errorf("%d are listed, the first %+v (%v)", len(list), list[0], err)
	}
}

// The kubelet's time to end a Pod is asked for in whole seconds, and to kill is never to force: nobody would see the end.
func TestStop(t *testing.T) {
	c := newCluster(t)
	if err := c.start(0); err != nil {
		t.Fatal(err)
	}
	var asked []*int64
	c.api.remove = func(o metav1.DeleteOptions) error {
		asked = append(asked, o.GracePeriodSeconds)
		return nil
	}
	id := specOf(0).ID
	for _, mode := range []executor.StopMode{executor.Drain, executor.Drain, executor.Kill, executor.Kill, executor.Drain} {
		if err := c.e.Stop(t.Context(), []executor.WorkerID{id, specOf(7).ID}, mode); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 2 || asked[0] != nil || asked[1] == nil || *asked[1] != 1 {
		t.Errorf("asked for %v", asked)
	}
	c.worker(0, "its end", func(w executor.Worker) bool { return w.Phase == executor.Terminating })
}
