// Package task reconciles Tasks: it runs the dispatcher of each in this process, keeps its workers through an executor,
// and writes its status.
package task

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/flow"
)

const (
	stalledRetry = 2 * time.Second // how often it is looked whether a person has mended what stalls a Task
	drainPoll    = time.Second
	recoverPoll  = 200 * time.Millisecond
	askedPoll    = 10 * time.Second // how often it is looked whether a Task that is complete is asked for a retry
)

// Backend runs the workers of one type of Task.
type Backend struct {
	Executor   executor.Executor
	Containers bool // it can run spec.container.image
	// For is the Executor for one Task, where its workers need more of the Task than an executor.Spec has; nil is Executor
	// itself. It is asked again when the Task's revision has changed.
	For func(*v1alpha1.Task) executor.Executor
}

// of is the executor of a Task's workers.
func (b Backend) of(t *v1alpha1.Task) executor.Executor {
	if b.For == nil {
		return b.Executor
	}
	return b.For(t)
}

// NewQueue makes the queue of a controller.
type NewQueue func(name string, limiter workqueue.TypedRateLimiter[ctrl.Request]) workqueue.TypedRateLimitingInterface[ctrl.Request]

// Reconciler reconciles Tasks whose dispatchers run in this process.
type Reconciler struct {
	Client   client.Client
	Backends map[v1alpha1.TaskType]Backend
	Log      *slog.Logger
	Plane    string                     // what spools are told of the control plane
	Bridge   string                     // the Slurm bridge that this is: only its Slurm Tasks are touched. Empty: every Task is this one's
	Owns     func(*v1alpha1.Task) bool  // which of these are this one's; nil is all
	Finalize bool                       // hold a deleted Task until its workers have ended, where no garbage collector ends them
	TakeOver bool                       // take spools from holders that show no end
	Period   time.Duration              // least time between two writes of counters that bring nothing new
	Spacing  time.Duration              // the same of all Tasks together, on average; 0 is no bound
	Rest     time.Duration              // least time between two looks at a Task whose workers have enough to do; 0 is none
	Staging  string                     // the socket of the container in which the functions of staging run; empty is beside this process
	NewQueue NewQueue                   // nil is controller-runtime's own, which measures itself twice a second
	Admit    func(*v1alpha1.Task) error // says what of a Task is not allowed here, in words for its author; nil allows all
	Explain  func(string) string        // adds to the message of a condition what is to be known of this host; nil adds nothing
	Now      func() time.Time

	mu    sync.Mutex
	flows map[types.NamespacedName]*taskFlow
	queue workqueue.TypedRateLimitingInterface[ctrl.Request]
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.flows = map[types.NamespacedName]*taskFlow{}
	for _, b := range r.Backends {
		if err := mgr.Add(r.follow(b.Executor)); err != nil {
			return err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Task{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, NewQueue: r.NewQueue}).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.queue = q
			return nil
		})).
		Complete(r)
}

// Reconcile brings one Task a step on.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	t := &v1alpha1.Task{}
	if err := r.Client.Get(ctx, req.NamespacedName, t); err != nil {
		if apierrors.IsNotFound(err) {
			return r.vanished(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	if !r.owns(t) {
		return ctrl.Result{}, nil
	}
	backend, ok := r.Backends[t.Spec.Type]
	if !ok {
		return ctrl.Result{}, client.IgnoreNotFound(r.writeStatus(ctx, t, nil, new(nobody(t.Spec.Type, r.now()))))
	}
	f := r.flow(req.NamespacedName)
	if err := f.meet(t.UID); err != nil {
		return ctrl.Result{}, err
	}
	if !t.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, t, f, backend)
	}
	if !f.Running() && (isComplete(t) || f.completed == t.Generation) {
		if rests, err := r.rest(ctx, t, f); rests {
			return ctrl.Result{RequeueAfter: askedPoll}, err
		}
	}
	if r.Finalize && !controllerutil.ContainsFinalizer(t, v1alpha1.FinalizerWorkers) {
		if err := r.applyFinalizer(ctx, t, true); err != nil {
			return ctrl.Result{}, err
		}
	}
	s := r.advance(ctx, t, f, backend)
	r.report(ctx, t, f, &s)
	return ctrl.Result{RequeueAfter: s.next}, s.err
}

// owns reports whether a Task is this process's to look after.
func (r *Reconciler) owns(t *v1alpha1.Task) bool {
	if r.Bridge != "" && t.Spec.BridgeName() != r.Bridge {
		return false
	}
	return r.Owns == nil || r.Owns(t)
}

// advance does what there is to do for a Task and returns what its status should say.
func (r *Reconciler) advance(ctx context.Context, t *v1alpha1.Task, f *taskFlow, b Backend) state {
	s := state{task: t, now: r.now()}
	if f.completed == t.Generation && !f.Running() { // the status that says so is yet to be written, or to be seen
		s.snapshot, s.finished = f.Snapshot(), true
		return s
	}
	if err := r.open(t, f, b); err != nil {
		s.refuse(err)
		return s
	}
	if err := f.unsuspend(ctx, t); err != nil {
		s.refuse(err)
		return s
	}
	st, err := f.Step(ctx, s.now, wantOf(t))
	s.take(st)
	if st.Snapshot.Recovering { // a dispatcher that was made anew may then have no news for who saw the last one's
		s.wait(recoverPoll)
	}
	if err != nil {
		s.refuse(err)
		return s
	}
	if s.finished {
		f.completed = t.Generation
	}
	return s
}

// open has the Task's dispatcher run, if its backend can do what the Task asks.
func (r *Reconciler) open(t *v1alpha1.Task, f *taskFlow, b Backend) error {
	if field := containerField(&t.Spec); field != "" && !b.Containers {
		return stalled(v1alpha1.ReasonInvalidHandler,
			"spec.container.%s: %s workers here are plain processes: remove it, or apply the Task to a cluster", field, t.Spec.Type)
	}
	if r.Admit != nil {
		if err := r.Admit(t); err != nil {
			return stalled(v1alpha1.ReasonNotAllowed, "%s", err)
		}
	}
	spec, err := spoolSpec(t)
	if err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(t)
	return f.Open(spec, flow.Config{
		Owner: r.owner(t), TakeOver: r.TakeOver,
		Terms:    flow.Terms{Input: "input.directory", InputBase: "workspace.path and input.directory", Output: "output.directory"},
		Executor: b.of(t), Rest: r.Rest, Pipeline: pipelineOf(&t.Spec), Staging: r.Staging, Log: r.Log.With("task", key.String()),
		Changed: func(s *dispatcher.Snapshot) { r.changed(key, f, s) },
	})
}

// containerField names what of a Task asks for a container; "" if nothing does.
func containerField(s *v1alpha1.TaskSpec) string {
	switch c := s.Container; {
	case c == nil:
	case c.Image != "":
		return "image"
	case len(c.Mounts) > 0:
		return "mounts"
	}
	return ""
}

// finalize drains the workers of a deleted Task. Outputs and spool stay: applying the Task again goes on.
func (r *Reconciler) finalize(ctx context.Context, t *v1alpha1.Task, f *taskFlow, b Backend) (ctrl.Result, error) {
	if !f.Running() {
		if drained, err := r.drainLeft(ctx, t, b.of(t)); !drained {
			return ctrl.Result{RequeueAfter: drainPoll}, err
		}
	}
	if drained, err := f.Drain(ctx, r.now()); !drained {
		return ctrl.Result{RequeueAfter: drainPoll}, err
	}
	if err := r.drop(client.ObjectKeyFromObject(t)); err != nil {
		return ctrl.Result{}, err
	}
	if !controllerutil.ContainsFinalizer(t, v1alpha1.FinalizerWorkers) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(r.applyFinalizer(ctx, t, false))
}

// vanished ends what runs for a Task that went without waiting for its workers.
func (r *Reconciler) vanished(ctx context.Context, key types.NamespacedName) (ctrl.Result, error) {
	r.mu.Lock()
	f := r.flows[key]
	r.mu.Unlock()
	if f != nil {
		if drained, err := f.Drain(ctx, r.now()); !drained {
			return ctrl.Result{RequeueAfter: drainPoll}, err
		}
	}
	return ctrl.Result{}, r.drop(key)
}

// flow is the flow of a Task, a new one if it has none.
func (r *Reconciler) flow(key types.NamespacedName) *taskFlow {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flows[key]
	if f == nil {
		f = &taskFlow{}
		r.flows[key] = f
	}
	return f
}

// drop ends the dispatcher of a Task that is no more.
func (r *Reconciler) drop(key types.NamespacedName) error {
	r.mu.Lock()
	f := r.flows[key]
	delete(r.flows, key)
	r.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("ending the dispatcher: %w", err)
	}
	return nil
}

// changed looks at a Task again: within the period of counters if a new Snapshot shows no more than that these have moved on,
// else at once.
func (r *Reconciler) changed(key types.NamespacedName, f *taskFlow, s *dispatcher.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue == nil {
		return
	}
	if f.seen != nil && !significant(f.seen, s) {
		r.queue.AddAfter(ctrl.Request{NamespacedName: key}, r.period())
		return
	}
	f.seen = s
	r.queue.Add(ctrl.Request{NamespacedName: key})
}

// period is how long counters that bring nothing new wait; r.mu is held.
func (r *Reconciler) period() time.Duration {
	return max(r.Period, r.Spacing*time.Duration(len(r.flows)))
}

// follow looks at all Tasks again when an executor's workers change.
func (r *Reconciler) follow(e executor.Executor) runnable {
	return func(ctx context.Context) error {
		n, ok := e.(executor.Notifier)
		if !ok {
			return nil
		}
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-n.Changes():
			}
			r.mu.Lock()
			for key := range r.flows {
				if r.queue != nil {
					r.queue.Add(ctrl.Request{NamespacedName: key})
				}
			}
			r.mu.Unlock()
		}
	}
}

type runnable func(context.Context) error

func (f runnable) Start(ctx context.Context) error { return f(ctx) }

func (r *Reconciler) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Snapshot is what the dispatcher of a Task knows, nil if none runs here.
func (r *Reconciler) Snapshot(key types.NamespacedName) *dispatcher.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[key]; f != nil {
		return f.Snapshot()
	}
	return nil
}
