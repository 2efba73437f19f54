// Package dispatcher keeps, for each Task by itself and each Pipeline whose workers are Pods, one Pod that dispatches, and tells in
// the status of the Tasks why it cannot. In each namespace it gives these Pods the few rights that they need.
package dispatcher

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/kube"
)

// concurrency is how many reconciles there are at once: most wait for the API server.
const concurrency = 8

// Reconciler keeps the Pods of dispatchers. Its Client's cache need have no Pods but those with the label
// app.kubernetes.io/managed-by=tigerflow-manager, and Namespaces as PartialObjectMetadata.
type Reconciler struct {
	Client   client.Client
	Template Template
	Now      func() time.Time

	claims *claims
	pauses *pauses
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.claims = &claims{api: mgr.GetAPIReader(), known: map[types.NamespacedName]knownClaim{}}
	r.pauses = newPauses()
	own := func(of func(client.Object) (Owner, bool)) handler.TypedEventHandler[client.Object, Owner] {
		return handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []Owner {
			if owner, ok := of(o); ok {
				return []Owner{owner}
			}
			return nil
		})
	}
	return builder.TypedControllerManagedBy[Owner](mgr).
		Named("dispatcher").
		Watches(&v1alpha1.Task{}, own(func(o client.Object) (Owner, bool) { return OwnerOf(o.(*v1alpha1.Task)) })). //nolint:errcheck // it is one
		Watches(&v1alpha1.Pipeline{}, own(func(o client.Object) (Owner, bool) {
			return Owner{KindPipeline, o.GetNamespace(), o.GetName()}, true
		})).
		Watches(&corev1.Pod{}, own(func(o client.Object) (Owner, bool) { return ownerOfPod(o), true })).
		WatchesMetadata(&corev1.Namespace{}, handler.TypedEnqueueRequestsFromMapFunc(r.ownersIn)).
		WithOptions(controller.TypedOptions[Owner]{MaxConcurrentReconciles: concurrency, NewQueue: kube.NewQueue[Owner]}).
		WithLogConstructor(func(o *Owner) logr.Logger {
			log := mgr.GetLogger().WithValues("controller", "dispatcher")
			if o != nil {
				log = log.WithValues("kind", o.Kind, "namespace", o.Namespace, "name", o.Name)
			}
			return log
		}).
		Complete(r)
}

// ownersIn is all owners of a namespace, whose annotations are for all of them.
func (r *Reconciler) ownersIn(ctx context.Context, namespace client.Object) []Owner {
	list := &v1alpha1.TaskList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace.GetName())); err != nil {
		return nil // only before the cache is filled, and then each Task comes by itself
	}
	var owners []Owner
	for i := range list.Items {
		if o, ok := OwnerOf(&list.Items[i]); ok {
			owners = append(owners, o)
		}
	}
	return owners
}

// Reconcile brings the Pod of one dispatcher a step on.
func (r *Reconciler) Reconcile(ctx context.Context, o Owner) (ctrl.Result, error) {
	s, err := r.look(ctx, o)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.decide(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.act(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.tell(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	if s.err != nil {
		return ctrl.Result{}, s.err
	}
	return ctrl.Result{RequeueAfter: s.next}, nil
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func namespaceOf(name string) *metav1.PartialObjectMetadata {
	n := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return n
}
