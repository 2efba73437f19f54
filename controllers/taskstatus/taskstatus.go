// Package taskstatus writes into the status of a Task why nobody runs it, for those who see that from outside.
package taskstatus

import (
	"context"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const (
	writeTimeout = 10 * time.Second
	maxMessage   = 4096 // characters; a condition takes 32768
	// spokenPatience is how long after a change of its state somebody counts as there who runs a Task.
	spokenPatience = time.Minute
)

// Verdict is why a Task is not run.
type Verdict struct {
	Reason  v1alpha1.Reason
	Message string                 // what is wrong, and the mend
	Ready   metav1.ConditionStatus // False, or Unknown where nothing is heard of what runs it
	Stalled bool                   // a person must act
}

// Stalled is a Verdict for a person to act on.
func Stalled(reason v1alpha1.Reason, format string, args ...any) *Verdict {
	return &Verdict{Reason: reason, Message: fmt.Sprintf(format, args...), Ready: metav1.ConditionFalse, Stalled: true}
}

// Unknown is a Verdict on a Task of which nothing is heard.
func Unknown(reason v1alpha1.Reason, format string, args ...any) *Verdict {
	return &Verdict{Reason: reason, Message: fmt.Sprintf(format, args...), Ready: metav1.ConditionUnknown}
}

// IsComplete reports whether a Task has come to its end with the spec that it has now.
func IsComplete(t *v1alpha1.Task) bool {
	return t.Status.ObservedGeneration == t.Generation && meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionComplete)
}

// Write puts a Verdict into the conditions of a Task, unless it is there. It writes as the field owner of those who run Tasks:
// they take the conditions back when they next write. A Task of which nothing is heard, but whose state has changed in the last
// minute, is left as it is: again is when to look again, or the two would write by turns without end.
func Write(ctx context.Context, c client.Client, t *v1alpha1.Task, v *Verdict, now time.Time) (again time.Duration, err error) {
	if ready := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionReady); ready != nil && v.Ready == metav1.ConditionUnknown && ready.Status != v.Ready {
		if left := spokenPatience - now.Sub(ready.LastTransitionTime.Time); left > 0 {
			return min(left, spokenPatience), nil
		}
	}
	status := v1alpha1.TaskStatus{ObservedGeneration: t.Generation, Workers: t.Status.Workers, Conditions: v.conditions(t, now)}
	have := v1alpha1.TaskStatus{ObservedGeneration: t.Status.ObservedGeneration, Workers: t.Status.Workers, Conditions: t.Status.Conditions}
	if apiequality.Semantic.DeepEqual(status, have) {
		return 0, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return 0, err
	}
	u := Applied(t)
	u.Object["status"] = content
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err = c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerTask), client.ForceOwnership)
	if err = client.IgnoreNotFound(err); err != nil {
		return 0, fmt.Errorf("writing the status of Task %s: %w", t.Name, err)
	}
	return 0, nil
}

// conditions are those that a Task has by the Verdict, in the order in which those who run it write them. What is wrong with its
// files stays so.
func (v *Verdict) conditions(t *v1alpha1.Task, now time.Time) []metav1.Condition {
	message := []rune(v.Message)
	message = message[:min(len(message), maxMessage)]
	mine := metav1.Condition{Reason: string(v.Reason), Message: string(message)}
	expected := metav1.Condition{Status: metav1.ConditionFalse, Reason: string(v1alpha1.ReasonAsExpected)}
	ready, complete, stalled, degraded := mine, mine, expected, expected
	ready.Status, complete.Status = v.Ready, metav1.ConditionFalse
	stalled.Message, degraded.Message = "nothing to mend", "nothing wrong"
	if v.Stalled {
		stalled = mine
		stalled.Status = metav1.ConditionTrue
	}
	if old := meta.FindStatusCondition(t.Status.Conditions, v1alpha1.ConditionDegraded); old != nil {
		degraded.Status, degraded.Reason, degraded.Message = old.Status, old.Reason, old.Message
	}
	ready.Type, complete.Type = v1alpha1.ConditionReady, v1alpha1.ConditionComplete
	stalled.Type, degraded.Type = v1alpha1.ConditionStalled, v1alpha1.ConditionDegraded
	all := []metav1.Condition{ready, complete, stalled, degraded}
	for i := range all {
		c := &all[i]
		c.ObservedGeneration, c.LastTransitionTime = t.Generation, metav1.NewTime(now)
		if old := meta.FindStatusCondition(t.Status.Conditions, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return all
}

// Applied is the least that names a Task in server-side apply. The uid keeps it from making a deleted one anew.
func Applied(t *v1alpha1.Task) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Task"))
	u.SetNamespace(t.Namespace)
	u.SetName(t.Name)
	u.SetUID(t.UID)
	return u
}
