package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/fields"
	klabels "k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube"
)

// plane is what spools are told of who dispatches them.
const plane = "Kubernetes"

// server dispatches the Tasks of one owner.
type server struct {
	*settings
	backend task.Backend
	log     logr.Logger

	tasks *task.Reconciler
	ready atomic.Bool // the Tasks have been read
}

// run works until ctx ends. While the API server is away it goes on from the specs that it last saw. Workers outlive it.
func (d *server) run(ctx context.Context) error {
	mgr, err := d.manager()
	if err != nil {
		return err
	}
	meters := newMeters(mgr.GetClient(), d.tasks)
	if err := ctrlmetrics.Registry.Register(meters); err != nil {
		return fmt.Errorf("making the metrics: %w", err)
	}
	defer ctrlmetrics.Registry.Unregister(meters)
	d.log.Info("the dispatcher runs", "kind", d.owner.Kind, "namespace", d.owner.Namespace, "name", d.owner.Name)
	err = mgr.Start(ctx)
	if err = errors.Join(err, d.tasks.Leave()); err != nil {
		return err
	}
	d.log.Info("the dispatcher has ended; workers go on")
	return nil
}

// manager has the controller of the Tasks in it.
func (d *server) manager() (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(d.rest, ctrl.Options{
		Scheme: kube.Scheme(), Logger: d.log.V(1), GracefulShutdownTimeout: new(kube.ShutdownGrace), Cache: d.cache(),
		Metrics:                metricsserver.Options{BindAddress: d.listen, ExtraHandlers: kube.Health(d.unready)},
		HealthProbeBindAddress: "0",                                                  // one address is enough for all
		Controller:             ctrlconfig.Controller{SkipNameValidation: new(true)}, // tests run one after another in a process
	})
	if err != nil {
		return nil, fmt.Errorf("making the controller: %w", err)
	}
	d.tasks = &task.Reconciler{
		Client: mgr.GetClient(), Log: cli.Slog(d.log), Plane: plane, Owns: d.owns, Staging: d.staging, Period: kube.CounterPeriod, NewQueue: kube.NewQueue[ctrl.Request],
		Backends: map[v1alpha1.TaskType]task.Backend{v1alpha1.TaskLocal: d.backend, v1alpha1.TaskLocalAsync: d.backend},
	}
	if err := d.tasks.SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("making the controller: %w", err)
	}
	return mgr, mgr.Add(manager.RunnableFunc(func(context.Context) error { // it comes after the cache
		d.ready.Store(true)
		return nil
	}))
}

// owns reports whether a Task is one to dispatch here.
func (d *server) owns(t *v1alpha1.Task) bool {
	owner, ok := dispatcher.OwnerOf(t)
	return ok && owner == d.owner
}

// cache holds no more Tasks than it must.
func (d *server) cache() cache.Options {
	tasks := cache.Config{FieldSelector: fields.OneTermEqualSelector("metadata.name", d.owner.Name)}
	if d.owner.Kind == dispatcher.KindPipeline {
		tasks = cache.Config{LabelSelector: klabels.SelectorFromSet(klabels.Set{v1alpha1.LabelPipeline: d.owner.Name})}
	}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject:         map[client.Object]cache.ByObject{&v1alpha1.Task{}: {Namespaces: map[string]cache.Config{d.owner.Namespace: tasks}}},
	}
}

func (d *server) unready() string {
	if d.ready.Load() {
		return ""
	}
	return "the Tasks are being read"
}
