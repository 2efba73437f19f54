package dispatcher

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// What becomes of a dispatcher's Pod, row by row.
func TestVerdictOnAPod(t *testing.T) {
	made := time.Unix(1_800_000_000, 0)
	at := func(after time.Duration) metav1.Time { return metav1.NewTime(made.Add(after)) }
	waiting := func(reason, message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{
				Name: "dispatcher", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			}}
		}
	}
	condition := func(c corev1.PodCondition) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Status.Conditions = append(p.Status.Conditions, c) }
	}
	running := func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }
	ended := func(message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: message}
		}
	}
	works := corev1.ContainerStatus{Name: "dispatcher", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	beside := func(own corev1.ContainerStatus, reason string) func(*corev1.Pod) { // the container of staging waits
		return func(p *corev1.Pod) {
			waiting(reason, "")(p)
			p.Status.ContainerStatuses[0].Name = "staging"
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, own)
		}
	}
	notReady := condition(corev1.PodCondition{Type: corev1.PodReady, Status: "False", LastTransitionTime: at(0)})
	for name, tt := range map[string]struct {
		pod     []func(*corev1.Pod)
		age     time.Duration
		reason  v1alpha1.Reason
		ready   metav1.ConditionStatus
		stalled bool
		message string
		next    time.Duration
	}{
		"new":                 {age: 4 * time.Second, next: 6 * time.Second},
		"long in coming":      {age: 10 * time.Second, reason: v1alpha1.ReasonStarting, ready: "False", message: "the dispatcher's Pod d is not running yet: kubectl describe pod d tells what it waits for"},
		"creating":            {pod: []func(*corev1.Pod){waiting("ContainerCreating", "")}, age: time.Second, next: 9 * time.Second},
		"runs, not ready yet": {pod: []func(*corev1.Pod){running, condition(corev1.PodCondition{Type: corev1.PodReady, Status: "False", LastTransitionTime: at(0)})}, age: time.Second, next: 59 * time.Second},
		"works":               {pod: []func(*corev1.Pod){running, condition(corev1.PodCondition{Type: corev1.PodReady, Status: "True"})}, age: time.Hour},
		"silent": {
			pod: []func(*corev1.Pod){running, condition(corev1.PodCondition{Type: corev1.PodReady, Status: "False", LastTransitionTime: at(time.Minute)})}, age: 2 * time.Minute,
			reason: v1alpha1.ReasonDispatcherLost, ready: "Unknown", message: "the dispatcher's Pod d on node n does not answer since 2027-01-15T08:01:00Z; workers go on with what they have",
		},
		"ends": {pod: []func(*corev1.Pod){func(p *corev1.Pod) { p.DeletionTimestamp = new(at(time.Minute)) }}, age: time.Minute, next: 10 * time.Second},
		"does not end": {
			pod: []func(*corev1.Pod){func(p *corev1.Pod) { p.DeletionTimestamp = new(at(0)) }}, age: time.Minute,
			reason: v1alpha1.ReasonDispatcherLost, ready: "Unknown", message: "the dispatcher's Pod d on node n does not answer since 2027-01-15T08:00:00Z; workers go on with what they have",
		},
		"no node": {
			pod:    []func(*corev1.Pod){condition(corev1.PodCondition{Type: corev1.PodScheduled, Status: "False", Reason: "Unschedulable", Message: "0/3 nodes are available"})},
			reason: v1alpha1.ReasonPodUnschedulable, ready: "False", stalled: true, message: "the dispatcher's Pod d cannot be placed: 0/3 nodes are available",
		},
		"gated": {pod: []func(*corev1.Pod){condition(corev1.PodCondition{Type: corev1.PodScheduled, Status: "False", Reason: "SchedulingGated"})}, next: 10 * time.Second},
		"image pulled in vain": {
			pod: []func(*corev1.Pod){waiting("ErrImagePull", "not found")}, reason: v1alpha1.ReasonImageNotPulled, ready: "False", stalled: true,
			message: "node n does not get the image i: kubectl describe pod d says why: correct it, or have the administrator do so",
		},
		"image pulled again later": {
			pod: []func(*corev1.Pod){waiting("ImagePullBackOff", "back-off 10s")}, reason: v1alpha1.ReasonImageNotPulled, ready: "False", stalled: true,
			message: "node n does not get the image i: kubectl describe pod d says why: correct it, or have the administrator do so",
		},
		"no such user": {
			pod: []func(*corev1.Pod){waiting("CreateContainerConfigError", "container has\nrunAsNonRoot")}, reason: v1alpha1.ReasonContainerNotStarted, ready: "False", stalled: true,
			message: "the container dispatcher of Pod d cannot be started: CreateContainerConfigError: container has runAsNonRoot",
		},
		"crashes": {
			pod:    []func(*corev1.Pod){running, waiting("CrashLoopBackOff", "back-off 20s"), ended("one\nerror: no such flag\n")},
			reason: v1alpha1.ReasonDispatcherFailing, ready: "False", stalled: true,
			message: "the container dispatcher of Pod d ends again and again: error: no such flag",
		},
		// The dispatcher itself tells of what it waits for: two who write by turns would do so without end.
		"works, the image beside it is not pulled": {pod: []func(*corev1.Pod){beside(works, "ImagePullBackOff"), notReady}, age: time.Hour},
		"works, what is beside it crashes":         {pod: []func(*corev1.Pod){running, beside(works, "CrashLoopBackOff"), notReady}, age: time.Hour},
		"its node is silent": {
			pod: []func(*corev1.Pod){running, notReady, func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{works} }}, age: time.Hour,
			reason: v1alpha1.ReasonDispatcherLost, ready: "Unknown", message: "the dispatcher's Pod d on node n does not answer since 2027-01-15T08:00:00Z; workers go on with what they have",
		},
		"the image beside it is not pulled": {
			pod:    []func(*corev1.Pod){beside(corev1.ContainerStatus{Name: "dispatcher"}, "ImagePullBackOff"), notReady},
			reason: v1alpha1.ReasonImageNotPulled, ready: "False", stalled: true,
			message: "node n does not get the image j: kubectl describe pod d says why: correct it, or have the administrator do so",
		},
		"the worker's image is not pulled": {
			pod: []func(*corev1.Pod){func(p *corev1.Pod) {
				waiting("ImagePullBackOff", "")(p)
				p.Status.ContainerStatuses[0].Name = "install"
				p.Status.InitContainerStatuses, p.Status.ContainerStatuses = p.Status.ContainerStatuses, nil
			}},
			reason: v1alpha1.ReasonImageNotPulled, ready: "False", stalled: true,
			message: "node n does not get the image k: kubectl describe pod d says why: correct it, or have the administrator do so",
		},
		"crashes in silence": {
			pod:    []func(*corev1.Pod){running, waiting("CrashLoopBackOff", ""), ended("")},
			reason: v1alpha1.ReasonDispatcherFailing, ready: "False", stalled: true,
			message: "the container dispatcher of Pod d ends again and again: Error, exit status 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "d", CreationTimestamp: at(0)},
				Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "dispatcher", Image: "i"}, {Name: "staging", Image: "j"}}, InitContainers: []corev1.Container{{Name: "install", Image: "k"}}},
				Status:     corev1.PodStatus{Phase: corev1.PodPending},
			}
			for _, change := range tt.pod {
				change(pod)
			}
			v, next := verdictOn(pod, made.Add(tt.age))
			if next != tt.next {
				t.Errorf("it is looked at again after %s, want %s", next, tt.next)
			}
			if v == nil || tt.reason == "" {
				if v != nil || tt.reason != "" {
					t.Fatalf("got %+v, want %s", v, tt.reason)
				}
				return
			}
			if v.Reason != tt.reason || v.Ready != tt.ready || v.Stalled != tt.stalled || v.Message != tt.message {
				t.Errorf("got %+v", v)
			}
		})
	}
}
