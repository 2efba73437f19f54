package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/cli"
)

// verdict is what a Task's conditions mean for a run: nil while it goes on.
func verdict(t *v1alpha1.Task) (done bool, err error) {
	if meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionComplete) {
		if n := t.Status.Files; n != nil && n.Failed > 0 {
			return true, failed(t.Name, n.Failed, n.Failed+n.Done)
		}
		return true, nil
	}
	stalled := stalledOf(t.Status.Conditions)
	if stalled == nil {
		return false, nil
	}
	err = fmt.Errorf("%s: %s: %s", t.Name, stalled.Reason, strings.TrimSpace(stalled.Message))
	switch v1alpha1.Reason(stalled.Reason) {
	case v1alpha1.ReasonStorageFull, v1alpha1.ReasonStorageError: // it goes on by itself when that is mended
		return false, nil
	case v1alpha1.ReasonSetupFailed, v1alpha1.ReasonTooManyFailures:
		return true, err
	default:
		return true, cli.UsageError{Err: err}
	}
}

// verdictOfPipeline is what the conditions of a Pipeline and of its Tasks mean for a run.
func verdictOfPipeline(p *v1alpha1.Pipeline, tasks []*followed) (done bool, err error) {
	if meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionComplete) {
		if n := p.Status.Files; n != nil && n.Failed > 0 {
			return true, failed(p.Name, n.Failed, n.Failed+n.Finished)
		}
		return true, nil
	}
	for _, t := range tasks {
		if done, err := verdict(&t.object); done && err != nil && stalledOf(t.object.Status.Conditions) != nil {
			return true, err
		}
	}
	stalled := stalledOf(p.Status.Conditions)
	if stalled == nil || stalled.Reason == string(v1alpha1.ReasonTaskStalled) { // what that means, the Task says
		return false, nil
	}
	return true, cli.UsageError{Err: fmt.Errorf("%s: %s: %s", p.Name, stalled.Reason, strings.TrimSpace(stalled.Message))}
}

func failed(name string, n, of int64) error {
	return fmt.Errorf("%s: %d of %d files failed", name, n, of)
}

// stalledOf is the condition Stalled if it is true; nil else.
func stalledOf(conditions []metav1.Condition) *metav1.Condition {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled)
	if c == nil || c.Status != metav1.ConditionTrue {
		return nil
	}
	return c
}
