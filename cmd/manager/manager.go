package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/bridge"
	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/controllers/pipeline"
	"tigerflow.dev/tigerflow/internal/kube"
)

const (
	leaseName     = "tigerflow-manager" // of the Lease by which managers take turns
	renewDeadline = 10 * time.Second    // after which a leader that cannot renew it ends: controller-runtime's own
)

// run works until ctx ends.
func (s *settings) run(ctx context.Context, log logr.Logger) error {
	mgr, err := s.manager(log)
	if err != nil {
		return err
	}
	meters := newMeters(mgr.GetClient())
	if err := ctrlmetrics.Registry.Register(meters); err != nil {
		return fmt.Errorf("making the metrics: %w", err)
	}
	defer ctrlmetrics.Registry.Unregister(meters)
	log.Info("the manager runs", "namespace", s.namespace, "server", s.rest.Host)
	if err := mgr.Start(ctx); err != nil {
		return err
	}
	log.Info("the manager has ended")
	return nil
}

// manager has all controllers in it.
func (s *settings) manager(log logr.Logger) (ctrl.Manager, error) {
	options := ctrl.Options{
		Scheme: kube.Scheme(corev1.AddToScheme, rbacv1.AddToScheme, coordinationv1.AddToScheme),
		Logger: log, Cache: s.cache(), GracefulShutdownTimeout: new(kube.ShutdownGrace),
		Metrics: metricsserver.Options{
			BindAddress: s.metrics, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization, CertDir: s.certificates,
		},
		HealthProbeBindAddress: s.health,
		Controller:             ctrlconfig.Controller{SkipNameValidation: new(true)}, // tests run several in a process
		LeaderElection:         s.elect, LeaderElectionReleaseOnCancel: true,         // the process ends with the manager
	}
	if s.elect {
		lock, err := s.lock()
		if err != nil {
			return nil, err
		}
		options.LeaderElectionResourceLockInterface = lock
	}
	mgr, err := ctrl.NewManager(s.rest, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	c := mgr.GetClient()
	for _, r := range []interface{ SetupWithManager(ctrl.Manager) error }{
		&pipeline.Reconciler{Client: c, Period: kube.CounterPeriod, NewQueue: kube.NewQueue[ctrl.Request]},
		&dispatcher.Reconciler{Client: c, Template: s.template},
		&dispatcher.AccessReconciler{Client: c},
		&bridge.Reconciler{Client: c},
	} {
		if err := r.SetupWithManager(mgr); err != nil {
			return nil, fmt.Errorf("making the controllers: %w", err)
		}
	}
	if err := mgr.AddHealthzCheck("alive", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("cache", func(r *http.Request) error {
		if !mgr.GetCache().WaitForCacheSync(r.Context()) {
			return fmt.Errorf("the cache is not filled yet")
		}
		return nil
	})
}

// lock is the Lease by which managers take turns. That of controller-runtime's own making wants to write Events as well.
func (s *settings) lock() (resourcelock.Interface, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	identity := resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, s.electIn, leaseName, identity, s.rest, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("making the lock of the leader: %w", err)
	}
	return lock, nil
}

// cache holds what the controllers read: of kinds that others have many of, only what is ours.
func (s *settings) cache() cache.Options {
	ours := cache.ByObject{Label: klabels.SelectorFromSet(klabels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})}
	ofBridges := klabels.NewSelector()
	if has, err := klabels.NewRequirement(v1alpha1.LabelBridge, selection.Exists, nil); err == nil { // always, with this label
		ofBridges = ofBridges.Add(*has)
	}
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: ours, &corev1.ServiceAccount{}: ours, &rbacv1.RoleBinding{}: ours,
			&coordinationv1.Lease{}: {Label: ofBridges},
		},
	}
	if s.namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{s.namespace: {}}
		options.ByObject[&corev1.Namespace{}] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", s.namespace)}
	}
	return options
}
