package dispatcher

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/taskstatus"
)

const (
	// startPatience is how long the start of a Pod is nothing to tell of.
	startPatience = 10 * time.Second
	// silencePatience is how long a Pod that runs may be not ready before nothing is heard of it.
	silencePatience = time.Minute
)

// verdictOn says why a dispatcher's Pod does not work; nil if it does, or will soon: it is to be looked at again after next, if
// that is not 0.
func verdictOn(pod *corev1.Pod, now time.Time) (v *taskstatus.Verdict, next time.Duration) {
	if at := pod.DeletionTimestamp; at != nil {
		return after(now, at.Time, startPatience, func() *taskstatus.Verdict { return lost(pod, at.Time) })
	}
	if c := conditionOf(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
		return taskstatus.Stalled(v1alpha1.ReasonPodUnschedulable, "the dispatcher's Pod %s cannot be placed: %s", pod.Name, c.Message), 0
	}
	if !runs(pod) {
		if v := verdictOnContainers(pod); v != nil {
			return v, 0
		}
		if pod.Status.Phase != corev1.PodRunning {
			return after(now, pod.CreationTimestamp.Time, startPatience, func() *taskstatus.Verdict { return starting(pod) })
		}
	}
	if c := conditionOf(pod, corev1.PodReady); c != nil && c.Status == corev1.ConditionFalse && !waitsForOthers(pod) {
		return after(now, c.LastTransitionTime.Time, silencePatience, func() *taskstatus.Verdict { return lost(pod, c.LastTransitionTime.Time) })
	}
	return nil, 0
}

// runs reports whether the dispatcher itself runs. It then tells of a container beside it, that of staging: two who write into the
// same status would do so by turns without end.
func runs(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == containerName && s.State.Running != nil
	})
}

// waitsForOthers reports whether a Pod is not ready though its dispatcher is. Where all containers are, it is the node controller that
// says so of a node of which it hears nothing.
func waitsForOthers(pod *corev1.Pod) bool {
	own, others := false, true
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.Name == containerName {
			own = s.Ready
		} else {
			others = others && s.Ready
		}
	}
	return own && !others
}

func verdictOnContainers(pod *corev1.Pod) *taskstatus.Verdict {
	all := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	for i := range all {
		if s := &all[i]; s.State.Waiting != nil {
			if v := verdictOnContainer(pod, s); v != nil {
				return v
			}
		}
	}
	return nil
}

// after is a Verdict once something has lasted for as long as patience.
func after(now, since time.Time, patience time.Duration, verdict func() *taskstatus.Verdict) (*taskstatus.Verdict, time.Duration) {
	if left := patience - now.Sub(since); left > 0 {
		return nil, left
	}
	return verdict(), 0
}

// verdictOnContainer tells what the kubelet says of a container that waits; nil if it says nothing that is about this. The kubelet's
// words change with each try, so those are left out that a status would be written for again and again.
func verdictOnContainer(pod *corev1.Pod, s *corev1.ContainerStatus) *taskstatus.Verdict {
	w := s.State.Waiting
	switch w.Reason {
	case "ErrImagePull", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "RegistryUnavailable":
		return taskstatus.Stalled(v1alpha1.ReasonImageNotPulled,
			"node %s does not get the image %s: kubectl describe pod %s says why: correct it, or have the administrator do so", pod.Spec.NodeName, imageOf(pod, s), pod.Name)
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError", "CreatePodSandboxError":
		return taskstatus.Stalled(v1alpha1.ReasonContainerNotStarted,
			"the container %s of Pod %s cannot be started: %s: %s", s.Name, pod.Name, w.Reason, oneLine(w.Message))
	case "CrashLoopBackOff":
		return taskstatus.Stalled(v1alpha1.ReasonDispatcherFailing,
			"the container %s of Pod %s ends again and again: %s", s.Name, pod.Name, lastWords(s))
	}
	return nil
}

func imageOf(pod *corev1.Pod, s *corev1.ContainerStatus) string {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == s.Name {
			return c.Image
		}
	}
	return s.Image
}

// lastWords is how a container ended the last time.
func lastWords(s *corev1.ContainerStatus) string {
	t := s.LastTerminationState.Terminated
	if t == nil {
		return "its log may say why"
	}
	lines := strings.Split(strings.TrimSpace(t.Message), "\n")
	return cmp.Or(oneLine(lines[len(lines)-1]), fmt.Sprintf("%s, exit status %d", t.Reason, t.ExitCode))
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func starting(pod *corev1.Pod) *taskstatus.Verdict {
	return &taskstatus.Verdict{
		Reason: v1alpha1.ReasonStarting, Ready: metav1.ConditionFalse,
		Message: fmt.Sprintf("the dispatcher's Pod %s is not running yet: kubectl describe pod %s tells what it waits for", pod.Name, pod.Name),
	}
}

func lost(pod *corev1.Pod, since time.Time) *taskstatus.Verdict {
	return taskstatus.Unknown(v1alpha1.ReasonDispatcherLost,
		"the dispatcher's Pod %s on node %s does not answer since %s; workers go on with what they have", pod.Name, pod.Spec.NodeName, since.UTC().Format(time.RFC3339))
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

// hasEnded reports whether a Pod will never run again: it was evicted, or its node refused it or was shut down.
func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// isReady reports whether a dispatcher works.
func isReady(pod *corev1.Pod) bool {
	c := conditionOf(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}
