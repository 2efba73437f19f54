package main

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// A cache tells of the first objects a moment before it lets them be read.
func TestFollowEarly(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha1.GroupVersion.WithKind("Task"), meta.RESTScopeNamespace)
	early, err := cache.New(&rest.Config{}, cache.Options{Scheme: newScheme(), Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	task := v1alpha1.Task{}
	task.Spec.Type = v1alpha1.TaskLocal
	f := &follower{plane: &plane{cached: early}}
	if err := f.get(t.Context(), types.NamespacedName{Namespace: "default", Name: "t"}, &task); err != nil {
		t.Error(err)
	}
	if task.Spec.Type != v1alpha1.TaskLocal {
		t.Errorf("the object became %+v", task)
	}
}
