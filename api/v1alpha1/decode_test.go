package v1alpha1_test

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	object := a.strict(tb, data)
	dropFractions(object)
	again, err := json.Marshal(object)
	if err != nil {
		tb.Fatalf("encoding the Go type of %s: %v", data, err)
	}
	if second := a.strict(tb, again); !equality.Semantic.DeepEqual(object, second) {
		tb.Fatalf("a round trip changed\n%s\ninto\n%s", data, again)
	}
	var written map[string]any
	if err := utiljson.Unmarshal(again, &written); err != nil {
		tb.Fatal(err)
	}
	if errs := a.admit(written, nil); len(errs) > 0 {
		tb.Fatalf("what Go writes for\n%s\nis refused: %v", data, errs.ToAggregate())
	}
	converted, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		tb.Fatalf("converting %s: %v", data, err)
	}
	if errs := a.admit(converted, nil); len(errs) > 0 {
		tb.Fatalf("what server-side apply sends for\n%s\nis refused: %v", data, errs.ToAggregate())
	}
}

// strict decodes an object of the kind.
func (a *admission) strict(tb testing.TB, data []byte) runtime.Object {
	tb.Helper()
	object, err := newScheme(tb).New(v1alpha1.GroupVersion.WithKind(a.kind))
	if err != nil {
		tb.Fatal(err)
	}
	strict, err := kjson.UnmarshalStrict(data, object)
	if err != nil {
		tb.Fatalf("admitted, but the Go type does not decode it: %v\n%s", err, data)
	}
	if len(strict) > 0 {
		tb.Fatalf("admitted, but the Go type loses a part of it: %v\n%s", strict, data)
	}
	return object
}

func newScheme(tb testing.TB) *runtime.Scheme {
	tb.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		tb.Fatal(err)
	}
	return scheme
}

// dropFractions cuts times to seconds, as metav1.Time writes them.
func dropFractions(object runtime.Object) {
	var conditions []metav1.Condition
	switch object := object.(type) {
	case *v1alpha1.Pipeline:
		conditions = object.Status.Conditions
	case *v1alpha1.Task:
		conditions = object.Status.Conditions
		for i := range object.Status.RecentFailures {
			f := &object.Status.RecentFailures[i]
			f.Time = f.Time.Rfc3339Copy()
		}
	}
	for i := range conditions {
		conditions[i].LastTransitionTime = conditions[i].LastTransitionTime.Rfc3339Copy()
	}
}
