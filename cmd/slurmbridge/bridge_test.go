package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/internal/kube"
	"tigerflow.dev/tigerflow/internal/kube/wiretest"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

// site is a login node whose jobs are processes, a namespace of the cluster, and a client beside the bridge.
type site struct {
	*testing.T
	dir, namespace string
	jobs           *process.Executor // outlives each bridge, as Slurm does
	client         client.Client
	bridge         *running
	wire           *wiretest.Wire // from the bridges to the API server
}

// running is a bridge.
type running struct {
	settings
	ended chan error
	end   context.CancelFunc
}

func newSite(t *testing.T) *site {
	t.Helper()
	shared.NeedWorker(t)
	s := &site{T: t, dir: t.TempDir(), namespace: strings.ToLower(t.Name()), wire: wiretest.New(t, shared.Config, rights)}
	var err error
	s.jobs, err = process.New(shared.Worker)
	s.must(err)
	s.client, err = client.New(shared.Config, client.Options{Scheme: kube.Scheme()})
	s.must(err)
	t.Cleanup(func() {
		if s.bridge != nil {
			s.must(s.stop())
		}
		now, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.jobs.Close(now); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// prepare makes a bridge that is not begun yet.
func (s *site) prepare(edit func(*settings)) (b *bridge, ready chan struct{}) {
	ready = make(chan struct{})
	b = &bridge{
		settings: &settings{
			name: "default", namespace: s.namespace, rest: s.wire.Config, limits: &limits{}, metrics: "0", state: filepath.Join(s.dir, "state"),
		},
		executor: s.jobs, meters: newMeters(), log: logr.Discard(), ready: func() { close(ready) },
	}
	edit(b.settings)
	return b, ready
}

// begin starts a bridge and returns when it is under way.
func (s *site) begin(edit func(*settings)) {
	s.Helper()
	b, ready := s.prepare(edit)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{settings: *b.settings, ended: make(chan error, 1), end: cancel}
	go func() { r.ended <- b.run(ctx) }()
	select {
	case <-ready:
		s.bridge = r
	case err := <-r.ended:
		cancel()
		s.Fatal(err)
	}
}

func usual(*settings) {}

// stop ends the bridge as a signal does.
func (s *site) stop() error {
	s.bridge.end()
	err := <-s.bridge.ended
	s.bridge = nil
	return err
}

func (s *site) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// put makes inputs that are old enough to be taken at once.
func (s *site) put(names ...string) {
	s.Helper()
	s.must(os.MkdirAll(s.path("in"), 0o777))
	for _, name := range names {
		s.must(os.WriteFile(s.path("in", name), []byte(name), 0o666))
		past := time.Now().Add(-time.Hour)
		s.must(os.Chtimes(s.path("in", name), past, past))
	}
	s.must(os.Chtimes(s.path("in"), time.Time{}, time.Now()))
}

// create applies a Slurm Task t over in and out, with further fields of the spec.
func (s *site) create(more string) {
	s.Helper()
	s.createNamed("t", more)
	s.Cleanup(func() {
		if dir := spool.Dir(s.path("out"), "t"); exists(dir) {
			spooltest.Check(s.T, dir)
		}
	})
}

func (s *site) createNamed(name, more string) {
	s.Helper()
	fields := map[string]any{}
	text := fmt.Sprintf(`{type: Slurm, slurm: {time: 1h}, workspace: {path: %q}, input: {directory: in, extension: .txt},
		output: {directory: out, extension: .txt}, handler: {builtin: echo}, scaling: {workerIdleTimeout: 1ms}}`, s.dir)
	for _, part := range []string{text, more} {
		s.must(yaml.Unmarshal([]byte(part), &fields))
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(s.namespace)
	u.SetName(name)
	s.must(s.client.Create(s.Context(), u))
}

func (s *site) task() *v1alpha1.Task {
	s.Helper()
	t := &v1alpha1.Task{}
	s.must(s.client.Get(s.Context(), types.NamespacedName{Namespace: s.namespace, Name: "t"}, t))
	return t
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// done waits until the status says that so many files are done.
func (s *site) done(n int64) {
	s.Helper()
	wait(s.T, fmt.Sprintf("%d files done in the status", n), func() bool { f := s.task().Status.Files; return f != nil && f.Done == n })
}

// idle waits until no worker is left.
func (s *site) idle() {
	s.Helper()
	wait(s.T, "the end of the workers", func() bool {
		all, err := s.jobs.List(s.Context())
		s.must(err)
		for _, w := range all {
			if !w.Phase.Terminal() {
				return false
			}
		}
		return true
	})
}

func TestBridge(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.createNamed("other", "{slurm: {bridge: other, time: 1h}, output: {directory: other, extension: .txt}}")
	s.createNamed("local", "{type: Local, slurm: null, output: {directory: local, extension: .txt}}")
	s.create("{completeAfterIdle: 0s}")
	s.begin(func(b *settings) { b.metrics = freeAddress(t) })
	s.done(1)
	wait(t, "the end", func() bool {
		for _, c := range s.task().Status.Conditions {
			if c.Type == v1alpha1.ConditionComplete && c.Status == metav1.ConditionTrue {
				return true
			}
		}
		return false
	})
	if got := s.task().Finalizers; len(got) != 1 || got[0] != v1alpha1.FinalizerWorkers {
		t.Errorf("finalizers %q", got)
	}
	var all v1alpha1.TaskList
	s.must(s.client.List(t.Context(), &all, client.InNamespace(s.namespace)))
	for _, task := range all.Items {
		if task.Name != "t" && (task.Status.ObservedGeneration != 0 || len(task.Finalizers) > 0) {
			t.Errorf("the bridge has touched the Task %s, which is not its own", task.Name)
		}
	}
	second, _ := s.prepare(usual)

	want := `a bridge "default" runs in namespace testbridge already: the Lease tigerflow-bridge-default is held by `
	if err := second.run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a second bridge says %v", err)
	}
	s.serves()
	s.must(s.stop())
	if l := leaseOf(t, "x"); holderOfStored(t, l, "tigerflow-bridge-default") != "" {
		t.Error("the Lease is not released")
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func holderOfStored(t *testing.T, l *lease, name string) string {
	t.Helper()
	l.name = name
	return holderOf(l.stored(t))
}

func (s *site) serves() {
	s.Helper()
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ok\n", "/metrics": `tigerflow_bridge_workers{phase="Running"} 0`,
	} {
		answer, err := http.Get("http://" + s.bridge.settings.metrics + path)
		s.must(err)
		text, err := io.ReadAll(answer.Body)
		s.must(err)
		s.must(answer.Body.Close())
		if answer.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			s.Errorf("%s is %s %.200s", path, answer.Status, text)
		}
		if path == "/metrics" && !strings.Contains(string(text), "process_cpu_seconds_total") {
			s.Error("the metrics do not have the process's CPU")
		}
	}
}

// While the API server is away workers are started and files are done; the status catches up.
func TestBridgeOutlivesTheAPIServer(t *testing.T) {
	for name, tt := range map[string]struct{ away, back func(*wiretest.Wire) }{
		"Cut":          {func(w *wiretest.Wire) { w.Set(wiretest.Cut) }, func(w *wiretest.Wire) { w.Set(wiretest.Whole) }},
		"Silent":       {func(w *wiretest.Wire) { w.Set(wiretest.Frozen) }, func(w *wiretest.Wire) { w.Set(wiretest.Whole) }},
		"Unauthorized": {func(w *wiretest.Wire) { w.Denied.Store(true) }, func(w *wiretest.Wire) { w.Denied.Store(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.namespace = strings.ToLower(name)
			s.put("1.txt")
			s.create("{}")
			s.begin(usual)
			s.done(1)
			for i := 2; i <= 4; i++ { // each needs a worker of its own
				s.idle()
				if i == 2 {
					tt.away(s.wire)
				}
				name := fmt.Sprintf("%d.txt", i)
				s.put(name)
				wait(t, "output "+name, func() bool { return exists(s.path("out", name)) })
			}
			if f := s.task().Status.Files; f.Done != 1 {
				t.Errorf("the API server was not away: %+v", f)
			}
			tt.back(s.wire)
			s.done(4)
		})
	}
}

// A Task that was deleted while no bridge was there is finished by the next.
func TestBridgeFinishesWhatWasDeleted(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.create("{scaling: {minWorkers: 1}}")
	s.begin(usual)
	s.done(1)
	s.must(s.stop())
	s.must(s.client.Delete(t.Context(), s.task()))
	if s.task().DeletionTimestamp.IsZero() {
		t.Fatal("it is not being deleted")
	}
	s.living(1)
	s.begin(usual)
	wait(t, "the end of the Task", s.vanished)
	s.living(0)
}

// Workers of a Task that somebody has taken the finalizer off are ended by the bridge that comes back.
func TestBridgeEndsWhatWasAbandoned(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.create("{scaling: {minWorkers: 1}}")
	s.begin(usual)
	s.done(1)
	s.must(s.stop())
	s.must(s.client.Patch(t.Context(), s.task(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	s.must(s.client.Delete(t.Context(), s.task()))
	if !s.vanished() {
		t.Fatal("it is not deleted")
	}
	s.living(1)
	s.begin(usual)
	s.idle()
}

func (s *site) vanished() bool {
	var list v1alpha1.TaskList
	s.must(s.client.List(s.Context(), &list, client.InNamespace(s.namespace)))
	return len(list.Items) == 0
}

// living checks how many workers there are.
func (s *site) living(want int) {
	s.Helper()
	all, err := s.jobs.List(s.Context())
	s.must(err)
	n := 0
	for _, w := range all {
		if !w.Phase.Terminal() {
			n++
		}
	}
	if n != want {
		s.Errorf("there are %d workers, want %d: %+v", n, want, all)
	}
}

func TestBridgeEndsWhenAnotherTakesTheLease(t *testing.T) {
	s := newSite(t)
	b, ready := s.prepare(usual)
	ended := make(chan error, 1)
	go func() { ended <- b.run(t.Context()) }()
	<-ready
	other := leaseOf(t, "elsewhere")
	other.name = "tigerflow-bridge-default"
	s.must(other.take(t.Context(), true))
	if err := b.lease.renew(t.Context()); err == nil {
		t.Fatal("it renews what it has not")
	}
	if err := <-ended; err == nil || !strings.HasPrefix(err.Error(), "another bridge has taken over: the Lease tigerflow-bridge-default is held by elsewhere/7-1") {
		t.Errorf("it ends with %v", err)
	}
	if got := holderOf(other.stored(t)); got != "elsewhere/7-1" {
		t.Errorf("the holder is %s", got)
	}
}

func TestBridgeKeepsToItsLimits(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.create("{scaling: {maxWorkers: 5}}")
	s.begin(func(b *settings) { b.limits = &limits{MaxWorkers: new(int32(2))} })
	wait(t, "the refusal", func() bool {
		for _, c := range s.task().Status.Conditions {
			if c.Type == v1alpha1.ConditionStalled && c.Reason == string(v1alpha1.ReasonNotAllowed) {
				return c.Message == "spec.scaling.maxWorkers: 5, and this bridge allows a Task 2: lower it"
			}
		}
		return false
	})
	s.must(s.client.Patch(t.Context(), s.task(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"scaling":{"maxWorkers":2}}}`))))
	s.done(1)
}
