// Package pipeline reconciles Pipelines: it keeps one Task for each of their tasks, lets these end together, and sums
// their status up. It touches no files.
package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/pipeline"
	"tigerflow.dev/tigerflow/staging"
)

const (
	mendedPoll = 5 * time.Second // how often it is looked whether a person has mended what no event tells of
	cachePoll  = time.Second     // should the event that is waited for have been missed
)

// Reconciler reconciles Pipelines.
type Reconciler struct {
	Client   client.Client
	Finalize bool          // delete the Tasks of a deleted Pipeline, where no garbage collector does
	Period   time.Duration // least time between two writes of counters that bring nothing new
	// NewQueue makes the queue; nil is controller-runtime's own, which measures itself twice a second.
	NewQueue func(name string, limiter workqueue.TypedRateLimiter[ctrl.Request]) workqueue.TypedRateLimitingInterface[ctrl.Request]
	Now      func() time.Time

	live  client.Reader // not cached: a Task that was just made must not be missed
	mu    sync.Mutex
	known map[types.NamespacedName]*memory
}

// memory is what is known of a Pipeline besides what the cache shows.
type memory struct {
	applied map[string]written // by name: the last write of a Task
	stale   string             // the resource version that the last write of the status replaced
	wrote   time.Time          // when the status was last written
	told    int64              // the generation that it was about
}

// written is what a write made of a Task.
type written struct {
	uid        types.UID
	generation int64
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.known, r.live = map[types.NamespacedName]*memory{}, mgr.GetAPIReader()
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Pipeline{}).
		Owns(&v1alpha1.Task{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: 2, NewQueue: r.NewQueue}).
		Complete(r)
}

// Reconcile brings one Pipeline a step on.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	p := &v1alpha1.Pipeline{}
	if err := r.Client.Get(ctx, req.NamespacedName, p); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	m := r.memory(req.NamespacedName)
	if !p.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, p, m)
	}
	if p.ResourceVersion == m.stale { // the cache does not show the last status yet, which would be written again
		return ctrl.Result{RequeueAfter: cachePoll}, nil
	}
	if r.Finalize && !controllerutil.ContainsFinalizer(p, v1alpha1.FinalizerTasks) {
		if err := r.applyFinalizer(ctx, p, true); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	s := state{pipeline: p, now: r.now(), changed: p.Generation != p.Status.ObservedGeneration && p.Generation != m.told}
	behind, err := r.advance(ctx, &s, m)
	if err != nil || behind {
		return ctrl.Result{RequeueAfter: cachePoll}, err
	}
	if err := r.writeStatus(ctx, &s, m); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{RequeueAfter: s.next}, s.err
}

// advance does what there is to do for a Pipeline. It reports whether the cache is behind its own writes, so that nothing
// can be decided yet.
func (r *Reconciler) advance(ctx context.Context, s *state, m *memory) (behind bool, err error) {
	g, err := pipeline.New(&s.pipeline.Spec)
	if bad, ok := errors.AsType[*pipeline.GraphError](err); ok {
		s.refuse(v1alpha1.ReasonInvalidGraph, "%s", bad)
		return false, nil
	} else if err != nil {
		return false, err
	}
	for _, want := range g.Tasks(s.pipeline) {
		if err := r.look(ctx, s, want); err != nil {
			return false, err
		}
	}
	if m.behind(s.members) {
		return true, nil
	}
	if _, err := staging.Compile(pipeline.Steps(s.pipeline.Spec.Staging)); err != nil {
		s.refuse(v1alpha1.ReasonInvalidStaging, "%s", err)
		return false, nil
	}
	s.schedule()
	if slices.ContainsFunc(s.members, isMissing) { // of which the cache may not show yet why
		if gone, err := r.gone(ctx, s.pipeline); gone || err != nil {
			return gone, err
		}
		if made, err := r.made(ctx, s.pipeline, s.members, m); made || err != nil {
			return made, err
		}
	}
	r.applyTasks(ctx, s, m)
	return false, nil
}

// gone reports whether a Pipeline is being deleted, or has been, by what the API server knows now.
func (r *Reconciler) gone(ctx context.Context, p *v1alpha1.Pipeline) (bool, error) {
	now := &v1alpha1.Pipeline{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(p), now); err != nil {
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	return now.UID != p.UID || !now.DeletionTimestamp.IsZero(), nil
}

// made reports whether a Task that is missing in the cache was made before, and is there by what the API server knows now. A list
// needs no right that the cache does not need as well.
func (r *Reconciler) made(ctx context.Context, p *v1alpha1.Pipeline, members []member, m *memory) (bool, error) {
	awaited := map[types.UID]bool{}
	for _, member := range members {
		if last, ok := m.applied[member.want.Name]; ok && isMissing(member) {
			awaited[last.uid] = true
		}
	}
	if len(awaited) == 0 {
		return false, nil
	}
	now := &v1alpha1.TaskList{}
	if err := r.live.List(ctx, now, client.InNamespace(p.Namespace), client.MatchingLabels{v1alpha1.LabelPipeline: p.Name}); err != nil {
		return false, err
	}
	return slices.ContainsFunc(now.Items, func(t v1alpha1.Task) bool { return awaited[t.UID] }), nil
}

// memory is that of one Pipeline, a new one if it has none.
func (r *Reconciler) memory(key types.NamespacedName) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.known[key]
	if m == nil {
		m = &memory{applied: map[string]written{}}
		r.known[key] = m
	}
	return m
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, key)
}

// behind reports whether the cache shows a Task as it was before the last write of it.
func (m *memory) behind(members []member) bool {
	for _, member := range members {
		if have := member.have; have != nil {
			if last := m.applied[have.Name]; last.uid == have.UID && have.Generation < last.generation {
				return true
			}
		}
	}
	return false
}

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
