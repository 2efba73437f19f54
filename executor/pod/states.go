package pod

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/inpod"
)

// deadlineSlack is for how long after the time that a deleted Pod was given its node may still have nothing to say.
const deadlineSlack = time.Minute

// startTime is how long a Pod with a node usually takes to start, at most. Why one takes longer only its events tell, which this
// process may not read.
const startTime = 30 * time.Second

// facts are what a Pod shows of its worker.
type facts struct {
	pod           *corev1.Pod
	install, main *corev1.ContainerStatus          // of the init container and of the worker's own; nil if there is none yet
	failed, ended *corev1.ContainerStateTerminated // how these ended: failed only if it was not well
	waiting       *corev1.ContainerStateWaiting    // what the next of them waits for
	disrupted     *corev1.PodCondition             // the control plane, or the node itself, ends the Pod for reasons of its own
	meant         bool                             // this process wants it to end
	stopping      bool                             // and the API server knows
	slow          bool                             // it was made longer ago than a start takes
	overdue       bool                             // its node has let the time for its end pass
}

// state is what follows from facts: the worker's phase, whether its end is certain, and what a person must mend.
type state struct {
	name      string // of the row
	when      func(facts) bool
	phase     executor.Phase
	witnessed bool
	stall     func(facts) *executor.StalledError // nil is nothing
}

// states is the one table of Pods. The first row that fits counts. Rows that rest on how a container ended, which only the
// kubelet of its node tells, are witnessed; a phase or a condition of the Pod, which the control plane may set as well, is no
// witness. Reasons are those of k8s.io/api/core/v1, of the kubelet (pkg/kubelet: container, images, lifecycle, eviction, nodeshutdown)
// and of containerd.
var states = []state{
	{"Completed", func(f facts) bool { return f.ended != nil && f.ended.ExitCode == 0 }, executor.Succeeded, true, nil},
	{"OOMKilled", func(f facts) bool { return f.ended != nil && f.ended.Reason == "OOMKilled" }, executor.OutOfMemory, true, nil},
	{"Evicted", func(f facts) bool { return f.over() != nil && f.pod.Status.Reason == "Evicted" }, executor.Lost, true, nil},
	{"DeadlineExceeded", func(f facts) bool { return f.over() != nil && f.pod.Status.Reason == "DeadlineExceeded" }, executor.Expired, true, nil},
	{"NodeShutdown", func(f facts) bool { return f.over() != nil && f.shutdown() }, executor.Lost, true, nil},
	{"Stopped", func(f facts) bool { return f.over() != nil && f.meant }, executor.Stopped, true, nil},
	{"Disrupted", func(f facts) bool { return f.over() != nil && f.disrupted != nil }, executor.Lost, true, nil},
	{"Deleted", func(f facts) bool { return f.over() != nil && f.pod.DeletionTimestamp != nil }, executor.Lost, true, nil},
	{"Vanished", func(f facts) bool { return f.over() != nil && vanished(f.over().Reason) }, executor.Lost, true, nil},
	{"NotExecutable", func(f facts) bool { return f.failed != nil && f.failed.ExitCode == inpod.NotExecutable }, executor.Failed, true, notExecutable},
	{"NotInstalled", func(f facts) bool { return f.failed != nil }, executor.Failed, true, notInstalled},
	{"StartError", func(f facts) bool { return f.ended != nil && notStarted(f.ended.Reason) }, executor.Failed, true, notStartable},
	{"Failed", func(f facts) bool { return f.ended != nil }, executor.Failed, true, nil},

	{"NotAdmitted", func(f facts) bool { return f.pod.Status.Reason == "SupplementalGroupsPolicyNotSupported" }, executor.Lost, false, notAdmitted},
	{"NodeGone", func(f facts) bool {
		return f.pod.Status.Phase == corev1.PodFailed || f.pod.Status.Phase == corev1.PodSucceeded
	}, executor.Lost, false, nil},
	{"NodeLost", func(f facts) bool { return f.overdue }, executor.Lost, false, nil},

	{"Terminating", func(f facts) bool { return f.stopping || f.pod.DeletionTimestamp != nil }, executor.Terminating, false, nil},
	{"Unknown", func(f facts) bool { return f.pod.Status.Phase == corev1.PodUnknown }, executor.Unknown, false, nil},
	{"NodeUnreachable", func(f facts) bool { return f.running() && f.unreachable() }, executor.Unknown, false, nil},
	{"Running", facts.running, executor.Running, false, nil},
	{"Unscheduled", func(f facts) bool { return f.pod.Spec.NodeName == "" }, executor.Pending, false, nil},
	{"ImageNotPulled", func(f facts) bool { return f.waitsFor(imageReasons) }, executor.Held, false, notPulled},
	{"ContainerNotStarted", func(f facts) bool { return f.waitsFor(configReasons) }, executor.Held, false, notConfigured},
	{"Starting", func(facts) bool { return true }, executor.Starting, false, nil},
}

var (
	imageReasons  = []string{"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
	configReasons = []string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)

// workerOf says where the worker of a Pod stands.
func workerOf(p *corev1.Pod, meant, stopping bool, now time.Time) executor.Worker {
	f := factsOf(p)
	f.meant, f.stopping, f.overdue = meant, stopping, overdue(p, now)
	f.slow = now.Sub(p.CreationTimestamp.Time) > startTime
	s := states[slices.IndexFunc(states, func(s state) bool { return s.when(f) })]
	w := executor.Worker{Phase: s.phase, Witnessed: s.witnessed, Reason: f.reason(s), Ref: p.Name, Node: p.Spec.NodeName, StartedAt: f.startedAt()}
	if over := f.over(); over != nil && s.witnessed {
		w.EndedAt = over.FinishedAt.Time
		if f.ended != nil {
			w.Exit = exitOf(f.ended.ExitCode)
		}
	}
	if s.stall != nil {
		w.Stall = s.stall(f)
	}
	return w
}

// endOf is what a worker came to whose Pod is gone: as it was at its end if it was watched, else as it once was. Without a word of
// its node only one that never had a node is sure to have ended.
func endOf(last *corev1.Pod, meant, watched bool, now time.Time) executor.Worker {
	w := workerOf(last, meant, false, now)
	if w.Phase.Terminal() {
		return w
	}
	w.Phase, w.Stall, w.EndedAt, w.Witnessed = executor.Lost, nil, now, watched && last.Spec.NodeName == ""
	switch w.Reason = "the Pod is gone, and its node " + last.Spec.NodeName + " has not told how it ended"; {
	case w.Witnessed:
		w.Reason = "the Pod was deleted before it had a node"
		if meant {
			w.Phase = executor.Stopped
		}
	case last.Spec.NodeName == "":
		w.Reason = "the Pod is gone, and it was not seen whether it had a node"
	}
	return w
}

func factsOf(p *corev1.Pod) facts {
	f := facts{pod: p, install: statusOf(p.Status.InitContainerStatuses, installContainer), main: statusOf(p.Status.ContainerStatuses, workerContainer)}
	for _, c := range []*corev1.ContainerStatus{f.install, f.main} {
		if c != nil && c.State.Waiting != nil && (f.waiting == nil || f.waiting.Reason == "" || f.waiting.Reason == "PodInitializing") {
			f.waiting = c.State.Waiting
		}
	}
	if f.install != nil && f.install.State.Terminated != nil && f.install.State.Terminated.ExitCode != 0 {
		f.failed = f.install.State.Terminated
	}
	if f.main != nil && f.failed == nil {
		f.ended = f.main.State.Terminated
	}
	if i := slices.IndexFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	}); i >= 0 {
		f.disrupted = &p.Status.Conditions[i]
	}
	return f
}

func statusOf(all []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	if i := slices.IndexFunc(all, func(c corev1.ContainerStatus) bool { return c.Name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// over is the end that the kubelet has seen of whichever container was the last.
func (f facts) over() *corev1.ContainerStateTerminated {
	if f.failed != nil {
		return f.failed
	}
	return f.ended
}

func (f facts) running() bool { return f.main != nil && f.main.State.Running != nil }

func (f facts) waitsFor(reasons []string) bool {
	return f.waiting != nil && slices.Contains(reasons, f.waiting.Reason)
}

// unreachable reports whether the node controller has marked the Pod of a node that it does not hear of: not ready, though
// by the kubelet's last word all of its containers are (pkg/util/controller/node MarkPodsNotReady).
func (f facts) unreachable() bool {
	ready := f.condition(corev1.PodReady)
	return f.main.Ready && ready != nil && ready.Status != corev1.ConditionTrue && len(f.pod.Spec.ReadinessGates) == 0
}

func (f facts) condition(kind corev1.PodConditionType) *corev1.PodCondition {
	if i := slices.IndexFunc(f.pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind }); i >= 0 {
		return &f.pod.Status.Conditions[i]
	}
	return nil
}

// shutdown reports whether the node was shut down in good order.
func (f facts) shutdown() bool {
	return f.pod.Status.Reason == "Terminated" || f.pod.Status.Reason == "NodeShutdown"
}

// vanished reports that nobody saw how a container ended that is there no more: the kubelet, or containerd, which says so of what ran
// when its node went down.
func vanished(reason string) bool { return reason == "ContainerStatusUnknown" || reason == "Unknown" }

func notStarted(reason string) bool { return reason == "StartError" || reason == "ContainerCannotRun" }

// overdue reports whether a deleted Pod is still there so long after its end was due that its node must be away.
func overdue(p *corev1.Pod, now time.Time) bool {
	return p.DeletionTimestamp != nil && now.Sub(p.DeletionTimestamp.Time) > deadlineSlack
}

func (f facts) startedAt() time.Time {
	switch {
	case f.running():
		return f.main.State.Running.StartedAt.Time
	case f.ended != nil:
		return f.ended.StartedAt.Time
	}
	return time.Time{}
}

// exitOf reads an exit status. Runtimes tell of signals as shells do.
func exitOf(code int32) *executor.Exit {
	if code > 128 && code <= 128+64 {
		return &executor.Exit{Code: -1, Signal: syscall.Signal(code - 128)}
	}
	return &executor.Exit{Code: int(code)}
}

// reason says in a line why a worker is in its phase; empty if there is nothing to say.
func (f facts) reason(s state) string {
	switch {
	case s.phase == executor.Running, s.phase == executor.Succeeded, s.name == "Starting" && !f.slow:
		return ""
	case s.name == "Starting" && f.waiting != nil:
		return f.waiting.Reason + ": kubectl describe pod " + f.pod.Name + " tells why it takes so long"
	case s.phase == executor.Stopped:
		return "stopped"
	case s.name == "Deleted":
		return "somebody has deleted the Pod"
	case s.name == "NodeUnreachable", s.name == "Unknown":
		return "the node " + f.pod.Spec.NodeName + " does not answer"
	case s.name == "NodeLost":
		return "the node " + f.pod.Spec.NodeName + " has not ended it in time"
	case s.name == "Vanished" && f.over().Reason == "Unknown":
		return "the node " + f.pod.Spec.NodeName + " does not know how it ended: it was down meanwhile"
	}
	return f.words()
}

// words are the cluster's own.
func (f facts) words() string {
	scheduled := f.condition(corev1.PodScheduled)
	switch over := f.over(); {
	case f.pod.Spec.NodeName == "" && scheduled != nil:
		return sentence(scheduled.Reason, scheduled.Message)
	case f.pod.Status.Reason != "":
		return sentence(f.pod.Status.Reason, f.pod.Status.Message)
	case f.disrupted != nil:
		return sentence(f.disrupted.Reason, f.disrupted.Message)
	case over != nil:
		exit := exitOf(over.ExitCode)
		parts := []string{over.Reason, exit.String(), lastLine(over.Message)}
		if over.Reason == "Error" {
			parts[0] = ""
		}
		if exit.Signal != 0 && over.Reason != "ContainerStatusUnknown" { // what it wrote last says nothing of its end
			parts[2] = ""
		}
		return sentence(parts...)
	case f.waiting != nil:
		return sentence(f.waiting.Reason, f.waiting.Message)
	}
	return ""
}

// sentence puts on one line what there is to say.
func sentence(parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ": ")
}

// lastLine is the end of what a container wrote, where the cause stands.
func lastLine(message string) string {
	message = strings.TrimSpace(message)
	return strings.TrimSpace(message[strings.LastIndexByte(message, '\n')+1:])
}

func stall(reason v1alpha1.Reason, format string, args ...any) *executor.StalledError {
	return &executor.StalledError{Reason: string(reason), Message: fmt.Sprintf(format, args...)}
}

func notExecutable(f facts) *executor.StalledError {
	return stall(v1alpha1.ReasonWorkerNotExecutable,
		"the worker cannot be run from a volume of the node %s (%s): have the image bring it, and set spec.container.workerPath",
		f.pod.Spec.NodeName, lastLine(f.failed.Message))
}

func notInstalled(f facts) *executor.StalledError {
	return stall(v1alpha1.ReasonWorkerNotRunnable, "the worker cannot be put into the Pod %s: %s: ask the administrator of the manager",
		f.pod.Name, cmp.Or(lastLine(f.failed.Message), f.failed.Reason))
}

// notStartable is for a container whose first process is not there, or cannot be run.
func notStartable(f facts) *executor.StalledError {
	said := strings.Join(strings.Fields(f.ended.Message), " ")
	if f.install == nil { // the image brings the worker
		return stall(v1alpha1.ReasonWorkerNotExecutable, "spec.container.workerPath: the image's worker cannot be run: %s: correct the path or the image", said)
	}
	return stall(v1alpha1.ReasonWorkerNotExecutable, "the container of the Pod %s does not start: %s: correct spec.container.image, or spec.resources", f.pod.Name, said)
}

func notAdmitted(f facts) *executor.StalledError {
	return stall(v1alpha1.ReasonPodRefused, "the node %s refuses the Pod: %s: ask the administrator for nodes whose runtime keeps to supplementalGroupsPolicy Strict",
		f.pod.Spec.NodeName, f.pod.Status.Message)
}

func notPulled(f facts) *executor.StalledError {
	container, mend := f.main, "correct spec.container.image, or name a secret for its registry in spec.pod.imagePullSecrets"
	if f.install != nil && f.install.State.Waiting == f.waiting {
		container, mend = f.install, "ask the administrator of the manager, whose image it is"
	}
	return stall(v1alpha1.ReasonImageNotPulled, "the image %s cannot be had: %s: %s", container.Image,
		cmp.Or(strings.Join(strings.Fields(f.waiting.Message), " "), f.waiting.Reason), mend)
}

func notConfigured(f facts) *executor.StalledError {
	return stall(v1alpha1.ReasonContainerNotStarted, "the container of the Pod %s cannot be made: %s: correct what it names in spec.container or spec.pod",
		f.pod.Name, cmp.Or(strings.Join(strings.Fields(f.waiting.Message), " "), f.waiting.Reason))
}
