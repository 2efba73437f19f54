package task

import (
	"cmp"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/spool"
)

// stallReason is the condition's reason for what an executor says a person must mend.
func stallReason(of string) v1alpha1.Reason {
	switch r := v1alpha1.Reason(of); r {
	case v1alpha1.ReasonSubmissionRefused, v1alpha1.ReasonWorkerNotRunnable, v1alpha1.ReasonLogNotWritable,
		v1alpha1.ReasonPodRefused, v1alpha1.ReasonImageNotPulled, v1alpha1.ReasonContainerNotStarted, v1alpha1.ReasonWorkerNotExecutable,
		v1alpha1.ReasonWorkspaceNotFound:
		return r
	default:
		return v1alpha1.ReasonInvalidWorker
	}
}

// crashing says how workers end, with the end of the author's traceback.
func crashing(exit *spool.Exit) metav1.Condition {
	text := fmt.Sprintf("%s: %s", exit.Reason, oneLine(*exit.Failure))
	if trace := tail(exit.Failure.Traceback, tracebackText); trace != "" {
		text += "\n" + trace
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonWorkersCrashing, "%s", text)
}

// waits says what keeps workers from starting, in the words of their backend.
func (s *state) waits() string {
	example := cmp.Or(s.fleet.Waits, s.fleet.HeldBy)
	if s.task.Spec.Type == v1alpha1.TaskSlurm {
		return fmt.Sprintf("PENDING (Reason: %s)", printable(cmp.Or(example.Reason, s.fleet.HeldBy.Reason)))
	}
	return printable(fmt.Sprintf("workers wait: the Pod %s: %s", example.Ref, example.Reason))
}

// unreachable says that a worker is known to live by the files alone.
func unreachable(w fleet.Example) metav1.Condition {
	text := "the Pod " + w.Ref
	if w.Reason != "" {
		text += ": " + w.Reason
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonNodeUnreachable,
		"%s: by the files its worker may live, and no other is started before its end is certain: bring the node back", printable(text))
}

// workersHeld says what keeps jobs from starting, and what to do.
func workersHeld(r fleet.Report) metav1.Condition {
	if r.Mend != nil {
		return condition(metav1.ConditionTrue, v1alpha1.ReasonWorkersHeld, "%s", printable(r.Mend.Message))
	}
	workers := "1 worker is held"
	if r.Held > 1 {
		workers = fmt.Sprintf("%d workers are held", r.Held)
	}
	if r.HeldBy.Reason != "" {
		workers += " (" + printable(r.HeldBy.Reason) + ")"
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonWorkersHeld,
		"%s: ask who holds them, and if they may run: scontrol release %s", workers, r.HeldBy.Ref)
}

// nodesAvoided says where no worker is started, and what happened there.
func nodesAvoided(nodes []fleet.Avoided) metav1.Condition {
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Node)
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonNodesAvoided, "workers fail to work on %s and are started elsewhere for an hour; the last one on %s: %s",
		printable(strings.Join(names, ", ")), printable(nodes[0].Node), printable(nodes[0].Why))
}
