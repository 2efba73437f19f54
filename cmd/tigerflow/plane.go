package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/controllers/pipeline"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/embedded"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/promptcache"
	"tigerflow.dev/tigerflow/slurmbridge"
)

// counterPeriod is how often counters in the status are brought up to date.
const counterPeriod = 2 * time.Second

// planeEmbedded is what spools are told of it.
const planeEmbedded = "embedded"

// plane is all of TigerFlow in this process: the API server, the controller, local workers, and those on the cluster.
type plane struct {
	control  *embedded.ControlPlane
	executor *process.Executor
	slurm    *slurmbridge.Executor // nil where there is no Slurm
	hurry    context.Context       // beside slurm: ends when somebody has asked twice for the end
	calm     context.CancelFunc
	tasks    *task.Reconciler
	client   client.Client // not cached
	cached   client.Reader // as the controllers see it; nil before begin
	changed  chan struct{} // receives after a change of what cached shows
	log      logr.Logger

	cancel context.CancelFunc // of the manager; nil before it was begun
	ended  chan struct{}
	err    error // of the manager; valid when ended is closed
}

// startPlane returns when objects can be created. Nothing is done about them before begin.
func startPlane(ctx context.Context) (_ *plane, err error) {
	log := logr.FromContextOrDiscard(ctx)
	embedded.Quiet(log)
	binary, err := workerbin.Install("")
	if err != nil {
		return nil, err
	}
	crds, err := crd.All()
	if err != nil {
		return nil, err
	}
	p := &plane{log: log, ended: make(chan struct{}), changed: make(chan struct{}, 1)}
	if p.executor, err = process.New(binary); err != nil {
		return nil, err
	}
	if slurmbridge.Available() {
		if p.slurm, err = newSlurm(log); err != nil {
			return nil, errors.Join(err, p.closeExecutors(ctx))
		}
		p.hurry, p.calm = cli.Again() // who is in a hurry is not to leave jobs behind
	}
	if p.control, err = embedded.Start(ctx, embedded.Options{CRDs: crds}); err != nil {
		return nil, errors.Join(err, p.closeExecutors(ctx))
	}
	if p.client, err = client.New(p.control.RESTConfig(), client.Options{Scheme: newScheme()}); err != nil {
		return nil, errors.Join(err, p.closeExecutors(ctx), p.control.Stop())
	}
	return p, nil
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// begin has the Tasks run that are there, and those to come.
func (p *plane) begin(takeOver bool) error {
	grace := 500 * time.Millisecond
	mgr, err := ctrl.NewManager(p.control.RESTConfig(), ctrl.Options{
		Scheme: newScheme(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		GracefulShutdownTimeout: &grace, NewCache: promptcache.New,
	})
	if err != nil {
		return fmt.Errorf("making the controller: %w", err)
	}
	p.cached = mgr.GetClient()
	local := task.Backend{Executor: p.executor}
	backends := map[v1alpha1.TaskType]task.Backend{v1alpha1.TaskLocal: local, v1alpha1.TaskLocalAsync: local}
	if p.slurm != nil {
		backends[v1alpha1.TaskSlurm] = task.Backend{Executor: p.slurm, Containers: true}
	}
	p.tasks = &task.Reconciler{
		Client: mgr.GetClient(), Log: cli.Slog(p.log), Plane: planeEmbedded, Finalize: true, TakeOver: takeOver, Period: counterPeriod, NewQueue: newQueue,
		Backends: backends,
	}
	if err := p.tasks.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("making the controller: %w", err)
	}
	pipelines := &pipeline.Reconciler{Client: mgr.GetClient(), Finalize: true, Period: counterPeriod, NewQueue: newQueue}
	if err := pipelines.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("making the controller of Pipelines: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	for _, kind := range []client.Object{&v1alpha1.Task{}, &v1alpha1.Pipeline{}} {
		if err := p.watch(ctx, mgr.GetCache(), kind); err != nil {
			cancel()
			return fmt.Errorf("watching objects: %w", err)
		}
	}
	p.cancel = cancel
	go func() {
		defer close(p.ended)
		p.err = mgr.Start(ctx)
	}()
	return nil
}

// watch has changed receive when an object of a kind has changed.
func (p *plane) watch(ctx context.Context, c cache.Cache, kind client.Object) error {
	i, err := c.GetInformer(ctx, kind)
	if err != nil {
		return err
	}
	tell := func() {
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
	_, err = i.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { tell() }, UpdateFunc: func(any, any) { tell() }, DeleteFunc: func(any) { tell() },
	})
	return err
}

// newQueue makes a queue without a name, which is not measured: an idle one does not wake up.
func newQueue(_ string, limiter workqueue.TypedRateLimiter[ctrl.Request]) workqueue.TypedRateLimitingInterface[ctrl.Request] {
	return priorityqueue.New("", func(o *priorityqueue.Opts[ctrl.Request]) { o.RateLimiter = limiter })
}

// done is closed when the plane has come to an end by itself.
func (p *plane) done() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		select {
		case <-p.ended:
		case <-p.control.Done():
		}
		close(done)
	}()
	return done
}

// stop ends everything. Workers have grace to finish what is in hand.
func (p *plane) stop(grace time.Duration) error {
	if p.cancel == nil {
		return errors.Join(p.closeExecutors(context.Background()), p.control.Stop())
	}
	p.cancel()
	<-p.ended
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := p.endWorkers(ctx)
	last, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	return errors.Join(p.err, err, p.tasks.Close(last), p.control.Stop())
}

// endWorkers leaves no worker behind. Until ctx ends they may finish what is in hand.
func (p *plane) endWorkers(ctx context.Context) error {
	if p.slurm == nil {
		return p.closeExecutors(ctx)
	}
	defer p.calm()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM) // one is enough by now
	defer stop()
	defer context.AfterFunc(p.hurry, stop)()
	jobs := make(chan error, 1)
	go func() { jobs <- p.tasks.End(ctx) }()
	err := p.executor.Close(ctx)
	err = errors.Join(err, <-jobs)
	p.slurm.Close()
	return err
}

// closeExecutors ends the workers of this host, and lets go of the cluster.
func (p *plane) closeExecutors(ctx context.Context) error {
	if p.slurm != nil {
		p.slurm.Close()
		p.calm()
	}
	return p.executor.Close(ctx)
}

// snapshot is what the dispatcher of a Task knows; nil before it runs.
func (p *plane) snapshot(key types.NamespacedName) *dispatcher.Snapshot { return p.tasks.Snapshot(key) }
