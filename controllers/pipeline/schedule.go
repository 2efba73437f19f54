package pipeline

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// schedule says which of the Tasks may end. What it goes by is in the Tasks, so that it holds over restarts:
//
//	lead             others             the Pipeline
//	its own limit    no limit           works; the lead alone sees when all tasks are done
//	complete         0s: end when idle  ends
//	no limit         no limit           was complete, or nearly, and has work again: the lead counts on, and gets its limit
//	                                    back when the others are idle
func (s *state) schedule() {
	limit := s.pipeline.Spec.CompleteAfterIdle
	if limit == nil {
		return
	}
	lead, others := s.lead(), s.others()
	switch {
	case lead.have == nil: // it begins with its limit
	case lead.have.Spec.CompleteAfterIdle == nil && !all(others, isQuiet):
		lead.want.Spec.CompleteAfterIdle = nil
	case !isComplete(lead.have):
	case s.changed() || slices.ContainsFunc(others, isBusy):
		lead.want.Spec.CompleteAfterIdle = nil
	default:
		for _, other := range others {
			other.want.Spec.CompleteAfterIdle = &metav1.Duration{}
		}
	}
}

// lead is the task that counts for all.
func (s *state) lead() member {
	return s.members[slices.IndexFunc(s.members, isLead)]
}

func (s *state) others() []member {
	return slices.DeleteFunc(slices.Clone(s.members), isLead)
}

func isLead(m member) bool { return m.want.Spec.Pipeline.Lead != nil }

// changed reports whether the spec is one that no status tells of yet.
func (s *state) changed() bool { return s.pipeline.Status.ObservedGeneration != s.pipeline.Generation }

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
