package bridge

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/taskstatus"
)

// lost tells the Tasks of a bridge that it is, and lets those go that are given up. If not all could be told yet, it is to be called
// again after so long.
func (r *Reconciler) lost(ctx context.Context, bridge types.NamespacedName, lease *coordinationv1.Lease, tasks []*v1alpha1.Task) (again time.Duration, err error) {
	terminating, err := r.terminating(ctx, bridge.Namespace)
	if err != nil {
		return 0, err
	}
	seen := lastSeen(bridge, lease)
	for _, t := range tasks {
		var left time.Duration
		switch {
		case !isHeld(t):
			left, err = taskstatus.Write(ctx, r.Client, t, taskstatus.Unknown(v1alpha1.ReasonBridgeLost,
				"%s: start slurmbridge again; its jobs may go on meanwhile", seen), r.now())
		case terminating || t.Annotations[v1alpha1.AnnotationAbandon] == "true":
			err = r.release(ctx, t)
		default:
			left, err = taskstatus.Write(ctx, r.Client, t, taskstatus.Unknown(v1alpha1.ReasonDeletionBlocked,
				"%s: start slurmbridge again to end the jobs, or give them up: kubectl annotate -n %s task %s %s=true",
				seen, t.Namespace, t.Name, v1alpha1.AnnotationAbandon), r.now())
		}
		if err != nil {
			return 0, err
		}
		again = max(again, left)
	}
	return again, nil
}

// lastSeen says since when nothing is heard of a bridge.
func lastSeen(bridge types.NamespacedName, lease *coordinationv1.Lease) string {
	switch {
	case lease == nil:
		return fmt.Sprintf("there is no Slurm bridge %q in namespace %s", bridge.Name, bridge.Namespace)
	case lease.Spec.RenewTime == nil:
		return fmt.Sprintf("the Slurm bridge %q was never seen", bridge.Name)
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "":
		return fmt.Sprintf("the Slurm bridge %q was ended at %s", bridge.Name, lease.Spec.RenewTime.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the Slurm bridge %q, %s, was last seen at %s", bridge.Name, *lease.Spec.HolderIdentity, lease.Spec.RenewTime.UTC().Format(time.RFC3339))
}

// release lets a deleted Task go without its bridge. A bridge that comes back ends what still runs.
func (r *Reconciler) release(ctx context.Context, t *v1alpha1.Task) error {
	next := t.DeepCopy()
	controllerutil.RemoveFinalizer(next, v1alpha1.FinalizerWorkers)
	err := r.Client.Patch(ctx, next, client.MergeFromWithOptions(t, client.MergeFromWithOptimisticLock{}), client.FieldOwner(v1alpha1.FieldOwnerTask))
	if err = client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("giving up the jobs of Task %s: %w", t.Name, err)
	}
	return nil
}
