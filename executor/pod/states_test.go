package pod

import (
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/executor"
)

var moment = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// pods make Pods as the control plane and kubelets show them.
type change func(*corev1.Pod)

func podOf(changes ...change) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "t-k-0-r1", CreationTimestamp: metav1.NewTime(moment)}, Spec: corev1.PodSpec{NodeName: "n1"}}
	for _, c := range changes {
		c(p)
	}
	return p
}

func phase(p corev1.PodPhase, reason, message string) change {
	return func(pod *corev1.Pod) { pod.Status.Phase, pod.Status.Reason, pod.Status.Message = p, reason, message }
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) change {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason, Message: message})
	}
}

func container(name string, s corev1.ContainerState, ready bool) change {
	return func(p *corev1.Pod) {
		c := corev1.ContainerStatus{Name: name, Image: "example.org/" + name, State: s, Ready: ready}
		if name == installContainer {
			p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, c)
			return
		}
		// An injected container beside it says nothing.
		other := corev1.ContainerStatus{Name: "proxy", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 7}}}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, other, c)
	}
}

func ended(name string, code int32, reason, message string) change {
	return container(name, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: metav1.NewTime(moment), FinishedAt: metav1.NewTime(moment.Add(time.Minute)),
	}}, false)
}

func runs(p *corev1.Pod) {
	container(workerContainer, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(moment)}}, true)(p)
}

func waits(name, reason, message string) change {
	return container(name, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}, false)
}

func deleted(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: moment} }

func homeless(p *corev1.Pod) { p.Spec.NodeName = "" }

var (
	installed = ended(installContainer, 0, "Completed", "")
	asked     = change(nil) // this process has asked for the end
)

func TestStates(t *testing.T) {
	disrupted := func(reason, message string) change {
		return condition(corev1.DisruptionTarget, corev1.ConditionTrue, reason, message)
	}
	tests := []struct {
		row     string // of the table
		changes []change
		after   time.Duration // of the moment
		phase   executor.Phase
		witness bool
		reason  string
		stall   string // reason and message
	}{
		{"Unscheduled", []change{homeless}, 0, executor.Pending, false, "", ""},
		{
			"Unscheduled",
			[]change{homeless, condition(corev1.PodScheduled, corev1.ConditionFalse, "Unschedulable", "0/1 nodes are available:\n1 Insufficient cpu.")},
			0, executor.Pending, false, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.", "",
		},
		{"Starting", nil, time.Hour, executor.Starting, false, "", ""},
		{
			"Starting",
			[]change{waits(installContainer, "ContainerCreating", ""), waits(workerContainer, "PodInitializing", "")},
			startTime, executor.Starting, false, "", "",
		},
		{
			"Starting",
			[]change{waits(installContainer, "ContainerCreating", ""), waits(workerContainer, "PodInitializing", "")},
			startTime + time.Second, executor.Starting, false, "ContainerCreating: kubectl describe pod t-k-0-r1 tells why it takes so long", "",
		},
		{
			"ImageNotPulled",
			[]change{waits(installContainer, "ImagePullBackOff", `Back-off pulling image "x"`), waits(workerContainer, "PodInitializing", "")},
			0, executor.Held, false, `ImagePullBackOff: Back-off pulling image "x"`,
			`ImageNotPulled: the image example.org/install cannot be had: Back-off pulling image "x": ask the administrator of the manager, whose image it is`,
		},
		{
			"ImageNotPulled",
			[]change{installed, waits(workerContainer, "ErrImagePull", "not found")},
			0, executor.Held, false, "ErrImagePull: not found",
			"ImageNotPulled: the image example.org/worker cannot be had: not found: correct spec.container.image, or name a secret for its registry in spec.pod.imagePullSecrets",
		},
		{
			"ImageNotPulled",
			[]change{installed, waits(workerContainer, "InvalidImageName", "")},
			0, executor.Held, false, "InvalidImageName",
			"ImageNotPulled: the image example.org/worker cannot be had: InvalidImageName: correct spec.container.image, or name a secret for its registry in spec.pod.imagePullSecrets",
		},
		{
			"ContainerNotStarted",
			[]change{installed, waits(workerContainer, "CreateContainerConfigError", `secret "s" not found`)},
			0, executor.Held, false,
			`CreateContainerConfigError: secret "s" not found`,
			`ContainerNotStarted: the container of the Pod t-k-0-r1 cannot be made: secret "s" not found: correct what it names in spec.container or spec.pod`,
		},
		{"Running", []change{installed, runs}, 0, executor.Running, false, "", ""},
		{"Running", []change{installed, runs, condition(corev1.PodReady, corev1.ConditionTrue, "", "")}, 0, executor.Running, false, "", ""},
		{
			"NodeUnreachable",
			[]change{installed, runs, condition(corev1.PodReady, corev1.ConditionFalse, "", "")},
			0, executor.Unknown, false, "the node n1 does not answer", "",
		},
		{"Unknown", []change{installed, runs, phase(corev1.PodUnknown, "NodeLost", "")}, 0, executor.Unknown, false, "the node n1 does not answer", ""},
		{"Terminating", []change{installed, runs, deleted}, deadlineSlack, executor.Terminating, false, "", ""},
		{"Terminating", []change{installed, runs, asked}, 0, executor.Terminating, false, "", ""},

		{"Completed", []change{installed, ended(workerContainer, 0, "Completed", "")}, 0, executor.Succeeded, true, "", ""},
		{"Completed", []change{installed, ended(workerContainer, 0, "Completed", ""), deleted, asked}, 0, executor.Succeeded, true, "", ""},
		{
			"Completed",
			[]change{installed, ended(workerContainer, 0, "Completed", ""), phase(corev1.PodFailed, "Evicted", "low")},
			0, executor.Succeeded, true, "", "",
		},
		{
			"Failed",
			[]change{installed, ended(workerContainer, 3, "Error", "x\nerror: opening the log: permission denied\n")},
			0, executor.Failed, true, "exit status 3: error: opening the log: permission denied", "",
		},
		{"Failed", []change{installed, ended(workerContainer, 137, "Error", "the log of this worker is /x")}, 0, executor.Failed, true, "signal: killed", ""},
		{"OOMKilled", []change{installed, ended(workerContainer, 137, "OOMKilled", "")}, 0, executor.OutOfMemory, true, "OOMKilled: signal: killed", ""},
		{"Stopped", []change{installed, ended(workerContainer, 137, "Error", ""), deleted, asked}, 0, executor.Stopped, true, "stopped", ""},
		{"Deleted", []change{installed, ended(workerContainer, 137, "Error", ""), deleted}, 0, executor.Lost, true, "somebody has deleted the Pod", ""},
		{
			"Evicted",
			[]change{installed, ended(workerContainer, 137, "Error", ""), phase(corev1.PodFailed, "Evicted", "The node was low on resource: memory.")},
			0, executor.Lost, true, "Evicted: The node was low on resource: memory.", "",
		},
		{
			"DeadlineExceeded",
			[]change{installed, ended(workerContainer, 143, "Error", ""), phase(corev1.PodFailed, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")},
			0, executor.Expired, true, "DeadlineExceeded: Pod was active on the node longer than the specified deadline", "",
		},
		{
			"NodeShutdown",
			[]change{installed, ended(workerContainer, 143, "Error", ""), phase(corev1.PodFailed, "Terminated", "Pod was terminated in response to imminent node shutdown.")},
			0, executor.Lost, true, "Terminated: Pod was terminated in response to imminent node shutdown.", "",
		},
		{
			"Disrupted",
			[]change{installed, ended(workerContainer, 137, "Error", ""), deleted, disrupted("PreemptionByScheduler", "higher priority")},
			0, executor.Lost, true, "PreemptionByScheduler: higher priority", "",
		},
		{
			"Disrupted",
			[]change{installed, ended(workerContainer, 143, "Error", ""), deleted, disrupted("EvictionByEvictionAPI", "Eviction API: evicting")},
			0, executor.Lost, true, "EvictionByEvictionAPI: Eviction API: evicting", "",
		},
		{
			"Vanished",
			[]change{installed, ended(workerContainer, 137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated")},
			0, executor.Lost, true, "ContainerStatusUnknown: signal: killed: The container could not be located when the pod was terminated", "",
		},
		{
			"Vanished",
			[]change{installed, ended(workerContainer, 255, "Unknown", "")},
			0, executor.Lost, true, "the node n1 does not know how it ended: it was down meanwhile", "",
		},
		{
			"Vanished",
			[]change{ended(installContainer, 255, "Unknown", ""), waits(workerContainer, "PodInitializing", "")},
			0, executor.Lost, true, "the node n1 does not know how it ended: it was down meanwhile", "",
		},
		{
			"StartError",
			[]change{installed, ended(workerContainer, 128, "StartError", "failed to create containerd task:\n exec format error")},
			0, executor.Failed, true, "StartError: exit status 128: exec format error",
			"WorkerNotExecutable: the container of the Pod t-k-0-r1 does not start: failed to create containerd task: exec format error: correct spec.container.image, or spec.resources",
		},
		{
			"StartError",
			[]change{ended(workerContainer, 128, "StartError", `exec: "/w": no such file or directory`)},
			0, executor.Failed, true,
			`StartError: exit status 128: exec: "/w": no such file or directory`,
			`WorkerNotExecutable: spec.container.workerPath: the image's worker cannot be run: exec: "/w": no such file or directory: correct the path or the image`,
		},
		{
			"NotExecutable",
			[]change{ended(installContainer, 126, "Error", "error: /tigerflow: programs in it cannot be run: permission denied: it may be mounted noexec"), waits(workerContainer, "PodInitializing", "")},
			0, executor.Failed, true, "exit status 126: error: /tigerflow: programs in it cannot be run: permission denied: it may be mounted noexec",
			"WorkerNotExecutable: the worker cannot be run from a volume of the node n1 (error: /tigerflow: programs in it cannot be run: permission denied: it may be mounted noexec): " +
				"have the image bring it, and set spec.container.workerPath",
		},
		{
			"NotInstalled",
			[]change{ended(installContainer, 128, "StartError", "no such file"), waits(workerContainer, "PodInitializing", "")},
			0, executor.Failed, true, "StartError: exit status 128: no such file",
			"WorkerNotRunnable: the worker cannot be put into the Pod t-k-0-r1: no such file: ask the administrator of the manager",
		},
		{"Stopped", []change{ended(installContainer, 137, "Error", ""), deleted, asked}, 0, executor.Stopped, true, "stopped", ""},

		// No kubelet has seen these end.
		{"NodeGone", []change{installed, runs, phase(corev1.PodFailed, "", ""), deleted, disrupted("DeletionByPodGC", "PodGC: node no longer exists")}, 0, executor.Lost, false, "DeletionByPodGC: PodGC: node no longer exists", ""},
		{"NodeGone", []change{phase(corev1.PodFailed, "OutOfcpu", "Node didn't have enough resource: cpu")}, 0, executor.Lost, false, "OutOfcpu: Node didn't have enough resource: cpu", ""},
		{"NodeLost", []change{installed, runs, deleted, disrupted("DeletionByTaintManager", "Taint manager: deleting")}, deadlineSlack + time.Second, executor.Lost, false, "the node n1 has not ended it in time", ""},
		{
			"NotAdmitted",
			[]change{phase(corev1.PodFailed, "SupplementalGroupsPolicyNotSupported", "not supported in this node")},
			0, executor.Lost, false,
			"SupplementalGroupsPolicyNotSupported: not supported in this node",
			"PodRefused: the node n1 refuses the Pod: not supported in this node: ask the administrator for nodes whose runtime keeps to supplementalGroupsPolicy Strict",
		},
	}
	tested := map[string]bool{}
	for _, tt := range tests {
		tested[tt.row] = true
		p, stopping := podOf(), false
		for _, c := range tt.changes {
			if c == nil {
				stopping = true
				continue
			}
			c(p)
		}
		w := workerOf(p, stopping, stopping, moment.Add(tt.after))
		got := ""
		if w.Stall != nil {
			got = w.Stall.Reason + ": " + w.Stall.Message
		}
		if w.Phase != tt.phase || w.Witnessed != tt.witness || w.Reason != tt.reason || got != tt.stall || w.Ref != p.Name {
			t.Errorf("%s: %+v\nstall %q\nwant %s, witnessed %v, %q\nstall %q", tt.row, w, got, tt.phase, tt.witness, tt.reason, tt.stall)
		}
		if w.Witnessed != (!w.EndedAt.IsZero()) {
			t.Errorf("%s: witnessed %v, ended at %s", tt.row, w.Witnessed, w.EndedAt)
		}
	}
	for _, s := range states {
		if !tested[s.name] {
			t.Errorf("no test of %s", s.name)
		}
	}
}

// What is left of a Pod that is gone.
func TestEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		last    *corev1.Pod
		meant   bool
		phase   executor.Phase
		witness bool
		unseen  bool
	}{
		"its node has told":                   {podOf(installed, ended(workerContainer, 0, "Completed", ""), deleted), true, executor.Succeeded, true, false},
		"its node has not told":               {podOf(installed, runs, deleted), true, executor.Lost, false, false},
		"forced while it ran":                 {podOf(installed, runs), false, executor.Lost, false, false},
		"before it had a node":                {podOf(homeless), true, executor.Stopped, true, false},
		"before it had a node, by a stranger": {podOf(homeless), false, executor.Lost, true, false},
		// It may have got one since it was last seen, and have been deleted from it by force.
		"perhaps before it had a node": {podOf(homeless), true, executor.Lost, false, true},
	} {
		if w := endOf(tt.last, tt.meant, !tt.unseen, moment); w.Phase != tt.phase || w.Witnessed != tt.witness || w.EndedAt.IsZero() {
			t.Errorf("%s: %+v, want %s, witnessed %v", name, w, tt.phase, tt.witness)
		}
	}
}

func TestExitOf(t *testing.T) {
	for code, want := range map[int32]executor.Exit{
		0: {}, 3: {Code: 3}, 128: {Code: 128}, 137: {Code: -1, Signal: syscall.SIGKILL}, 143: {Code: -1, Signal: syscall.SIGTERM}, 255: {Code: 255},
	} {
		if got := *exitOf(code); got != want {
			t.Errorf("%d is %+v, want %+v", code, got, want)
		}
	}
}
