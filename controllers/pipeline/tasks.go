package pipeline

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// member is a task of a Pipeline: the Task that there should be, and the one that there is.
type member struct {
	want *v1alpha1.Task
	have *v1alpha1.Task // nil if there is none that is this Pipeline's

	taken bool // there is one that is not
}

// name is the task's own.
func (m member) name() string { return m.want.Spec.TaskName }

// isMissing reports whether a Task is yet to be made.
func isMissing(m member) bool { return m.have == nil && !m.taken }

// look finds the Task of a task.
func (r *Reconciler) look(ctx context.Context, s *state, want *v1alpha1.Task) error {
	p := s.pipeline
	want.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(p, v1alpha1.GroupVersion.WithKind("Pipeline"))}
	have, taken := &v1alpha1.Task{}, false
	switch err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), have); {
	case apierrors.IsNotFound(err):
		have = nil
	case err != nil:
		return err
	case metav1.IsControlledBy(have, p):
	case isOfEarlier(have, p) && (!have.DeletionTimestamp.IsZero() || !r.Finalize): // a garbage collector may yet come to it
		s.await = have.Name
		have, taken = nil, true
	default:
		s.refuse(v1alpha1.ReasonTaskNameInUse, "task %q: its Task would be %s, and %s: delete that, or apply this Pipeline by another name",
			want.Spec.TaskName, want.Name, holder(have))
		have, taken = nil, true
	}
	s.members = append(s.members, member{want: want, have: have, taken: taken})
	return nil
}

// isOfEarlier reports whether a Task is that of a Pipeline of the same name that is no more.
func isOfEarlier(t *v1alpha1.Task, p *v1alpha1.Pipeline) bool {
	owner := metav1.GetControllerOf(t)
	return owner != nil && owner.Kind == "Pipeline" && owner.APIVersion == v1alpha1.GroupVersion.String() && owner.Name == p.Name
}

// holder says whose a Task is.
func holder(t *v1alpha1.Task) string {
	if owner := metav1.GetControllerOf(t); owner != nil {
		return fmt.Sprintf("there is one that belongs to %s %s", owner.Kind, owner.Name)
	}
	return "there is one that no Pipeline made"
}

// applyTasks brings the Tasks to what they should be. One that the API server refuses does not keep it from the others.
func (r *Reconciler) applyTasks(ctx context.Context, s *state, m *memory) {
	for i := range s.members {
		at := &s.members[i]
		if at.taken || at.have != nil && (!at.have.DeletionTimestamp.IsZero() || same(at.want, at.have)) {
			continue
		}
		have, err := r.applyTask(ctx, at.want)
		switch {
		case err == nil:
			m.applied[have.Name] = written{have.UID, have.Generation}
			at.have = have
		case apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err):
			s.refuse(v1alpha1.ReasonTaskRefused, "task %q: %s", at.name(), err)
		default:
			s.err = fmt.Errorf("applying Task %s: %w", at.want.Name, err)
		}
	}
}

// same reports whether a Task is all that it should be.
func same(want, have *v1alpha1.Task) bool {
	for key, value := range want.Labels {
		if have.Labels[key] != value {
			return false
		}
	}
	return apiequality.Semantic.DeepEqual(want.OwnerReferences, have.OwnerReferences) && apiequality.Semantic.DeepEqual(want.Spec, have.Spec)
}

// applyTask makes a Task, or takes back what others changed of it. What they added belongs to them in server-side apply,
// which leaves it there: the spec as a whole is written then.
func (r *Reconciler) applyTask(ctx context.Context, want *v1alpha1.Task) (*v1alpha1.Task, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	u := &unstructured.Unstructured{Object: content}
	err = r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerPipeline), client.ForceOwnership)
	if err != nil {
		return nil, err
	}
	have := &v1alpha1.Task{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, have); err != nil {
		return nil, err
	}
	if same(want, have) {
		return have, nil
	}
	have.Spec, have.OwnerReferences = *want.Spec.DeepCopy(), want.OwnerReferences
	return have, r.Client.Update(ctx, have, client.FieldOwner(v1alpha1.FieldOwnerPipeline))
}
