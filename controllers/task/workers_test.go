package task

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

// TestConditionsOfWorkers: what is said of workers that do not start, by what the executor says.
func TestConditionsOfWorkers(t *testing.T) {
	alive := []dispatcher.WorkerState{{ID: "k.0.r1"}}
	wait := &executor.WaitError{Reason: "SubmissionLimit", Message: "sbatch waits: QOSMaxSubmitJobPerUserLimit"}
	trace := &spool.Failure{Type: "ValueError", Message: "bad", Traceback: "Traceback:\n  line 3\nValueError: bad"}
	for _, c := range []struct {
		name     string
		found    flow.State
		workers  []dispatcher.WorkerState
		ready    string
		degraded string
	}{
		{
			"in the queue",
			flow.State{Fleet: fleet.Report{Pending: 2, Waits: fleet.Example{Reason: "Priority"}}},
			nil,
			"False Waiting: PENDING (Reason: Priority)", "False AsExpected: nothing wrong",
		},
		{
			"not known yet",
			flow.State{Fleet: fleet.Report{Pending: 2}},
			nil,
			"False Starting: workers start", "False AsExpected: nothing wrong",
		},
		{
			"some run",
			flow.State{Fleet: fleet.Report{Pending: 2, Running: 1, Waits: fleet.Example{Reason: "Priority"}, Message: "3 workers"}},
			alive,
			"True Running: 3 workers", "False AsExpected: nothing wrong",
		},
		{
			"held",
			flow.State{Fleet: fleet.Report{Pending: 2, Held: 2, HeldBy: fleet.Example{Reason: "JobHeldAdmin", Ref: "7_0"}}},
			nil,
			"False Waiting: PENDING (Reason: JobHeldAdmin)",
			"True WorkersHeld: 2 workers are held (JobHeldAdmin): ask who holds them, and if they may run: scontrol release 7_0",
		},
		{
			"limit",
			flow.State{Waiting: wait},
			nil,
			"False Waiting: " + wait.Message, "False AsExpected: nothing wrong",
		},
		{
			"limit, some run",
			flow.State{Waiting: wait, Fleet: fleet.Report{Running: 1, Message: "1 worker"}},
			alive,
			"True Running: 1 worker; " + wait.Message, "False AsExpected: nothing wrong",
		},
		{
			"pod unschedulable",
			flow.State{Fleet: fleet.Report{Pending: 1, Waits: fleet.Example{Reason: "Unschedulable: 0/1 nodes are available", Ref: "t-k-0-r1"}}},
			nil,
			"False Waiting: workers wait: the Pod t-k-0-r1: Unschedulable: 0/1 nodes are available", "False AsExpected: nothing wrong",
		},
		{
			"pod refused",
			flow.State{Fleet: fleet.Report{Pending: 1, Held: 1, Mend: &executor.StalledError{Reason: "ImageNotPulled", Message: "correct it"}}},
			nil,
			"False ImageNotPulled: correct it", "True WorkersHeld: correct it",
		},
		{
			"pod held, some run",
			flow.State{Fleet: fleet.Report{Pending: 1, Running: 1, Held: 1, Message: "2 workers", Mend: &executor.StalledError{Reason: "ImageNotPulled", Message: "correct it"}}},
			alive,
			"True Running: 2 workers", "True WorkersHeld: correct it",
		},
		{
			"pod of a lost node",
			flow.State{Fleet: fleet.Report{Running: 1, Message: "1 worker", Unreachable: fleet.Example{Reason: "the node n does not answer", Ref: "t-k-0-r1"}}},
			alive,
			"True Running: 1 worker", "True NodeUnreachable: the Pod t-k-0-r1: the node n does not answer: by the files its worker may live, " +
				"and no other is started before its end is certain: bring the node back",
		},
		{
			"more are not to be had, some run",
			flow.State{Fleet: fleet.Report{Running: 1, Message: "1 worker"}, Unavailable: &executor.StalledError{Reason: "SubmissionRefused", Message: "invalid partition"}},
			alive,
			"True Running: 1 worker", "True WorkersHeld: invalid partition",
		},
		{
			"refused",
			flow.State{Unavailable: &executor.StalledError{Reason: "SubmissionRefused", Message: "invalid partition"}},
			nil,
			"False SubmissionRefused: invalid partition", "False AsExpected: nothing wrong",
		},
		{
			"refused, in new words",
			flow.State{Unavailable: &executor.StalledError{Reason: "Frobnicated", Message: "no"}},
			nil,
			"False InvalidWorker: no", "False AsExpected: nothing wrong",
		},
		{
			"unavailable",
			flow.State{Unavailable: errors.New("squeue: timed out")},
			nil,
			"False ExecutorUnavailable: squeue: timed out", "True ExecutorUnavailable: squeue: timed out",
		},
		{
			"a bad node",
			flow.State{Fleet: fleet.Report{Running: 1, Message: "1 worker", Avoided: []fleet.Avoided{{Node: "n3", Why: "SetupFailed: no GPU"}, {Node: "n7", Why: "FAILED"}}}},
			[]dispatcher.WorkerState{{}},
			"True Running: 1 worker",
			"True NodesAvoided: workers fail to work on n3, n7 and are started elsewhere for an hour; the last one on n3: SetupFailed: no GPU",
		},
		{
			"crashing",
			flow.State{Fleet: fleet.Report{Crashing: &spool.Exit{Reason: spool.ExitHandlerFailed, Failure: trace}}},
			nil,
			"False Waiting: the next worker starts after a pause", "True WorkersCrashing: HandlerFailed: ValueError: bad\nTraceback:\n  line 3\nValueError: bad",
		},
	} {
		c.found.Snapshot = &dispatcher.Snapshot{Pending: 1, Workers: c.workers}
		s := state{task: slurmTask(), now: time.Now()}
		if strings.HasPrefix(c.name, "pod") {
			s.task = &v1alpha1.Task{Spec: v1alpha1.TaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Type: v1alpha1.TaskLocal}}}
		}
		s.take(c.found)
		for _, got := range s.conditions() {
			text := string(got.Status) + " " + got.Reason + ": " + got.Message
			if want := c.ready; got.Type == v1alpha1.ConditionReady && text != want {
				t.Errorf("%s: Ready is %q, want %q", c.name, text, want)
			}
			if want := c.degraded; got.Type == v1alpha1.ConditionDegraded && text != want {
				t.Errorf("%s: Degraded is %q, want %q", c.name, text, want)
			}
			if refused := strings.HasSuffix(c.name, "refused") || strings.HasPrefix(c.name, "refused"); got.Type == v1alpha1.ConditionStalled && (got.Status == metav1.ConditionTrue) != refused {
				t.Errorf("%s: Stalled is %q", c.name, text)
			}
		}
	}
}

// A bridge works on its own Slurm Tasks and leaves all others as they are.
func TestBridge(t *testing.T) {
	workers, err := process.New(shared.Worker)
	if err != nil {
		t.Fatal(err)
	}
	faults := executortest.NewFaults(workers)
	t.Cleanup(func() {
		if err := workers.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct{ name, spec string }{
		{"another's", `{type: Slurm, slurm: {time: 1h, bridge: other}, handler: {builtin: echo}}`},
		{"not of Slurm", `{handler: {builtin: echo}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, options{slurm: faults})
			h.put("a.txt")
			h.create(c.spec)
			h.wait("the cache", func() bool { return h.rec.Client.Get(h.Context(), h.key, h.named()) == nil })
			h.pokes(2)
			if task := h.get(); len(task.Status.Conditions)+len(task.Finalizers) > 0 || exists(h.path("out")) {
				t.Errorf("finalizers %q, status %+v", task.Finalizers, task.Status)
			}
		})
	}
	t.Run("its own", func(t *testing.T) {
		h := start(t, options{slurm: faults})
		h.put("a.txt")
		faults.Refuse(executortest.Start, &executor.StalledError{Reason: "SubmissionRefused", Message: "invalid partition"})
		h.create(`{type: Slurm, slurm: {time: 1h, bridge: mine}, handler: {builtin: echo}}`)
		h.state(refused(v1alpha1.ReasonSubmissionRefused))
		h.patch(`{slurm: {partition: gpu}}`)
		h.state(idle)
		h.output("a.txt", "a.txt")
	})
}
