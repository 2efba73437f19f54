package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	coordinationv1 "k8s.io/api/coordination/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/internal/kube"
	"tigerflow.dev/tigerflow/internal/kube/kubetest"
)

const patience = 2 * time.Minute

// site is a namespace, and a client that plays its people, its kubelets and its dispatchers.
type site struct {
	*testing.T
	namespace string
	client    client.Client
}

// newSite makes a namespace that wants Pods restricted, with a claim that all nodes share.
func newSite(t *testing.T) *site {
	t.Helper()
	needCluster(t)
	s := &site{T: t, namespace: strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")}
	var err error
	s.client, err = client.New(cluster.Config, client.Options{
		Scheme: kube.Scheme(corev1.AddToScheme, rbacv1.AddToScheme, coordinationv1.AddToScheme),
	})
	s.must(err)
	s.must(s.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: s.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}))
	s.claim("scratch", corev1.ReadWriteMany)
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// settings are those of a manager of the tests, with the rights of its ServiceAccount and no others.
func (s *site) settings() *settings {
	s.Helper()
	config, err := cluster.Account(s.Context(), kubetest.SystemNamespace, "tigerflow-manager")
	s.must(err)
	config.QPS = -1
	return &settings{
		rest: config, metrics: "0", health: "0",
		template: dispatcher.Template{
			Image: "dispatcher:1", WorkerImage: "worker:1", PythonImage: "python:1", PullPolicy: corev1.PullIfNotPresent,
			Identity: dispatcher.Identity{UID: 65532, GID: 65532},
		},
	}
}

// begin starts a manager of this namespace alone; it ends with the test.
func (s *site) begin(edit ...func(*settings)) {
	s.Helper()
	m := s.settings()
	m.namespace = s.namespace
	for _, e := range edit {
		e(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	mgr, err := m.manager(logr.Discard())
	s.must(err)
	go func() { ended <- mgr.Start(ctx) }()
	s.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
}

func (s *site) claim(name string, modes ...corev1.PersistentVolumeAccessMode) {
	s.Helper()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: s.meta(name)}
	s.must(yaml.Unmarshal([]byte("{resources: {requests: {storage: 1Gi}}}"), &claim.Spec))
	claim.Spec.AccessModes = modes
	s.must(s.client.Create(s.Context(), claim))
}

// create applies an object of ours whose spec is base with the fields of more.
func (s *site) create(kind, name, base, more string) {
	s.Helper()
	fields := map[string]any{}
	s.must(yaml.Unmarshal([]byte(base), &fields))
	s.must(yaml.Unmarshal([]byte(more), &fields))
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(s.namespace)
	u.SetName(name)
	s.must(s.client.Create(s.Context(), u))
}

const workspace = "workspace: {path: /w, volume: {persistentVolumeClaim: {claimName: scratch, subPath: me}}}, input: {directory: in, extension: .txt}"

// task applies a Task of type Local.
func (s *site) task(name, more string) {
	s.Helper()
	s.create("Task", name, "{type: Local, handler: {builtin: echo}, output: {directory: out, extension: .txt}, "+workspace+"}", more)
}

func (s *site) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func (s *site) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: name}
}

func (s *site) get(name string) *v1alpha1.Task {
	s.Helper()
	t := &v1alpha1.Task{}
	s.must(s.client.Get(s.Context(), s.key(name), t))
	return t
}

// pod waits for a Pod of such a name that is as it should be.
func (s *site) pod(name string, ok func(*corev1.Pod) bool) *corev1.Pod {
	s.Helper()
	p := &corev1.Pod{}
	s.wait("Pod "+name, func() bool {
		p = &corev1.Pod{}
		return s.client.Get(s.Context(), s.key(name), p) == nil && ok(p)
	})
	return p
}

func there(*corev1.Pod) bool { return true }

func (s *site) noPod(name string) {
	s.Helper()
	s.wait("the end of Pod "+name, func() bool {
		return client.IgnoreNotFound(s.client.Get(s.Context(), s.key(name), &corev1.Pod{})) == nil && !s.exists(name)
	})
}

func (s *site) exists(name string) bool {
	return s.client.Get(s.Context(), s.key(name), &corev1.Pod{}) == nil
}

// kubelet writes the status of a Pod.
func (s *site) kubelet(name, status string) {
	s.Helper()
	text, err := yaml.YAMLToJSON([]byte("status: " + status))
	s.must(err)
	s.must(s.client.Status().Patch(s.Context(), &corev1.Pod{ObjectMeta: s.meta(name)}, client.RawPatch(types.StrategicMergePatchType, text)))
}

// report writes the status of a Task as its dispatcher or its bridge does.
func (s *site) report(name string, ready v1alpha1.Reason) {
	s.Helper()
	t := s.get(name)
	status := v1alpha1.TaskStatus{ObservedGeneration: t.Generation, Workers: &v1alpha1.WorkerCounts{Desired: 1}}
	for _, c := range []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: string(ready), Message: "so it is"},
		{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionFalse, Reason: string(ready)},
		{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse, Reason: string(v1alpha1.ReasonAsExpected)},
		{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionTrue, Reason: string(v1alpha1.ReasonFilesFailed), Message: "1 file failed"},
	} {
		if c.Type == v1alpha1.ConditionComplete && ready == v1alpha1.ReasonComplete {
			c.Status = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&status.Conditions, c)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	s.must(err)
	u := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(s.namespace)
	u.SetName(name)
	s.must(s.client.Status().Apply(s.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerTask), client.ForceOwnership))
}

// state waits until a Task has exactly these conditions, as in "Ready=False/X Complete=False/X …".
func (s *site) state(name, want string) *v1alpha1.Task {
	s.Helper()
	var t *v1alpha1.Task
	s.wait(want, func() bool { t = s.get(name); return conditionsOf(t) == want })
	return t
}

func conditionsOf(t *v1alpha1.Task) string {
	var parts []string
	for _, c := range t.Status.Conditions {
		parts = append(parts, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return strings.Join(parts, " ")
}

// stalled is all conditions of a Task that a person must act on.
func stalled(reason v1alpha1.Reason) string {
	return strings.ReplaceAll("Ready=False/X Complete=False/X Stalled=True/X Degraded=False/AsExpected", "X", string(reason))
}

func readyMessage(t *v1alpha1.Task) string {
	return meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionReady).Message
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
			s.Fatalf("waiting for %s: %s", what, s.describe())
		case <-tick.C:
		}
	}
}

func (s *site) describe() string {
	var text strings.Builder
	tasks, pods := &v1alpha1.TaskList{}, &corev1.PodList{}
	s.must(s.client.List(context.Background(), tasks, client.InNamespace(s.namespace)))
	for i := range tasks.Items {
		fmt.Fprintf(&text, "\nTask %s: %s", tasks.Items[i].Name, conditionsOf(&tasks.Items[i]))
	}
	s.must(s.client.List(context.Background(), pods, client.InNamespace(s.namespace)))
	for _, p := range pods.Items {
		fmt.Fprintf(&text, "\nPod %s: %s, deleted at %s", p.Name, p.Status.Phase, p.DeletionTimestamp)
	}
	return text.String()
}
