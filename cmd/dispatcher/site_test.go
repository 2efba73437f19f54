package main

import (
	"context"
	"fmt"
	"net"
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
	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/internal/kube"
	"tigerflow.dev/tigerflow/internal/kube/wiretest"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

const patience = 2 * time.Minute

// site is a workspace, a namespace of the cluster, and a client beside the dispatcher. Workers are processes instead of Pods.
type site struct {
	*testing.T
	dir, namespace string
	client         client.Client
	wire           *wiretest.Wire // from the dispatchers to the API server
	listen         string
}

func newSite(t *testing.T) *site {
	t.Helper()
	shared.NeedWorker(t)
	rules, err := wiretest.Load("../../config/rbac/dispatcher.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, dir: t.TempDir(), namespace: strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-"), wire: wiretest.New(t, shared.Config, rules)}
	s.client, err = client.New(shared.Config, client.Options{Scheme: kube.Scheme()})
	s.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	s.listen = l.Addr().String()
	s.must(l.Close())
	t.Cleanup(func() {
		if dir := spool.Dir(s.path("out"), "t"); exists(dir) {
			spooltest.Check(t, dir)
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

// begin starts the dispatcher of an owner; it ends with the test, or before by end.
func (s *site) begin(kind, name string) (end func()) {
	s.Helper()
	workers, err := process.New(shared.Worker)
	s.must(err)
	d := &server{
		settings: &settings{rest: s.wire.Config, owner: dispatcher.Owner{Kind: kind, Namespace: s.namespace, Name: name}, listen: s.listen},
		backend:  task.Backend{Executor: workers}, log: logr.Discard(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	over := false
	end = func() {
		if over {
			return
		}
		over = true
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
		now, hurry := context.WithCancel(context.Background())
		hurry()
		if err := workers.Close(now); err != nil {
			s.Error(err)
		}
	}
	s.Cleanup(end)
	return end
}

func (s *site) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
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

// create applies a Task over in and out, with further fields of the object in YAML.
func (s *site) create(name, metadata, more string) {
	s.Helper()
	fields, meta := map[string]any{}, map[string]any{}
	s.must(yaml.Unmarshal([]byte(fmt.Sprintf("{type: Local, handler: {builtin: echo}, workspace: {path: %q}, input: {directory: in, extension: .txt}, output: {directory: out, extension: .txt}}", s.dir)), &fields))
	s.must(yaml.Unmarshal([]byte(more), &fields))
	s.must(yaml.Unmarshal([]byte(metadata), &meta))
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields, "metadata": meta}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(s.namespace)
	u.SetName(name)
	s.must(s.client.Create(s.Context(), u))
}

func (s *site) task(name string) *v1alpha1.Task {
	s.Helper()
	t := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	s.must(s.client.Get(s.Context(), types.NamespacedName{Namespace: s.namespace, Name: name}, t))
	return t
}

// done waits until the status says that so many files are.
func (s *site) done(name string, n int64) {
	s.Helper()
	s.wait(fmt.Sprintf("%d done", n), func() bool {
		f := s.task(name).Status.Files
		return f != nil && f.Done == n
	})
}

// wait looks until ok holds.
func (s *site) wait(what string, ok func() bool) {
	s.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			list := &v1alpha1.TaskList{}
			s.must(s.client.List(context.Background(), list, client.InNamespace(s.namespace)))
			s.Fatalf("waiting for %s: %+v", what, list.Items)
		case <-tick.C:
		}
	}
}
