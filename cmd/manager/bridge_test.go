package main

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const unknown = "Ready=Unknown/X Complete=False/X Stalled=False/AsExpected Degraded=False/AsExpected"

// slurm applies a Slurm Task that a bridge holds, and makes the bridge's Lease, which has expired a second later.
func (s *site) slurm(name string) {
	s.Helper()
	s.create("Task", name, "{type: Slurm, slurm: {time: 1h}, handler: {builtin: echo}, output: {directory: out, extension: .txt}, "+workspace+"}", "{}")
	s.must(s.client.Patch(s.Context(), s.get(name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["tigerflow.dev/workers"]}}`))))
	lease := &coordinationv1.Lease{ObjectMeta: s.meta("tigerflow-bridge-default")}
	lease.Labels = map[string]string{v1alpha1.LabelBridge: "default"}
	lease.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: new("login1/1-1"), LeaseDurationSeconds: new(int32(1)), RenewTime: &metav1.MicroTime{Time: time.Unix(1_800_000_000, 0)},
	}
	s.must(s.client.Create(s.Context(), lease))
}

func TestBridgeLost(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.slurm("t")
	lost := s.state("t", strings.ReplaceAll(unknown, "X", "BridgeLost"))
	if got, want := readyMessage(lost), `the Slurm bridge "default", login1/1-1, was last seen at 2027-01-15T08:00:00Z: start slurmbridge again; its jobs may go on meanwhile`; got != want {
		t.Errorf("it says %s", got)
	}
	if s.exists("tigerflow-task-t") {
		t.Error("a Slurm Task has a dispatcher's Pod")
	}
	s.report("t", v1alpha1.ReasonRunning) // it is back: nobody takes that from it
	if c := meta.FindStatusCondition(s.get("t").Status.Conditions, v1alpha1.ConditionReady); c.Status != metav1.ConditionTrue {
		t.Errorf("the Task is %+v", c)
	}
}

// A deleted Task of a lost bridge says how to give its jobs up, and goes when somebody does.
func TestAbandon(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.slurm("t")
	s.must(s.client.Delete(t.Context(), s.get("t")))
	blocked := s.state("t", strings.ReplaceAll(unknown, "X", "DeletionBlocked"))
	if got, want := readyMessage(blocked), "or give them up: kubectl annotate -n testabandon task t tigerflow.dev/abandon=true"; !strings.HasSuffix(got, want) {
		t.Errorf("it says %s", got)
	}
	s.must(s.client.Patch(t.Context(), blocked, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"tigerflow.dev/abandon":"true"}}}`))))
	s.gone("t")
}

// A namespace that is deleted takes the account of its bridge with it: its Tasks wait for nobody.
func TestNamespaceOfALostBridgeIsDeleted(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.slurm("t")
	s.must(s.client.Delete(t.Context(), s.get("t")))
	s.state("t", strings.ReplaceAll(unknown, "X", "DeletionBlocked"))
	namespace := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	namespace.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("Namespace"))
	namespace.APIVersion = "v1"
	s.must(s.client.Delete(t.Context(), namespace))
	s.gone("t")
}

func (s *site) gone(name string) {
	s.Helper()
	s.wait("the end of Task "+name, func() bool {
		list := &v1alpha1.TaskList{}
		s.must(s.client.List(s.Context(), list, client.InNamespace(s.namespace)))
		return len(list.Items) == 0
	})
}
