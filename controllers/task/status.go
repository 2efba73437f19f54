package task

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/spool"
)

const (
	writeTimeout = 5 * time.Second // of one write: a server that does not answer keeps no other Task waiting for longer
	writeRetry   = 2 * time.Second
)

// report writes the status. One that cannot be written, while the API server is away, say, holds up nothing: workers and
// scaling go on from the spec that was last seen, and it is tried again.
func (r *Reconciler) report(ctx context.Context, t *v1alpha1.Task, f *taskFlow, s *state) {
	if wait := f.mute.Sub(s.now); wait > 0 {
		s.wait(wait)
		return
	}
	err := r.writeStatus(ctx, t, f, s)
	switch {
	case err == nil:
		f.failing = false
	case apierrors.IsNotFound(err): // it went meanwhile: the cache will show so
		s.wait(drainPoll)
	case ctx.Err() == nil:
		if !f.failing {
			r.Log.Warn("the status waits to be written", "task", client.ObjectKeyFromObject(t).String(), "error", err)
		}
		f.failing, f.mute = true, r.now().Add(writeRetry)
		s.wait(writeRetry)
	}
}

// writeStatus applies what has changed of a Task's status, each part as its own field owner.
func (r *Reconciler) writeStatus(ctx context.Context, t *v1alpha1.Task, f *taskFlow, s *state) error {
	r.mu.Lock()
	period := r.period()
	r.mu.Unlock()
	if s.snapshot != nil && !s.snapshot.Recovering && f.due(s, period) {
		files := v1alpha1.TaskStatus{Files: filesOf(s.snapshot), Pipeline: pipelineFilesOf(s.snapshot), RecentFailures: failuresOf(s.snapshot)}
		have := v1alpha1.TaskStatus{Files: t.Status.Files, Pipeline: t.Status.Pipeline, RecentFailures: t.Status.RecentFailures}
		if !apiequality.Semantic.DeepEqual(files, have) {
			if err := r.applyStatus(ctx, t, files, v1alpha1.FieldOwnerDispatcher); err != nil {
				return err
			}
		}
		f.wrote, f.reported = s.now, s.snapshot
	}
	return r.writeConditions(ctx, t, f, s)
}

// writeConditions applies what is said of the Task, and of its workers. f is nil of a Task that nothing here runs.
func (r *Reconciler) writeConditions(ctx context.Context, t *v1alpha1.Task, f *taskFlow, s *state) error {
	status := v1alpha1.TaskStatus{ObservedGeneration: t.Generation, Workers: s.workers(), Conditions: s.conditions()}
	for i := range status.Conditions {
		c := &status.Conditions[i]
		c.ObservedGeneration = t.Generation
		if r.Explain != nil {
			c.Message = r.Explain(c.Message)
		}
		c.LastTransitionTime = metav1.NewTime(s.now)
		if old := meta.FindStatusCondition(t.Status.Conditions, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	have := v1alpha1.TaskStatus{ObservedGeneration: t.Status.ObservedGeneration, Workers: t.Status.Workers, Conditions: t.Status.Conditions}
	if apiequality.Semantic.DeepEqual(status, have) || f != nil && sameButWords(status, have) && !s.over(r.Period, f.judged) {
		return nil
	}
	if err := r.applyStatus(ctx, t, status, v1alpha1.FieldOwnerTask); err != nil {
		return err
	}
	if f != nil {
		f.judged = s.now
	}
	return nil
}

// sameButWords reports whether two statuses differ in the messages of their conditions at most. A message may be another with each look, and a
// write calls for the next look.
func sameButWords(a, b v1alpha1.TaskStatus) bool {
	return apiequality.Semantic.DeepEqual(wordless(a), wordless(b))
}

func wordless(s v1alpha1.TaskStatus) v1alpha1.TaskStatus {
	s.Conditions = slices.Clone(s.Conditions)
	for i := range s.Conditions {
		s.Conditions[i].Message = ""
	}
	return s
}

// over reports whether the period since the last write is over. If not, the Task is looked at again when it is.
func (s *state) over(period time.Duration, last time.Time) bool {
	wait := period - s.now.Sub(last)
	if wait <= 0 {
		return true
	}
	s.wait(wait)
	return false
}

// due reports whether the counters are to be written now. Those that only move on wait for the period.
func (f *taskFlow) due(s *state, period time.Duration) bool {
	if f.reported == nil || significant(f.reported, s.snapshot) || s.finished {
		return true
	}
	return s.over(period, f.wrote)
}

// significant reports whether a Snapshot shows more than that the counters have moved on.
func significant(a, b *dispatcher.Snapshot) bool {
	return a.Recovering != b.Recovering || a.Drained != b.Drained ||
		len(a.Workers) != len(b.Workers) ||
		(a.Candidates == 0) != (b.Candidates == 0) || (a.HeldBack == 0) != (b.HeldBack == 0) || a.StagingFault != b.StagingFault ||
		(a.Storage == nil) != (b.Storage == nil) || (a.Pause == nil) != (b.Pause == nil) || a.Ending != b.Ending || a.Input != b.Input ||
		(a.Staged == 0) != (b.Staged == 0) || (a.Done == 0) != (b.Done == 0) || (a.Failed == 0) != (b.Failed == 0) ||
		(a.Pending+a.Running == 0) != (b.Pending+b.Running == 0)
}

func (r *Reconciler) applyStatus(ctx context.Context, t *v1alpha1.Task, status v1alpha1.TaskStatus, owner string) error {
	u := applied(t)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	u.Object["status"] = content
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(owner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}

func (r *Reconciler) applyFinalizer(ctx context.Context, t *v1alpha1.Task, hold bool) error {
	u := applied(t)
	if hold {
		u.SetFinalizers([]string{v1alpha1.FinalizerWorkers})
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerTask), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the finalizer: %w", err)
	}
	return nil
}

// applied is the least that names an object in server-side apply. The uid keeps it from making a deleted one anew.
func applied(t *v1alpha1.Task) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(t.Namespace)
	u.SetName(t.Name)
	u.SetUID(t.UID)
	return u
}

func filesOf(s *dispatcher.Snapshot) *v1alpha1.FileCounts {
	return &v1alpha1.FileCounts{Staged: s.Settling, Pending: s.Pending, Running: s.Running, Done: s.Done, Failed: s.Failed}
}

// pipelineFilesOf is nil unless the Task is the lead of a Pipeline.
func pipelineFilesOf(s *dispatcher.Snapshot) *v1alpha1.PipelineFileCounts {
	if s.Pipeline == nil {
		return nil
	}
	return &v1alpha1.PipelineFileCounts{
		Staged: s.Pipeline.Staged, InProgress: s.Pipeline.InProgress, Finished: s.Pipeline.Finished, Failed: s.Pipeline.Failed,
	}
}

// failuresOf lists the latest failures, newest first, within the bounds of the schema.
func failuresOf(s *dispatcher.Snapshot) []v1alpha1.FileFailure {
	var list []v1alpha1.FileFailure
	for i := len(s.Recent) - 1; i >= 0 && len(list) < v1alpha1.MaxRecentFailures; i-- {
		f := s.Recent[i]
		if f.Time.IsZero() { // the schema wants one
			f.Time = time.Unix(0, 0)
		}
		item := v1alpha1.FileFailure{
			File: printable(string(f.File)), Message: printable(message(f.Type, f.Message)),
			Time: metav1.NewTime(f.Time.Truncate(time.Second)), Attempts: int32(f.Attempts),
		}
		if f.ExitCode > 0 { // the schema wants no other
			code := int32(f.ExitCode)
			item.ExitCode = &code
		}
		list = append(list, item)
	}
	return list
}

func message(kind, text string) string {
	if text == "" || kind == "" {
		return kind + text
	}
	return kind + ": " + text
}

// printable makes a text that the API server takes: valid UTF-8, what is not escaped, and not too long.
func printable(s string) string {
	if !utf8.ValidString(s) {
		quoted := strconv.Quote(s)
		s = quoted[1 : len(quoted)-1]
	}
	if runes := []rune(s); len(runes) > v1alpha1.MaxFailureText {
		s = string(runes[:v1alpha1.MaxFailureText-1]) + "…"
	}
	return s
}

func isComplete(t *v1alpha1.Task) bool {
	c := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionComplete)
	return c != nil && c.Status == metav1.ConditionTrue && t.Status.ObservedGeneration == t.Generation
}

// reasonOf tells, of the ends of workers, what a person must mend.
func reasonOf(exit spool.ExitReason) v1alpha1.Reason {
	switch exit {
	case spool.ExitNotFound:
		return v1alpha1.ReasonHandlerNotFound
	case spool.ExitNoShell:
		return v1alpha1.ReasonNoShell
	case spool.ExitInvalidParams:
		return v1alpha1.ReasonInvalidParams
	case spool.ExitInvalid:
		return v1alpha1.ReasonInvalidHandler
	case spool.ExitInputNotVisible:
		return v1alpha1.ReasonInputNotVisible
	default:
		return v1alpha1.ReasonSetupFailed
	}
}

// oneLine makes a condition's message of a failure. The last line of a Python traceback repeats its message; that of what
// a command printed does not, and often says why.
func oneLine(f spool.Failure) string {
	text := message(f.Type, f.Message)
	lines := strings.Split(strings.TrimSpace(f.Traceback), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	first, _, _ := strings.Cut(f.Message, "\n")
	repeats := strings.Contains(f.Message, last) || strings.Contains(last, first) || f.Type != "" && strings.HasPrefix(last, f.Type)
	if !repeats {
		text += ": " + last
	}
	return printable(strings.Join(strings.Fields(text), " "))
}

// ofAuthor leaves out the types of the engine's own failures: the reason of the condition says as much. Those of user
// code, such as SyntaxError, stay.
func ofAuthor(f spool.Failure) spool.Failure {
	switch f.Type {
	case "TaskError", "ModuleAbsent", "NotFound", "NoShell", "UnknownBuiltin", "InputNotVisible":
		f.Type = ""
	}
	return f
}
