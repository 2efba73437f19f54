package task

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

const patience = 2 * time.Minute

// harness is a controller with real workers, the folder they work in, and a client beside it.
type harness struct {
	*testing.T
	dir    string
	key    types.NamespacedName
	client client.Client
	rec    *Reconciler
	reads  atomic.Int64 // reconciles begun

	mu     sync.Mutex
	writes []write
}

// write is one status write of the controller.
type write struct {
	owner  string
	status map[string]any
}

type options struct {
	slurm   executor.Executor // the controller is a bridge called mine, with this executor
	period  time.Duration
	owns    func(*v1alpha1.Task) bool
	explain func(string) string
	// as where a garbage collector ends the workers of deleted Tasks
	collected bool
	view      func(*v1alpha1.Task, executor.Executor) executor.Executor                      // the Backend's executor for a Task
	faults    func(call string) error                                                        // before each write
	lost      func(call string) error                                                        // after each write
	read      func(ctx context.Context, get func() error, into client.Object) (answer error) // instead of each read
}

var namespaces atomic.Int64

// start has a controller look after a namespace of its own until the end of the test. At the end it checks the spool.
func start(t *testing.T, o options) *harness {
	t.Helper()
	shared.NeedWorker(t)
	h := &harness{T: t, dir: t.TempDir(), key: types.NamespacedName{
		Namespace: fmt.Sprintf("test-%d", namespaces.Add(1)), Name: "t",
	}}
	t.Cleanup(func() {
		if dir := spool.Dir(h.path("out"), "t"); exists(dir) {
			spooltest.Check(t, dir)
		}
	})
	scheme := runtime.NewScheme()
	h.must(v1alpha1.AddToScheme(scheme))
	var err error
	h.client, err = client.New(shared.Config, client.Options{Scheme: scheme})
	h.must(err)
	workers, err := process.New(shared.Worker)
	h.must(err)
	mgr, err := ctrl.NewManager(shared.Config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: new(true)},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{h.key.Namespace: {}}},
		NewClient: func(c *rest.Config, co client.Options) (client.Client, error) {
			base, err := client.NewWithWatch(c, co)
			return interceptor.NewClient(base, h.intercept(o)), err
		},
	})
	h.must(err)
	local := Backend{Executor: workers}
	if o.view != nil {
		local.For = func(t *v1alpha1.Task) executor.Executor { return o.view(t, workers) }
	}
	h.rec = &Reconciler{
		Client: mgr.GetClient(), Log: slog.New(slog.DiscardHandler), Plane: "test", Period: o.period, Finalize: !o.collected, Owns: o.owns, Explain: o.explain,
		Backends: map[v1alpha1.TaskType]Backend{v1alpha1.TaskLocal: local, v1alpha1.TaskLocalAsync: local},
	}
	if o.slurm != nil {
		h.rec.Bridge, h.rec.Backends = "mine", map[v1alpha1.TaskType]Backend{v1alpha1.TaskSlurm: {Executor: o.slurm}}
	}
	h.must(h.rec.SetupWithManager(mgr))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the manager ended with %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		now, hurry := context.WithCancel(ctx)
		hurry()
		if err := workers.Close(now); err != nil {
			t.Error(err)
		}
		if err := h.rec.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) path(names ...string) string {
	return filepath.Join(append([]string{h.dir}, names...)...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// put makes input files whose content is their name; they are old enough to be taken at once.
func (h *harness) put(names ...string) {
	h.Helper()
	h.must(os.MkdirAll(h.path("in"), 0o777))
	for _, name := range names {
		h.must(os.WriteFile(h.path("in", name), []byte(name), 0o666))
		past := time.Now().Add(-time.Hour)
		h.must(os.Chtimes(h.path("in", name), past, past))
	}
	h.must(os.Chtimes(h.path("in"), time.Time{}, time.Now()))
}

// create applies a Task of type Local over in and out, with the further fields of the spec in YAML.
func (h *harness) create(spec string) {
	h.Helper()
	text := fmt.Sprintf("{type: Local, workspace: {path: %q}, input: {directory: in, extension: .txt}, output: {directory: out, extension: .txt}}", h.dir)
	fields, more := map[string]any{}, map[string]any{}
	h.must(yaml.Unmarshal([]byte(text), &fields))
	h.must(yaml.UnmarshalStrict([]byte(strings.ReplaceAll(spec, "$DIR", h.dir)), &more))
	maps.Copy(fields, more)
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(h.key.Namespace)
	u.SetName(h.key.Name)
	h.must(h.client.Create(h.Context(), u))
}

// patch merges a YAML patch into the spec.
func (h *harness) patch(spec string) {
	h.Helper()
	text, err := yaml.YAMLToJSON([]byte("spec: " + spec))
	h.must(err)
	h.must(h.client.Patch(h.Context(), h.named(), client.RawPatch(types.MergePatchType, text)))
}

// caughtUp waits until the controller's cache shows the Task as it is, and until what was begun before that has ended.
func (h *harness) caughtUp() {
	h.Helper()
	h.wait("the cache to catch up", func() bool {
		cached := h.named()
		h.must(h.rec.Client.Get(h.Context(), h.key, cached))
		return cached.ResourceVersion == h.get().ResourceVersion
	})
	h.pokes(1)
}

func (h *harness) named() *v1alpha1.Task {
	return &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Namespace: h.key.Namespace, Name: h.key.Name}}
}

func (h *harness) get() *v1alpha1.Task {
	h.Helper()
	task := h.named()
	h.must(h.client.Get(h.Context(), h.key, task))
	return task
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
	task := h.named()
	if err := h.client.Get(context.Background(), h.key, task); err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("generation %d, observed %d, files %+v, workers %+v", task.Generation, task.Status.ObservedGeneration, task.Status.Files, task.Status.Workers)
	for _, c := range task.Status.Conditions {
		text += fmt.Sprintf("\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

// state waits until the Task as it is now has exactly these conditions, as in "Ready=True/Idle Complete=False/Idle …".
func (h *harness) state(want string) *v1alpha1.Task {
	h.Helper()
	var task *v1alpha1.Task
	h.wait(want, func() bool { task = h.get(); return conditionsOf(task) == want })
	return task
}

// conditionsOf sums up all conditions that are about the present generation.
func conditionsOf(t *v1alpha1.Task) string {
	var parts []string
	for _, c := range t.Status.Conditions {
		if c.ObservedGeneration == t.Generation && t.Status.ObservedGeneration == t.Generation {
			parts = append(parts, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
		}
	}
	return strings.Join(parts, " ")
}

// messageOf is that of one condition.
func messageOf(t *v1alpha1.Task, kind string) string {
	if c := meta.FindStatusCondition(t.Status.Conditions, kind); c != nil {
		return c.Message
	}
	return ""
}

func (h *harness) output(name, want string) {
	h.Helper()
	got, err := os.ReadFile(h.path("out", name))
	if err != nil || string(got) != want {
		h.Errorf("output %s is %q, want %q (%v)", name, got, want, err)
	}
}

// poke has the controller look at the Task again.
func (h *harness) poke() {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	h.rec.queue.Add(ctrl.Request{NamespacedName: h.key})
}

// pokes has the controller look n times.
func (h *harness) pokes(n int) {
	h.Helper()
	for range n {
		before := h.reads.Load()
		h.poke()
		h.wait("a reconcile", func() bool { return h.reads.Load() > before })
	}
}
