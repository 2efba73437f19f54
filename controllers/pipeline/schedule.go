package pipeline

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// schedule says which of the Tasks may end. What it goes by is in the Tasks, so that it holds over restarts:
//
//	lead                  others            the Pipeline
//	its limit             no limit          works; the lead alone sees when all tasks are done
//	its limit, complete   0s: when idle     ends
//	0s, othersEnded       0s, complete      ended, if the lead is through with its last count
//	no limit              no limit          goes on after that; the lead has its limit back when the others are idle
//
// The last count is there as one who asks for a retry may do so at any time.
func (s *state) schedule() {
	if s.pipeline.Spec.CompleteAfterIdle == nil {
		return
	}
	lead, others := s.lead(), s.others()
	if lead.have == nil { // it begins with its limit
		return
	}
	switch {
	case lead.have.Spec.CompleteAfterIdle == nil && !all(others, isQuiet):
		lead.want.Spec.CompleteAfterIdle = nil
	case !othersEnded(lead) && !isComplete(lead.have):
	case s.changed || slices.ContainsFunc(others, isBusy) || othersEnded(lead) && !isFinal(lead, others):
		lead.want.Spec.CompleteAfterIdle = nil
	default:
		for _, other := range others {
			other.want.Spec.CompleteAfterIdle = &metav1.Duration{}
		}
		if len(others) > 0 && all(others, hasEnded) {
			lead.want.Spec.CompleteAfterIdle = &metav1.Duration{}
			lead.want.Spec.Pipeline.Lead.OthersEnded = new(true)
		}
	}
}

// othersEnded reports whether the lead counts, or has counted, for the last time.
func othersEnded(lead member) bool {
	part := lead.have.Spec.Pipeline
	return part != nil && part.Lead != nil && part.Lead.OthersEnded != nil && *part.Lead.OthersEnded
}

// hasEnded reports whether a task is complete and has the limit that the end of the Pipeline gave it.
func hasEnded(m member) bool {
	return m.have != nil && isComplete(m.have) && m.have.Spec.CompleteAfterIdle != nil
}

// isFinal reports whether what the lead counts for the last time is so, as far as it has: no file is in any task's hands.
func isFinal(lead member, others []member) bool {
	if !all(others, hasEnded) || isBusy(lead) {
		return false
	}
	files := lead.have.Status.Pipeline
	return isComplete(lead.have) || !isSeen(lead.have) || files == nil || files.Staged+files.InProgress == 0
}

// lead is the task that counts for all.
func (s *state) lead() member {
	return s.members[slices.IndexFunc(s.members, isLead)]
}

func (s *state) others() []member {
	return slices.DeleteFunc(slices.Clone(s.members), isLead)
}

func isLead(m member) bool { return m.want.Spec.Pipeline.Lead != nil }

// isQuiet reports whether a task has nothing to do.
func isQuiet(m member) bool {
	return m.have != nil && (isComplete(m.have) || isSeen(m.have) && reasonOf(m.have) == v1alpha1.ReasonIdle)
}

// isBusy reports whether a task has something to do, or waits to be let.
func isBusy(m member) bool {
	if m.have == nil || !isSeen(m.have) || isComplete(m.have) {
		return false
	}
	reason := reasonOf(m.have)
	return reason == v1alpha1.ReasonRunning || reason == v1alpha1.ReasonWaiting
}

// isSeen reports whether the status of a Task is about its present spec.
func isSeen(t *v1alpha1.Task) bool { return t.Status.ObservedGeneration == t.Generation }

func isComplete(t *v1alpha1.Task) bool {
	return isSeen(t) && meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionComplete)
}

// reasonOf is the state of a Task, "" if nothing tells of it.
func reasonOf(t *v1alpha1.Task) v1alpha1.Reason {
	if c := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return v1alpha1.Reason(c.Reason)
	}
	return ""
}

func all(members []member, is func(member) bool) bool {
	return !slices.ContainsFunc(members, func(m member) bool { return !is(m) })
}
