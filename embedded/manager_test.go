package embedded

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestManager(t *testing.T) {
	c := startPlane(t)
	mgr, err := ctrl.NewManager(c.RESTConfig(), ctrl.Options{
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
		Controller:             config.Controller{SkipNameValidation: new(true)}, // or -count=2 fails
		Logger:                 logr.Discard(),                                   // a reconciliation that the end interrupts is an error to it
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ctrl.NewControllerManagedBy(mgr).For(newErrand("", "")).Complete(markReady(mgr.GetClient())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()

	cl := newClient(t, c)
	if err := cl.Create(t.Context(), newErrand("shop", "milk")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		errand := newErrand("shop", "")
		if err := cl.Get(t.Context(), client.ObjectKeyFromObject(errand), errand); err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(errand.Object, "status", "conditions")
		if len(conditions) != 1 {
			return fmt.Errorf("the reconciler has not set its condition: %v", errand.Object["status"])
		}
		return nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func markReady(cl client.Client) reconcile.Func {
	return func(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
		errand := newErrand("", "")
		if err := cl.Get(ctx, req.NamespacedName, errand); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		before := errand.DeepCopy()
		errand.Object["status"] = map[string]any{
			"conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "Seen"}},
		}
		return ctrl.Result{}, cl.Status().Patch(ctx, errand, client.MergeFrom(before))
	}
}
