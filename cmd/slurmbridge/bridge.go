package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube"
)

// A login node is for everybody.
const (
	respite = 2 * time.Second // for which a dispatcher rests while its workers have enough to do
	spacing = 2 * time.Second // between two writes of counters, of all Tasks together
)

// bridge runs the Slurm Tasks of one namespace that name it.
type bridge struct {
	*settings
	executor executor.Executor // its owner closes it after run
	meters   *meters
	log      logr.Logger
	ready    func() // called once, when the Lease is held and the controller begins

	accounts corev1.ServiceAccountsGetter
	lease    *lease
	tasks    *task.Reconciler
}

// run works until ctx ends, or until another process has taken the Lease. Workers outlive it.
func (b *bridge) run(ctx context.Context) (err error) {
	if err := b.connect(ctx); err != nil {
		return err
	}
	if err := b.lease.take(ctx, b.takeOver); err != nil {
		return b.refused(err)
	}
	lost := error(nil)
	defer func() {
		if lost == nil {
			err = errors.Join(err, b.lease.release(context.WithoutCancel(ctx)))
		}
	}()
	mgr, err := b.manager()
	if err != nil {
		return err
	}
	defer ctrlmetrics.Registry.Unregister(b.meters)
	ctx, end := context.WithCancel(ctx)
	defer end()
	var beside sync.WaitGroup
	beside.Go(func() {
		defer end()
		lost = b.lease.keep(ctx)
	})
	if r := b.renewer(); r != nil {
		beside.Go(func() { r.run(ctx) })
	}
	b.ready()
	err = mgr.Start(ctx)
	end()
	beside.Wait()
	if lost != nil {
		lost = fmt.Errorf("another bridge has taken over: %w", lost)
	}
	return errors.Join(lost, err, b.tasks.Leave())
}

// connect makes the clients, and sees whether Tasks can be read.
func (b *bridge) connect(ctx context.Context) error {
	leases, err := coordination.NewForConfig(b.rest)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if b.accounts, err = corev1.NewForConfig(b.rest); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	b.lease = newLease(leases.Leases(b.namespace), b.name, b.log)
	tasks, err := client.New(b.rest, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		return fmt.Errorf("asking %s: %w", b.rest.Host, err)
	}
	err = tasks.List(ctx, &v1alpha1.TaskList{}, client.InNamespace(b.namespace), client.Limit(1))
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return fmt.Errorf("%s does not know Tasks: have an administrator apply config/crd/bases", b.rest.Host)
	}
	if err != nil {
		return fmt.Errorf("listing Tasks in namespace %s at %s: %w", b.namespace, b.rest.Host, err)
	}
	return nil
}

// renewer keeps the token from expiring that the kubeconfig names; nil if that is not to be done, or cannot be.
func (b *bridge) renewer() *renewer {
	if b.rest.BearerTokenFile != "" {
		return &renewer{file: b.rest.BearerTokenFile, accounts: b.accounts, log: b.log}
	}
	if t, err := parseToken(b.rest.BearerToken); err == nil && !t.expires.IsZero() {
		b.log.Info("the token stands in the kubeconfig itself and is not renewed: have the kubeconfig name a tokenFile", "expires", t.expires)
	}
	return nil
}

// refused says what to do about another holder of the Lease.
func (b *bridge) refused(err error) error {
	if held := (*heldError)(nil); errors.As(err, &held) {
		return fmt.Errorf("a bridge %q runs in namespace %s already: %w: end that one, or choose another --name; if it has died, "+
			"start again in a minute, or with --take-over", b.name, b.namespace, err)
	}
	return fmt.Errorf("taking the Lease %s in namespace %s: %w", v1alpha1.BridgeLease(b.name), b.namespace, err)
}

// manager has the controller, the search for orphans and the metrics in it.
func (b *bridge) manager() (ctrl.Manager, error) {
	k, err := readKeys(b.file(".json"))
	if err != nil {
		return nil, err
	}
	w := newWorkers(b.executor, k, b.plane(), b.limits, b.trees)
	b.meters.workers, b.meters.lease = w, b.lease
	mgr, err := ctrl.NewManager(b.rest, ctrl.Options{
		Scheme: kube.Scheme(), Logger: b.log.V(1), GracefulShutdownTimeout: new(kube.ShutdownGrace),
		NewClient:              b.newClient,
		Cache:                  cache.Options{DefaultNamespaces: map[string]cache.Config{b.namespace: {}}},
		Metrics:                metricsserver.Options{BindAddress: b.metrics, ExtraHandlers: kube.Health(b.unready)},
		HealthProbeBindAddress: "0",                                                  // one address is enough for all
		Controller:             ctrlconfig.Controller{SkipNameValidation: new(true)}, // a process may run one bridge after another
	})
	if err != nil {
		return nil, fmt.Errorf("making the controller: %w", err)
	}
	b.tasks = &task.Reconciler{
		Client: mgr.GetClient(), Log: cli.Slog(b.log), Bridge: b.name, Plane: b.plane(), Finalize: true, TakeOver: b.takeOver, Period: kube.CounterPeriod, Spacing: spacing, Rest: respite,
		NewQueue: kube.NewQueue[ctrl.Request], Admit: b.limits.admit, Explain: b.trees.explain,
		Backends: map[v1alpha1.TaskType]task.Backend{v1alpha1.TaskSlurm: {Executor: w, Containers: true}},
	}
	if err := b.tasks.SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("making the controller: %w", err)
	}
	if err := mgr.Add(&orphans{tasks: mgr.GetClient(), bridge: b.name, workers: w, period: orphanPeriod, log: b.log}); err != nil {
		return nil, fmt.Errorf("making the controller: %w", err)
	}
	if err := ctrlmetrics.Registry.Register(b.meters); err != nil {
		return nil, fmt.Errorf("making the metrics: %w", err)
	}
	return mgr, nil
}

// newClient makes the client of the controller: whatever it reads is as this host sees it.
func (b *bridge) newClient(config *rest.Config, options client.Options) (client.Client, error) {
	c, err := client.New(config, options)
	return localClient{Client: c, trees: b.trees}, err
}

// unready says why this bridge is not ready: Kubernetes hears of what it does only while its Lease is renewed in time.
func (b *bridge) unready() string {
	if b.lease.renewedWithin(leaseDuration) {
		return ""
	}
	return "the Lease is not renewed: the API server is away"
}
