package v1alpha1_test

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kjson "sigs.k8s.io/json"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// roundTrip checks what an informer needs of every stored object: it decodes into the Go type without loss, and what a Go
// client writes back is admitted again and is the same.
func roundTrip(tb testing.TB, a *admission, stored map[string]any) {
	tb.Helper()
	data, err := json.Marshal(stored)
	if err != nil {
		tb.Fatalf("encoding what was admitted: %v", err)
	}
	task := strictTask(tb, data)
	dropFractions(&task.Status)
	again, err := json.Marshal(task)
	if err != nil {
		tb.Fatalf("encoding the Go type of %s: %v", data, err)
	}
	if second := strictTask(tb, again); !equality.Semantic.DeepEqual(task, second) {
		tb.Fatalf("a round trip changed\n%s\ninto\n%s", data, again)
	}
	var written map[string]any
	if err := utiljson.Unmarshal(again, &written); err != nil {
		tb.Fatal(err)
	}
	if errs := a.admit(written, nil); len(errs) > 0 {
		tb.Fatalf("what Go writes for\n%s\nis refused: %v", data, errs.ToAggregate())
	}
	converted, err := runtime.DefaultUnstructuredConverter.ToUnstructured(task)
	if err != nil {
		tb.Fatalf("converting %s: %v", data, err)
	}
	if errs := a.admit(converted, nil); len(errs) > 0 {
		tb.Fatalf("what server-side apply sends for\n%s\nis refused: %v", data, errs.ToAggregate())
	}
}

func strictTask(tb testing.TB, data []byte) *v1alpha1.Task {
	tb.Helper()
	task := new(v1alpha1.Task)
	strict, err := kjson.UnmarshalStrict(data, task)
	if err != nil {
		tb.Fatalf("admitted, but the Go type does not decode it: %v\n%s", err, data)
	}
	if len(strict) > 0 {
		tb.Fatalf("admitted, but the Go type loses a part of it: %v\n%s", strict, data)
	}
	return task
}

// dropFractions cuts times to seconds, as metav1.Time writes them.
func dropFractions(status *v1alpha1.TaskStatus) {
	for i := range status.Conditions {
		c := &status.Conditions[i]
		c.LastTransitionTime = c.LastTransitionTime.Rfc3339Copy()
	}
	for i := range status.RecentFailures {
		f := &status.RecentFailures[i]
		f.Time = f.Time.Rfc3339Copy()
	}
}
