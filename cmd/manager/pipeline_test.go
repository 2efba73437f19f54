package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// A Pipeline has one dispatcher for all its Tasks whose workers are Pods. It goes when the Pipeline is complete: until then that
// may ask more of a Task, such as a last count.
func TestPipelineHasOneDispatcher(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.create("Pipeline", "p", "{output: {directory: out}, completeAfterIdle: 0s, "+workspace+"}", `{tasks: [
		{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}},
		{name: b, dependsOn: a, type: LocalAsync, localAsync: {concurrency: 2}, output: {extension: .b}, handler: {builtin: echo}},
		{name: c, dependsOn: b, type: Slurm, slurm: {time: 1h}, output: {extension: .c}, handler: {builtin: echo}}]}`)
	pod := s.pod("tigerflow-pipeline-p", there)
	if owner := metav1.GetControllerOf(pod); owner.Kind != "Pipeline" || owner.Name != "p" {
		t.Errorf("it belongs to %+v", owner)
	}
	s.wait("all Tasks", func() bool { return s.count(&v1alpha1.TaskList{}) == 3 })
	s.kubelet("tigerflow-pipeline-p", ready)
	s.report("p-a", v1alpha1.ReasonComplete)
	s.report("p-c", v1alpha1.ReasonRunning)
	s.report("p-b", v1alpha1.ReasonComplete)
	first := s.pod("tigerflow-pipeline-p", there)
	if first.UID != pod.UID {
		t.Error("it went before the Pipeline was complete")
	}
	s.complete("p-a", "p-b", "p-c")
	if n := s.count(&corev1.PodList{}); n != 0 {
		t.Errorf("%d Pods are left", n)
	}
}

// complete reports Tasks as complete, whatever the Pipeline makes of their specs meanwhile, until no Pod is left.
func (s *site) complete(names ...string) {
	s.Helper()
	s.wait("the end of the Pods", func() bool {
		for _, name := range names {
			if t := s.get(name); t.Status.ObservedGeneration != t.Generation || len(t.Status.Conditions) == 0 || t.Status.Conditions[1].Status != metav1.ConditionTrue {
				s.report(name, v1alpha1.ReasonComplete)
			}
		}
		return s.count(&corev1.PodList{}) == 0
	})
}

func (s *site) count(list client.ObjectList) int {
	s.Helper()
	s.must(s.client.List(s.Context(), list, client.InNamespace(s.namespace)))
	switch l := list.(type) {
	case *v1alpha1.TaskList:
		return len(l.Items)
	case *corev1.PodList:
		return len(l.Items)
	}
	return 0
}

// The functions that choose files have a container of their own, without the token.
func TestPipelineWithFunctions(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.create("Pipeline", "p", "{output: {directory: out}, staging: [{callable: 'choose:some'}], "+workspace+"}",
		"{tasks: [{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}, container: {image: author:1}}]}")
	pod := s.pod("tigerflow-pipeline-p", there)
	if len(pod.Spec.Containers) != 2 || pod.Spec.Containers[1].Image != "author:1" || *pod.Spec.AutomountServiceAccountToken {
		t.Fatalf("the Pod is %+v", pod.Spec)
	}
	for _, mount := range pod.Spec.Containers[1].VolumeMounts {
		if mount.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" {
			t.Error("the container of the author's functions has the token")
		}
	}
	if args := pod.Spec.Containers[0].Args; args[len(args)-1] != "--staging-socket=/staging/socket" {
		t.Errorf("the flags are %v", args)
	}
}

// A Task that others have changed is written as a whole again.
func TestPipelineTakesItsTasksBack(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.create("Pipeline", "p", "{output: {directory: out}, "+workspace+"}", "{tasks: [{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}}]}")
	s.wait("the Task", func() bool { return s.count(&v1alpha1.TaskList{}) == 1 })
	s.must(s.client.Patch(t.Context(), s.get("p-a"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"timeout":"1h"}}`))))
	s.wait("the Task to be as it was", func() bool { return s.get("p-a").Spec.Timeout == nil })
}

// A Task that somebody deletes is made anew: whether it is there is asked with the rights that the manager has.
func TestPipelineMakesADeletedTaskAnew(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.create("Pipeline", "p", "{output: {directory: out}, "+workspace+"}", "{tasks: [{name: a, type: Local, output: {extension: .a}, handler: {builtin: echo}}]}")
	s.wait("the Task", func() bool { return s.count(&v1alpha1.TaskList{}) == 1 })
	first := s.get("p-a")
	s.must(s.client.Delete(t.Context(), first))
	s.wait("the Task to be made anew", func() bool {
		now := &v1alpha1.Task{}
		return s.client.Get(t.Context(), s.key("p-a"), now) == nil && now.UID != first.UID
	})
}
