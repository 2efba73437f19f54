package task

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/spool"
)

// tracebackText is how many characters of a traceback a condition has: of its end, where the cause stands.
const tracebackText = 600

// unsuspend has a Task go on that failed too often, if a person has set suspend to false since.
func (f *taskFlow) unsuspend(ctx context.Context, t *v1alpha1.Task) error {
	if t.Spec.IsSuspended() {
		f.suspended = true
		return nil
	}
	if !f.suspended {
		return nil
	}
	err := f.Resume(ctx)
	f.suspended = err != nil // it is tried again
	return err
}

// tooManyFailures says how the files failed, and what to do.
func tooManyFailures(p *dispatcher.Pause, output string) metav1.Condition {
	text := p.Why + ": " + printable(message(p.Failure.Type, p.Failure.Message)) +
		": correct the cause, then tigerflow resume " + output + " (tigerflow retry runs those that failed again, too)"
	if trace := tail(p.Failure.Traceback, tracebackText); trace != "" {
		text += "\n" + trace
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonTooManyFailures, "%s", text)
}

// tail is the end of a text, in whole lines if there are any.
func tail(text string, most int) string {
	runes := []rune(strings.ToValidUTF8(strings.TrimSpace(text), "�"))
	if len(runes) <= most {
		return string(runes)
	}
	text = string(runes[len(runes)-most:])
	if _, lines, ok := strings.Cut(text, "\n"); ok {
		text = lines
	}
	return "…\n" + text
}

// asked reports whether somebody asks something of a Task that nothing runs for.
func asked(t *v1alpha1.Task) bool {
	s, err := spool.Open(spool.Dir(recordsOf(&t.Spec), t.DisplayName()))
	if err != nil { // it is told when the Task is opened
		return false
	}
	requests, err := s.Requests()
	for _, r := range requests {
		if r.Kind == spool.RequestRetry {
			return err == nil
		}
	}
	return false
}

// rest reports whether a Task that has come to its end is left alone: it goes on if somebody asks for a retry, and one of a
// Pipeline only tells so.
func (r *Reconciler) rest(ctx context.Context, t *v1alpha1.Task, f *taskFlow) (bool, error) {
	switch {
	case !asked(t):
		return isComplete(t), nil
	case isMember(t):
		return true, r.awaitPipeline(ctx, t, f)
	}
	f.completed = 0
	return false, nil
}

// isMember reports whether a Task ends and goes on only together with the others of its Pipeline, whose lead sees to it.
func isMember(t *v1alpha1.Task) bool {
	return t.Spec.Pipeline != nil && t.Spec.Pipeline.Lead == nil && metav1.GetControllerOf(t) != nil
}

// awaitPipeline tells the Pipeline that a Task that is complete is asked for a retry. The Pipeline gives all its Tasks a
// spec with which they go on, so that those whose inputs come of the retry do not miss them.
func (r *Reconciler) awaitPipeline(ctx context.Context, t *v1alpha1.Task, f *taskFlow) error {
	f.completed = t.Generation
	s := state{task: t, now: r.now(), snapshot: f.Snapshot(), asked: true}
	return client.IgnoreNotFound(r.writeStatus(ctx, t, f, &s))
}
