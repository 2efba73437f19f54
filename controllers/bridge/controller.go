// Package bridge watches over Slurm bridges from within the cluster: it tells in the status of their Tasks when one is lost, and lets
// a deleted Task go that nobody will end any more. It starts no jobs and ends none.
package bridge

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/taskstatus"
	"tigerflow.dev/tigerflow/internal/kube"
)

// Reconciler watches over bridges. A request is the namespace and the name of one. Its Client's cache need have no Leases but
// those with the label tigerflow.dev/bridge, and Namespaces as PartialObjectMetadata.
type Reconciler struct {
	Client client.Client
	Now    func() time.Time

	live  client.Reader // not cached
	signs *signs
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.signs, r.live = newSigns(), mgr.GetAPIReader()
	return ctrl.NewControllerManagedBy(mgr).
		Named("bridge").
		Watches(&v1alpha1.Task{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []ctrl.Request {
			if t, ok := o.(*v1alpha1.Task); ok && t.Spec.Type == v1alpha1.TaskSlurm {
				return request(t.Namespace, t.Spec.BridgeName())
			}
			return nil
		})).
		Watches(&coordinationv1.Lease{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []ctrl.Request {
			if bridge := o.GetLabels()[v1alpha1.LabelBridge]; o.GetName() == v1alpha1.BridgeLease(bridge) {
				return request(o.GetNamespace(), bridge)
			}
			return nil
		})).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.bridgesOf)).
		WithOptions(controller.Options{NewQueue: kube.NewQueue[ctrl.Request]}).
		Complete(r)
}

func request(namespace, bridge string) []ctrl.Request {
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: namespace, Name: bridge}}}
}

// bridgesOf is those of the Tasks of a Namespace.
func (r *Reconciler) bridgesOf(ctx context.Context, namespace client.Object) (all []ctrl.Request) {
	list := &v1alpha1.TaskList{}
	if err := r.Client.List(ctx, list, client.InNamespace(namespace.GetName())); err != nil {
		return nil // only before the cache is filled, and then each Task comes by itself
	}
	for i := range list.Items {
		if t := &list.Items[i]; t.Spec.Type == v1alpha1.TaskSlurm {
			all = append(all, request(t.Namespace, t.Spec.BridgeName())...)
		}
	}
	return all
}

// Reconcile looks at one bridge and its Tasks.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	tasks, err := r.tasks(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if len(tasks) == 0 {
		r.signs.forget(req.NamespacedName)
		return ctrl.Result{}, nil
	}
	lease := &coordinationv1.Lease{}
	err = r.Client.Get(ctx, types.NamespacedName{Namespace: req.Namespace, Name: v1alpha1.BridgeLease(req.Name)}, lease)
	if apierrors.IsNotFound(err) {
		lease = nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	left := r.signs.left(req.NamespacedName, cached, lease, r.now())
	if left == 0 { // by what the cache shows, which may be behind
		if lease, err = r.leaseNow(ctx, req.NamespacedName); err != nil {
			r.signs.forget(req.NamespacedName) // nor could the bridge renew its Lease
			return ctrl.Result{}, err
		}
		left = r.signs.left(req.NamespacedName, live, lease, r.now())
	}
	if left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	again, err := r.lost(ctx, req.NamespacedName, lease, tasks)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// leaseNow is the Lease of a bridge by what the API server knows now; nil if there is none. A list needs no right that the cache does
// not need as well.
func (r *Reconciler) leaseNow(ctx context.Context, bridge types.NamespacedName) (*coordinationv1.Lease, error) {
	list := &coordinationv1.LeaseList{}
	name := v1alpha1.BridgeLease(bridge.Name)
	if err := r.live.List(ctx, list, client.InNamespace(bridge.Namespace), client.MatchingFields{metav1.ObjectNameField: name}); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if list.Items[i].Name == name {
			return &list.Items[i], nil
		}
	}
	return nil, nil
}

// tasks are those that wait for the bridge: to be run, or, when they are deleted, to be let go.
func (r *Reconciler) tasks(ctx context.Context, bridge types.NamespacedName) (waiting []*v1alpha1.Task, err error) {
	list := &v1alpha1.TaskList{}
	if err := r.Client.List(ctx, list, client.InNamespace(bridge.Namespace)); err != nil {
		return nil, err
	}
	for i := range list.Items {
		t := &list.Items[i]
		if t.Spec.Type != v1alpha1.TaskSlurm || t.Spec.BridgeName() != bridge.Name {
			continue
		}
		if isHeld(t) || t.DeletionTimestamp.IsZero() && !taskstatus.IsComplete(t) {
			waiting = append(waiting, t)
		}
	}
	return waiting, nil
}

// isHeld reports whether a deleted Task waits for its bridge to end its workers.
func isHeld(t *v1alpha1.Task) bool {
	return !t.DeletionTimestamp.IsZero() && controllerutil.ContainsFinalizer(t, v1alpha1.FinalizerWorkers)
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// terminating reports whether a namespace is being deleted, and the account of its bridge with it.
func (r *Reconciler) terminating(ctx context.Context, name string) (bool, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Client.Get(ctx, types.NamespacedName{Name: name}, namespace)
	return err == nil && !namespace.DeletionTimestamp.IsZero(), client.IgnoreNotFound(err)
}
