package pipeline

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// maxMessage is how many characters the API server takes for the message of a condition.
const maxMessage = 32768

// state is what one reconcile found of a Pipeline. Its conditions follow from it and from nothing else.
type state struct {
	pipeline *v1alpha1.Pipeline
	changed  bool // the spec is one that no status tells of yet
	now      time.Time
	members  []member // in the order in which files go through them; none if the graph is invalid

	stall *metav1.Condition // what a person must mend of the Pipeline itself
	await string            // a Task of an earlier Pipeline that is still ending

	next time.Duration // when to look again; 0 is when something happens
	err  error         // to be tried again with back-off
}

// refuse notes what a person must mend. Of several faults the first is told.
func (s *state) refuse(reason v1alpha1.Reason, format string, args ...any) {
	if s.stall == nil {
		s.stall = new(condition(metav1.ConditionTrue, reason, format, args...))
	}
	if reason == v1alpha1.ReasonTaskNameInUse || reason == v1alpha1.ReasonTaskRefused { // no event may tell of the mend
		s.wait(mendedPoll)
	}
}

// wait sees to it that the Pipeline is looked at again after d, or sooner.
func (s *state) wait(d time.Duration) {
	if d > 0 && (s.next == 0 || d < s.next) {
		s.next = d
	}
}

func condition(status metav1.ConditionStatus, reason v1alpha1.Reason, format string, args ...any) metav1.Condition {
	text := []rune(fmt.Sprintf(format, args...))
	if len(text) > maxMessage {
		text = append(text[:maxMessage-1], '…')
	}
	return metav1.Condition{Status: status, Reason: string(reason), Message: string(text)}
}

// conditions sums the state up.
func (s *state) conditions() []metav1.Condition {
	stalled, degraded := s.stalled(), s.degraded()
	ready := metav1.Condition{Status: metav1.ConditionFalse, Reason: stalled.Reason, Message: stalled.Message}
	if stalled.Status != metav1.ConditionTrue {
		ready = s.progress()
	}
	complete := metav1.Condition{Status: metav1.ConditionFalse, Reason: ready.Reason, Message: ready.Message}
	if ready.Reason == string(v1alpha1.ReasonComplete) {
		complete.Status = metav1.ConditionTrue
	}
	ready.Type, complete.Type = v1alpha1.ConditionReady, v1alpha1.ConditionComplete
	stalled.Type, degraded.Type = v1alpha1.ConditionStalled, v1alpha1.ConditionDegraded
	return []metav1.Condition{ready, complete, stalled, degraded}
}

// progress is how far the Pipeline is, all being well.
func (s *state) progress() metav1.Condition {
	const no = metav1.ConditionFalse
	switch {
	case !s.pipeline.DeletionTimestamp.IsZero():
		return condition(no, v1alpha1.ReasonDraining, "deleted: workers finish what they have in hand")
	case s.await != "":
		return condition(no, v1alpha1.ReasonStarting, "Task %s of the Pipeline of this name that was before is ending", s.await)
	case s.pipeline.Spec.IsSuspended() && all(s.members, in(v1alpha1.ReasonSuspended)):
		return condition(no, v1alpha1.ReasonSuspended, "spec.suspend is true")
	case s.pipeline.Spec.IsSuspended():
		return condition(no, v1alpha1.ReasonDraining, "suspended: workers finish what they have in hand")
	case s.isComplete():
		return s.completed()
	}
	return s.atWork()
}

// isComplete reports whether all tasks have ended, the lead as the last.
func (s *state) isComplete() bool {
	lead := s.lead()
	return s.pipeline.Spec.CompleteAfterIdle != nil && lead.have != nil && isComplete(lead.have) &&
		(len(s.members) == 1 || othersEnded(lead)) && all(s.others(), hasEnded)
}

// ends reports whether all tasks are to end.
func (s *state) ends() bool {
	lead := s.lead()
	return s.pipeline.Spec.CompleteAfterIdle != nil && lead.have != nil && (isComplete(lead.have) || othersEnded(lead))
}

func (s *state) completed() metav1.Condition {
	if files := s.files(); files != nil {
		return condition(metav1.ConditionTrue, v1alpha1.ReasonComplete, "%s finished, %d failed", fileCount(files.Finished), files.Failed)
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonComplete, "every file is finished or failed")
}

// atWork is how far a Pipeline is whose tasks run: what the busiest of them does.
func (s *state) atWork() metav1.Condition {
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	if n := s.count(in(v1alpha1.ReasonRunning)); n > 0 {
		return condition(yes, v1alpha1.ReasonRunning, "%d of %s at work", n, taskCount(len(s.members)))
	}
	if s.ends() {
		return condition(yes, v1alpha1.ReasonDraining, "all files are finished or failed; the tasks end")
	}
	if i := slices.IndexFunc(s.members, in("", v1alpha1.ReasonStarting)); i >= 0 {
		return condition(no, v1alpha1.ReasonStarting, "task %q starts", s.members[i].name())
	}
	usual := in(v1alpha1.ReasonIdle, v1alpha1.ReasonComplete, v1alpha1.ReasonDraining, v1alpha1.ReasonSuspended)
	if i := slices.IndexFunc(s.members, func(m member) bool { return !usual(m) }); i >= 0 {
		return s.of(s.members[i], v1alpha1.ReasonWaiting)
	}
	for _, reason := range []v1alpha1.Reason{v1alpha1.ReasonDraining, v1alpha1.ReasonSuspended} {
		if i := slices.IndexFunc(s.members, in(reason)); i >= 0 {
			return s.of(s.members[i], reason)
		}
	}
	return condition(yes, v1alpha1.ReasonIdle, "no files to process")
}

// of is the condition Ready of a task as one of the Pipeline.
func (s *state) of(m member, reason v1alpha1.Reason) metav1.Condition {
	c := meta.FindStatusCondition(m.have.Status.Conditions, v1alpha1.ConditionReady)
	return condition(c.Status, reason, "task %q: %s", m.name(), c.Message)
}

// in is whether a task is in one of some states; "" is that of a task that nothing tells of.
func in(reasons ...v1alpha1.Reason) func(member) bool {
	return func(m member) bool {
		var reason v1alpha1.Reason
		if m.have != nil && m.have.DeletionTimestamp.IsZero() {
			reason = reasonOf(m.have)
		}
		return slices.Contains(reasons, reason)
	}
}

func (s *state) count(is func(member) bool) int {
	n := 0
	for _, m := range s.members {
		if is(m) {
			n++
		}
	}
	return n
}

func (s *state) stalled() metav1.Condition {
	if s.stall != nil {
		return *s.stall
	}
	if c, ok := s.found(v1alpha1.ConditionStalled, v1alpha1.ReasonTaskStalled, func(v1alpha1.Reason) bool { return true }); ok {
		return c
	}
	return condition(metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "nothing to mend")
}

func (s *state) degraded() metav1.Condition {
	staging := func(r v1alpha1.Reason) bool { return r == v1alpha1.ReasonStagingFailed }
	if c, ok := s.found(v1alpha1.ConditionDegraded, v1alpha1.ReasonStagingFailed, staging); ok {
		return c
	}
	other := func(r v1alpha1.Reason) bool { return r != v1alpha1.ReasonFilesFailed }
	if c, ok := s.found(v1alpha1.ConditionDegraded, v1alpha1.ReasonTaskDegraded, other); ok {
		return c
	}
	if files := s.files(); files != nil && files.Failed > 0 {
		return condition(metav1.ConditionTrue, v1alpha1.ReasonFilesFailed, "%s failed: the .err files in the folders of the tasks say why", fileCount(files.Failed))
	}
	return condition(metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "nothing wrong")
}

// found tells of the first task with a condition that is bad for such a reason, and how many more there are.
func (s *state) found(kind string, reason v1alpha1.Reason, such func(v1alpha1.Reason) bool) (metav1.Condition, bool) {
	var text string
	n := 0
	for _, m := range s.members {
		if m.have == nil {
			continue
		}
		c := meta.FindStatusCondition(m.have.Status.Conditions, kind)
		if c == nil || c.Status != metav1.ConditionTrue || !such(v1alpha1.Reason(c.Reason)) {
			continue
		}
		if n++; n == 1 {
			text = fmt.Sprintf("task %q: %s", m.name(), c.Message)
		}
	}
	if n > 1 {
		text += fmt.Sprintf(" (and %s more)", taskCount(n-1))
	}
	return condition(metav1.ConditionTrue, reason, "%s", text), n > 0
}

func fileCount(n int64) string { return count(n, "file") }

func taskCount(n int) string { return count(int64(n), "task") }

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
