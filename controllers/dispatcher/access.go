package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/kube"
)

// AccessReconciler gives the dispatchers of each namespace that has Tasks for them a ServiceAccount, and binds it to the
// ClusterRole tigerflow-dispatcher within that namespace. A request is the name of a namespace.
type AccessReconciler struct {
	Client client.Client
}

// SetupWithManager registers the controller.
func (r *AccessReconciler) SetupWithManager(mgr ctrl.Manager) error {
	namespace := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []ctrl.Request {
		if t, ok := o.(*v1alpha1.Task); ok && t.Spec.Type == v1alpha1.TaskSlurm {
			return nil
		}
		return []ctrl.Request{{NamespacedName: types.NamespacedName{Name: o.GetNamespace()}}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("dispatcher-access").
		Watches(&v1alpha1.Task{}, namespace, builder.WithPredicates(predicate.Funcs{
			UpdateFunc: func(event.UpdateEvent) bool { return false }, DeleteFunc: func(event.DeleteEvent) bool { return false },
		})).
		Watches(&corev1.ServiceAccount{}, namespace).
		Watches(&rbacv1.RoleBinding{}, namespace).
		WithOptions(controller.Options{NewQueue: kube.NewQueue[ctrl.Request]}).
		Complete(r)
}

// Reconcile makes what is missing in one namespace, and takes back what others have changed.
func (r *AccessReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	needed, err := r.needed(ctx, req.Name)
	if err != nil || !needed {
		return ctrl.Result{}, err
	}
	key := types.NamespacedName{Namespace: req.Name, Name: v1alpha1.NameDispatcher}
	var result ctrl.Result
	var errs []error
	for _, err := range []error{r.account(ctx, key), r.binding(ctx, key)} {
		if apierrors.IsAlreadyExists(err) { // the cache will tell of it, or never, if others have made it
			result.RequeueAfter = strangerPoll
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return ctrl.Result{}, errors.Join(errs...)
	}
	return result, nil
}

// strangerPoll is how often it is looked whether what others have made, which the cache does not show, is still there.
const strangerPoll = time.Minute

// needed reports whether a namespace has Tasks whose workers are Pods.
func (r *AccessReconciler) needed(ctx context.Context, namespace string) (bool, error) {
	list := &v1alpha1.TaskList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return false, err
	}
	for i := range list.Items {
		if list.Items[i].Spec.Type != v1alpha1.TaskSlurm {
			return true, nil
		}
	}
	return false, nil
}

func (r *AccessReconciler) account(ctx context.Context, key types.NamespacedName) error {
	want := &corev1.ServiceAccount{ObjectMeta: metaOf(key), AutomountServiceAccountToken: new(false)} // the Pods ask for it
	have := &corev1.ServiceAccount{}
	err := r.Client.Get(ctx, key, have)
	if apierrors.IsNotFound(err) {
		return r.create(ctx, want)
	}
	return err
}

func (r *AccessReconciler) binding(ctx context.Context, key types.NamespacedName) error {
	want := &rbacv1.RoleBinding{
		ObjectMeta: metaOf(key),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: v1alpha1.NameDispatcher},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: key.Name, Namespace: key.Namespace}},
	}
	have := &rbacv1.RoleBinding{}
	switch err := r.Client.Get(ctx, key, have); {
	case apierrors.IsNotFound(err):
		return r.create(ctx, want)
	case err != nil:
		return err
	case have.RoleRef == want.RoleRef && apiequality.Semantic.DeepEqual(have.Subjects, want.Subjects):
		return nil
	}
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID})); err != nil { // roleRef cannot be changed
		return fmt.Errorf("deleting RoleBinding %s that was changed: %w", key, err)
	}
	return r.create(ctx, want)
}

func (r *AccessReconciler) create(ctx context.Context, o client.Object) error {
	err := r.Client.Create(ctx, o)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("making %T %s/%s: %w", o, o.GetNamespace(), o.GetName(), err)
	}
	return nil
}

func metaOf(key types.NamespacedName) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Labels: labels()}
}
