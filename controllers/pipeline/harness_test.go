package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const patience = 2 * time.Minute

// harness is a controller, and a client that plays the people who apply Pipelines and the controller of their Tasks.
type harness struct {
	*testing.T
	namespace string
	client    client.Client
	rec       *Reconciler

	blind atomic.Bool  // the controller's cache shows no Task
	looks atomic.Int64 // how often it was asked for one

	mu     sync.Mutex
	writes []string // the calls of the controller that write, in order: verb and object
}

var namespaces atomic.Int64

// start has a controller look after a namespace of its own until the end of the test.
func start(t *testing.T, rec *Reconciler) *harness {
	t.Helper()
	h := &harness{T: t, namespace: fmt.Sprintf("test-%d", namespaces.Add(1)), rec: rec}
	scheme := runtime.NewScheme()
	h.must(v1alpha1.AddToScheme(scheme))
	quick := rest.CopyConfig(shared.Config)
	quick.QPS = -1
	var err error
	h.client, err = client.New(quick, client.Options{Scheme: scheme})
	h.must(err)
	mgr, err := ctrl.NewManager(quick, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{h.namespace: {}}},
		NewClient: func(c *rest.Config, co client.Options) (client.Client, error) {
			base, err := client.NewWithWatch(c, co)
			return interceptor.NewClient(base, h.intercept()), err
		},
	})
	h.must(err)
	rec.Client = mgr.GetClient()
	h.must(rec.SetupWithManager(mgr))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the manager ended with %v", err)
		}
	})
	return h
}

// intercept notes what the controller reads and writes.
func (h *harness) intercept() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, ok := obj.(*v1alpha1.Task); ok {
				h.looks.Add(1)
				if h.blind.Load() {
					return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("tasks").GroupResource(), key.Name)
				}
			}
			return c.Get(ctx, key, obj, opts...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			h.note("apply", obj)
			return c.Apply(ctx, obj, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			h.note("update", obj)
			return c.Update(ctx, obj, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			h.note("delete", obj)
			return c.Delete(ctx, obj, opts...)
		},
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			h.note(sub, obj)
			return c.SubResource(sub).Apply(ctx, obj, opts...)
		},
	}
}

func (h *harness) note(verb string, obj any) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		h.Error(err)
	}
	u := unstructured.Unstructured{Object: content}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes = append(h.writes, verb+" "+u.GetName())
}

func (h *harness) written() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.writes)
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// chain is a Pipeline of three tasks one after the other.
const chain = `{tasks: [{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}},
	{name: b, dependsOn: a, type: Local, output: {extension: .b}, handler: {builtin: echo}},
	{name: c, dependsOn: b, type: Local, output: {extension: .c}, handler: {builtin: echo}}]}`

// create applies a Pipeline over in and out, with the further fields of the spec in YAML.
func (h *harness) create(name string, specs ...string) {
	h.Helper()
	fields := map[string]any{}
	for _, spec := range append([]string{"{workspace: {path: /w}, input: {directory: in, extension: .txt}, output: {directory: out}}"}, specs...) {
		h.must(yaml.Unmarshal([]byte(strings.ReplaceAll(spec, "\t", " ")), &fields))
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Pipeline"))
	u.SetNamespace(h.namespace)
	u.SetName(name)
	h.must(h.client.Create(h.Context(), u))
}

// patch merges a YAML patch into the spec of an object.
func (h *harness) patch(obj client.Object, spec string) {
	h.Helper()
	text, err := yaml.YAMLToJSON([]byte("spec: " + strings.ReplaceAll(spec, "\t", " ")))
	h.must(err)
	h.must(h.client.Patch(h.Context(), obj, client.RawPatch(types.MergePatchType, text)))
}

func (h *harness) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: h.namespace, Name: name}
}

func (h *harness) pipeline(name string) *v1alpha1.Pipeline {
	h.Helper()
	p := &v1alpha1.Pipeline{ObjectMeta: h.meta(name)}
	h.must(h.client.Get(h.Context(), client.ObjectKeyFromObject(p), p))
	return p
}

// task is a Task as it is; nil if there is none.
func (h *harness) task(name string) *v1alpha1.Task {
	h.Helper()
	t := &v1alpha1.Task{ObjectMeta: h.meta(name)}
	err := h.client.Get(h.Context(), client.ObjectKeyFromObject(t), t)
	h.must(client.IgnoreNotFound(err))
	if err != nil {
		return nil
	}
	return t
}

// there waits until a Task is as it should be.
func (h *harness) there(name string, ok func(*v1alpha1.Task) bool) *v1alpha1.Task {
	h.Helper()
	var t *v1alpha1.Task
	h.wait("Task "+name, func() bool { t = h.task(name); return t != nil && ok(t) })
	return t
}

// report writes the status of a Task as its controller does: what it tells of the present spec.
func (h *harness) report(name, ready string, more ...func(*v1alpha1.TaskStatus)) {
	h.Helper()
	t := h.there(name, func(*v1alpha1.Task) bool { return true })
	yes, reason, _ := strings.Cut(ready, "/")
	status := v1alpha1.TaskStatus{ObservedGeneration: t.Generation}
	for _, c := range []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionStatus(yes), Reason: reason, Message: "so it is"},
		{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionFalse, Reason: reason},
		{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse, Reason: string(v1alpha1.ReasonAsExpected)},
		{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionFalse, Reason: string(v1alpha1.ReasonAsExpected)},
	} {
		if c.Type == v1alpha1.ConditionComplete && reason == string(v1alpha1.ReasonComplete) {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&status.Conditions, c)
	}
	for _, change := range more {
		change(&status)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	h.must(err)
	u := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(h.namespace)
	u.SetName(name)
	h.must(h.client.Status().Apply(h.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerTask), client.ForceOwnership))
}

const (
	idle     = "True/Idle"
	running  = "True/Running"
	ended    = "True/Complete"
	starting = "False/Starting"
	asked    = "False/Waiting"
)

// bad makes a condition True that should be False.
func bad(kind string, reason v1alpha1.Reason, message string) func(*v1alpha1.TaskStatus) {
	return func(s *v1alpha1.TaskStatus) {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: string(reason), Message: message})
	}
}

// counted is what a lead has counted.
func counted(staged, inProgress, finished, failed int64) func(*v1alpha1.TaskStatus) {
	return func(s *v1alpha1.TaskStatus) {
		s.Pipeline = &v1alpha1.PipelineFileCounts{Staged: staged, InProgress: inProgress, Finished: finished, Failed: failed}
	}
}

// wait looks until ok holds.
func (h *harness) wait(what string, ok func() bool) {
	h.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			h.Fatalf("waiting for %s: %s", what, h.describe())
		case <-tick.C:
		}
	}
}

func (h *harness) describe() string {
	var text strings.Builder
	list := &v1alpha1.PipelineList{}
	h.must(h.client.List(context.Background(), list, client.InNamespace(h.namespace)))
	for _, p := range list.Items {
		fmt.Fprintf(&text, "\nPipeline %s generation %d: %s", p.Name, p.Generation, conditionsOf(p.Generation, p.Status.ObservedGeneration, p.Status.Conditions))
	}
	tasks := &v1alpha1.TaskList{}
	h.must(h.client.List(context.Background(), tasks, client.InNamespace(h.namespace)))
	for _, t := range tasks.Items {
		fmt.Fprintf(&text, "\nTask %s generation %d, limit %v: %s", t.Name, t.Generation, t.Spec.CompleteAfterIdle, conditionsOf(t.Generation, t.Status.ObservedGeneration, t.Status.Conditions))
	}
	return text.String()
}

// state waits until the Pipeline as it is now has exactly these conditions, as in "Ready=True/Idle Complete=False/Idle …".
func (h *harness) state(name, want string) *v1alpha1.Pipeline {
	h.Helper()
	var p *v1alpha1.Pipeline
	h.wait(want, func() bool {
		p = h.pipeline(name)
		return conditionsOf(p.Generation, p.Status.ObservedGeneration, p.Status.Conditions) == want
	})
	return p
}

// good is all conditions of a Pipeline that nothing is wrong with.
func good(ready string) string {
	_, reason, _ := strings.Cut(ready, "/")
	complete := "False"
	if ready == ended {
		complete = "True"
	}
	return fmt.Sprintf("Ready=%s Complete=%s/%s Stalled=False/AsExpected Degraded=False/AsExpected", ready, complete, reason)
}

// stalled is all conditions of a Pipeline that a person must act on.
func stalled(reason v1alpha1.Reason) string {
	return strings.ReplaceAll("Ready=False/X Complete=False/X Stalled=True/X Degraded=False/AsExpected", "X", string(reason))
}

func conditionsOf(generation, observed int64, conditions []metav1.Condition) string {
	var parts []string
	for _, c := range conditions {
		if c.ObservedGeneration == generation && observed == generation || c.ObservedGeneration == 0 {
			parts = append(parts, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
		}
	}
	return strings.Join(parts, " ")
}

func messageOf(p *v1alpha1.Pipeline, kind string) string {
	if c := meta.FindStatusCondition(p.Status.Conditions, kind); c != nil {
		return c.Message
	}
	return ""
}
