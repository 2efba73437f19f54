package pipeline

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// finalize deletes the Tasks of a deleted Pipeline and waits until they have gone, which their workers hold up while they
// finish what they have in hand.
func (r *Reconciler) finalize(ctx context.Context, p *v1alpha1.Pipeline, m *memory) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(p, v1alpha1.FinalizerTasks) {
		return ctrl.Result{}, nil // the garbage collector sees to it
	}
	list := &v1alpha1.TaskList{}
	if err := r.live.List(ctx, list, client.InNamespace(p.Namespace), client.MatchingLabels{v1alpha1.LabelPipeline: p.Name}); err != nil {
		return ctrl.Result{}, err
	}
	s := state{pipeline: p, now: r.now()}
	for i := range list.Items {
		t := &list.Items[i]
		if !metav1.IsControlledBy(t, p) {
			continue
		}
		s.members = append(s.members, member{want: t, have: t})
		if !t.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.Client.Delete(ctx, t, client.Preconditions{UID: &t.UID}); client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("deleting Task %s: %w", t.Name, err)
		}
	}
	if len(s.members) == 0 {
		return ctrl.Result{}, client.IgnoreNotFound(r.applyFinalizer(ctx, p, false))
	}
	return ctrl.Result{RequeueAfter: mendedPoll}, client.IgnoreNotFound(r.writeStatus(ctx, &s, m))
}

func (r *Reconciler) applyFinalizer(ctx context.Context, p *v1alpha1.Pipeline, hold bool) error {
	u := applied(p)
	if hold {
		u.SetFinalizers([]string{v1alpha1.FinalizerTasks})
	}
	err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(v1alpha1.FieldOwnerPipeline), client.ForceOwnership)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing the finalizer: %w", err)
	}
	return err
}

// applied is the least that names a Pipeline in server-side apply. The uid keeps it from making a deleted one anew.
func applied(p *v1alpha1.Pipeline) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Pipeline"))
	u.SetNamespace(p.Namespace)
	u.SetName(p.Name)
	u.SetUID(p.UID)
	return u
}
