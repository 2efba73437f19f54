package dispatcher

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/taskstatus"
)

// claimMemory is how long it is remembered how a claim can be shared, which never changes while it is there.
const claimMemory = 10 * time.Minute

// sharing is how Pods can use a claim.
type sharing int

const (
	sharedByNodes sharing = iota // each may run where it likes
	sharedByNode                 // all on one node
	notShared
)

// sharingOf is how Pods that write can use a claim with such access modes.
func sharingOf(modes []corev1.PersistentVolumeAccessMode) sharing {
	switch {
	case slices.Contains(modes, corev1.ReadWriteMany):
		return sharedByNodes
	case slices.Contains(modes, corev1.ReadWriteOnce):
		return sharedByNode
	}
	return notShared
}

// claims reads PersistentVolumeClaims. They are not watched: a cluster has many that are not ours.
type claims struct {
	api client.Reader // not cached

	mu    sync.Mutex
	known map[types.NamespacedName]knownClaim
}

type knownClaim struct {
	sharing sharing
	until   time.Time
}

// look tells how the claim of a workspace can be shared, or what is wrong with it.
func (c *claims) look(ctx context.Context, namespace string, w v1alpha1.Workspace, now time.Time) (sharing, *taskstatus.Verdict, error) {
	if w.Volume == nil {
		return 0, taskstatus.Stalled(v1alpha1.ReasonWorkspaceNotFound,
			"spec.workspace.volume: Pods have no files without one: apply this anew with the PersistentVolumeClaim that holds %s", w.Path), nil
	}
	key := types.NamespacedName{Namespace: namespace, Name: w.Volume.PersistentVolumeClaim.ClaimName}
	how, err := c.get(ctx, key, now)
	switch {
	case apierrors.IsNotFound(err):
		return 0, taskstatus.Stalled(v1alpha1.ReasonWorkspaceNotFound,
			"spec.workspace.volume: there is no PersistentVolumeClaim %q in namespace %s: create it, or apply this anew with one that exists", key.Name, namespace), nil
	case err != nil:
		return 0, nil, err
	case how == notShared:
		return 0, taskstatus.Stalled(v1alpha1.ReasonWorkspaceNotShareable,
			"spec.workspace.volume: several Pods cannot write PersistentVolumeClaim %q: use one that is ReadWriteMany, or ReadWriteOnce for Pods of one node", key.Name), nil
	}
	return how, nil, nil
}

func (c *claims) get(ctx context.Context, key types.NamespacedName, now time.Time) (sharing, error) {
	c.mu.Lock()
	known, ok := c.known[key]
	c.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.sharing, nil
	}
	claim := &corev1.PersistentVolumeClaim{}
	if err := c.api.Get(ctx, key, claim); err != nil {
		return 0, err
	}
	modes := claim.Status.AccessModes // those of the volume, once there is one
	if len(modes) == 0 {
		modes = claim.Spec.AccessModes
	}
	known = knownClaim{sharingOf(modes), now.Add(claimMemory)}
	c.mu.Lock()
	defer c.mu.Unlock()
	for other, k := range c.known { // it does not grow without end
		if now.After(k.until) {
			delete(c.known, other)
		}
	}
	c.known[key] = known
	return known.sharing, nil
}
