package main

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

func TestVerdict(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	for _, tt := range []struct {
		name     string
		complete metav1.ConditionStatus
		stalled  v1alpha1.Reason // "" is not
		files    *v1alpha1.FileCounts
		done     bool
		err      string
		usage    bool
	}{
		{name: "new"},
		{name: "running", complete: no},
		{name: "complete", complete: yes, files: &v1alpha1.FileCounts{Done: 3}, done: true},
		{name: "files failed", complete: yes, files: &v1alpha1.FileCounts{Done: 3, Failed: 1}, done: true, err: "t: 1 of 4 files failed"},
		{name: "full disk", complete: no, stalled: v1alpha1.ReasonStorageFull},
		{name: "bad disk", complete: no, stalled: v1alpha1.ReasonStorageError},
		{name: "setup", complete: no, stalled: v1alpha1.ReasonSetupFailed, done: true, err: "t: SetupFailed: why"},
		{name: "params", complete: no, stalled: v1alpha1.ReasonInvalidParams, done: true, err: "t: InvalidParams: why", usage: true},
	} {
		task := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Name: "t"}}
		task.Status.Files = tt.files
		if tt.complete != "" {
			task.Status.Conditions = append(task.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionComplete, Status: tt.complete})
		}
		if tt.stalled != "" {
			task.Status.Conditions = append(task.Status.Conditions,
				metav1.Condition{Type: v1alpha1.ConditionStalled, Status: yes, Reason: string(tt.stalled), Message: "why\n"})
		}
		done, err := verdict(task)
		if done != tt.done || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || errors.As(err, new(usageError)) != tt.usage {
			t.Errorf("%s: got %v, %v", tt.name, done, err)
		}
	}
}

func TestForRun(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given any // completeAfterIdle of the Task
		o     runOptions
		want  any
	}{
		{"nothing said", nil, runOptions{}, "0s"},
		{"the Task says", "5s", runOptions{}, "5s"},
		{"the flag says", nil, runOptions{idle: time.Minute, idleSet: true}, "1m0s"},
		{"both say", "5s", runOptions{idle: time.Minute, idleSet: true}, "1m0s"},
	} {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"type": "Local"}}}
		if tt.given != nil {
			u.Object["spec"].(map[string]any)["completeAfterIdle"] = tt.given
		}
		if err := forRun(u, tt.o); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "completeAfterIdle"); got != tt.want {
			t.Errorf("%s: completeAfterIdle %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDrainGrace(t *testing.T) {
	task := func(spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	}
	for _, tt := range []struct {
		objects []*unstructured.Unstructured
		want    time.Duration
	}{
		{[]*unstructured.Unstructured{task(map[string]any{})}, v1alpha1.DefaultDrainTimeout},
		{[]*unstructured.Unstructured{task(map[string]any{"drainTimeout": "5s"}), task(map[string]any{"drainTimeout": "5m"})}, 5 * time.Minute},
		{[]*unstructured.Unstructured{task(map[string]any{"drainTimeout": "soon"})}, v1alpha1.DefaultDrainTimeout},
	} {
		if got := drainGrace(tt.objects); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
