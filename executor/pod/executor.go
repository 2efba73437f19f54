// Package pod runs workers as Pods of a Kubernetes namespace, seen through a watch of those of one dispatcher. A Pod stays
// when its worker has ended until the end is recorded; only what the node's kubelet says of its containers is a witness of that.
package pod

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Notifier = (*Executor)(nil)
)

const (
	lookAgain = 15 * time.Second // how often it is looked whether a node has let a deadline pass
	firstList = 5 * time.Second  // for how long List waits for the first listing of all
)

// watchPauses are those of the watch while the API server is away: up to twice the cap. client-go's own are up to a minute, for
// which nothing would be heard of workers when it is back.
var watchPauses = wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 1, Steps: 10, Cap: 5 * time.Second}

// Config is what an Executor is told.
type Config struct {
	Pods   typedcorev1.PodInterface // of the namespace
	Select labels.Set               // labels that this dispatcher's Pods have and no others: LabelTask or LabelPipeline
	Images Images
	// As is who the workers are on the file system. They are never root.
	As Identity
	// Node keeps all workers on the node of this name, for a claim that one node can mount; empty is any.
	Node string
	Log  *slog.Logger
}

// Images are those of every worker.
type Images struct {
	Worker string            // the worker program, at /tigerflow-worker
	Python string            // where a Task names no image
	Pull   corev1.PullPolicy // of both, and of those that Tasks name; empty is the cluster's default
}

// Identity is a user of the file system.
type Identity struct {
	UID, GID int64
	Groups   []int64
}

// Executor runs workers in Pods, which outlive it: another one with the same labels goes on with them. It must be closed. It
// starts workers by what For returns.
type Executor struct {
	cfg     Config
	changes chan struct{}
	end     context.CancelFunc
	ended   chan struct{} // closed when the watch has ended

	mu     sync.Mutex
	pods   map[executor.WorkerID]*entry
	listed chan struct{} // closed when the Pods have been listed once
}

// New watches the Pods of a dispatcher until Close.
func New(c Config) *Executor {
	e := &Executor{
		cfg: c, changes: make(chan struct{}, 1), ended: make(chan struct{}),
		pods: map[executor.WorkerID]*entry{}, listed: make(chan struct{}),
	}
	if c.Log == nil {
		e.cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.end = cancel
	selector := labels.Merge(c.Select, labels.Set{v1alpha1.LabelName: v1alpha1.NameWorker}).String()
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return c.Pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return c.Pods.Watch(ctx, o)
		},
	}
	log := logr.FromSlogHandler(e.cfg.Log.Handler())
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(source, c.Pods), &corev1.Pod{}, store{e}, cache.ReflectorOptions{
		Name: "worker pods", ResyncPeriod: lookAgain, Logger: &log, Backoff: &watchPauses,
	})
	go func() { // ends with Close
		defer close(e.ended)
		reflector.RunWithContext(klog.NewContext(ctx, log))
	}()
	return e
}

// Close lets go of the workers, which go on.
func (e *Executor) Close() {
	e.end()
	<-e.ended
}

// Changes receives after any change of the list since the last receive.
func (e *Executor) Changes() <-chan struct{} { return e.changes }

func (e *Executor) notify() {
	select {
	case e.changes <- struct{}{}:
	default:
	}
}

// For is the Executor for the workers of one Task, as it is now.
func (e *Executor) For(t *v1alpha1.Task) executor.Executor { return view{e, t.DeepCopy()} }

// view starts workers of one Task.
type view struct {
	*Executor
	task *v1alpha1.Task
}

// Start fails: only a Task says what its workers' Pods are like. Use For.
func (e *Executor) Start(context.Context, []executor.Spec) error {
	return errors.New("a worker's Pod is started for a Task")
}

// List answers from what the watch has shown, the latest that is known while the API server is away. It fails until all Pods
// were listed once.
func (e *Executor) List(ctx context.Context) ([]executor.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, firstList)
	defer cancel()
	select {
	case <-e.listed:
	case <-limit.Done():
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, errors.New("the workers' Pods could not be listed yet: the API server does not answer, or does not allow it")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	list := make([]executor.Worker, 0, len(e.pods))
	for id, p := range e.pods {
		if !p.forgotten {
			w := p.worker(now)
			w.ID = id
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b executor.Worker) int { return a.ID.Compare(b.ID) })
	return list, nil
}

// Start makes the Pods one after the other and stops at the first that is refused.
func (v view) Start(ctx context.Context, specs []executor.Spec) error {
	for _, s := range specs {
		if err := v.start(ctx, s); err != nil {
			return fmt.Errorf("starting worker %s: %w", s.ID, err)
		}
	}
	return nil
}

func (v view) start(ctx context.Context, s executor.Spec) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validate(s, v.task); err != nil {
		return err
	}
	v.mu.Lock()
	known := v.pods[s.ID] != nil
	v.mu.Unlock()
	if known {
		return nil
	}
	pod := v.cfg.pod(v.task, s)
	made, err := v.cfg.Pods.Create(ctx, pod, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // an answer was lost, or this process is new
		return v.adopt(ctx, pod.Name, s.ID)
	}
	if err != nil {
		return refusal(err)
	}
	v.put(made)
	return nil
}

// adopt takes a Pod that is there already as a worker's. A list needs no right that the watch does not need as well.
func (v view) adopt(ctx context.Context, pod string, id executor.WorkerID) error {
	list, err := v.cfg.Pods.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, pod).String()})
	if err != nil {
		return refusal(err)
	}
	for i := range list.Items {
		switch made := &list.Items[i]; {
		case made.Name != pod:
		case made.Labels[v1alpha1.LabelWorker] != id.String():
			return refused("there is a Pod %s that is no worker of this Task: delete it", pod)
		default:
			v.put(made)
			return nil
		}
	}
	return fmt.Errorf("the Pod %s, which was there already, is gone", pod)
}

// Stop deletes Pods. Their nodes give them the time to drain that they were started with, or a second to be killed.
func (e *Executor) Stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if err := e.stop(ctx, id, mode); err != nil {
			errs = append(errs, fmt.Errorf("ending worker %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Executor) stop(ctx context.Context, id executor.WorkerID, mode executor.StopMode) error {
	pod := e.mean(id, mode)
	if pod == nil {
		return nil
	}
	options := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	if mode == executor.Kill {
		options.GracePeriodSeconds = new(int64(1)) // with 0 the Pod would be gone before its processes, and without a witness
	}
	err := e.cfg.Pods.Delete(ctx, pod.Name, options)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // it is gone
		err = nil
	}
	if err == nil {
		e.done(id, mode)
	}
	return err
}

// Forget deletes the Pods of workers that have ended. One whose node does not answer is left to the cluster.
func (e *Executor) Forget(ctx context.Context, ids []executor.WorkerID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		pod, ended := e.remains(id)
		if !ended {
			continue
		}
		if pod != nil && pod.DeletionTimestamp == nil {
			err := e.cfg.Pods.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("deleting the Pod of worker %s: %w", id, err)
			}
		}
		e.forget(id)
	}
	return nil
}
