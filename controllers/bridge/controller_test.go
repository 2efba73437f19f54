package bridge

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/kube"
)

// server is an API server whose cached Leases do not change.
type server struct {
	client.Reader
	lease *coordinationv1.Lease // as it is now
	err   error
}

func (s *server) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	if list, ok := into.(*coordinationv1.LeaseList); ok && s.err == nil {
		list.Items = []coordinationv1.Lease{*s.lease}
	}
	return s.err
}

// A cache that is behind makes no bridge a lost one, and neither does an API server that was away: the bridge has its time after that.
func TestLostIsAskedFor(t *testing.T) {
	begin := time.Unix(1_800_000_000, 0)
	lease := func(version string) *coordinationv1.Lease {
		return &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: v1alpha1.BridgeLease("b"), ResourceVersion: version},
			Spec:       coordinationv1.LeaseSpec{LeaseDurationSeconds: new(int32(60)), RenewTime: &metav1.MicroTime{Time: begin}},
		}
	}
	task := &v1alpha1.Task{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "t"}, Spec: v1alpha1.TaskSpec{TaskTemplate: v1alpha1.TaskTemplate{Type: v1alpha1.TaskSlurm, Slurm: &v1alpha1.Slurm{Bridge: "b"}}},
	}
	writes, api, now := 0, &server{}, begin
	c := fake.NewClientBuilder().WithScheme(kube.Scheme(corev1.AddToScheme, coordinationv1.AddToScheme)).WithObjects(task, lease("1")).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourceApply: func(context.Context, client.Client, string, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
				writes++
				return nil
			},
		}).Build()
	r := &Reconciler{Client: c, Now: func() time.Time { return now }, live: api, signs: newSigns()}
	for _, step := range []struct {
		name   string
		after  time.Duration // of the step before
		lease  string        // its version at the server
		err    error
		left   time.Duration // until it is looked again
		writes int
	}{
		{"seen", 0, "1", nil, time.Minute, 0},
		{"renewed, and the cache is behind", time.Minute, "2", nil, time.Minute, 0},
		{"the server is away", 3 * time.Minute, "2", errors.New("connection refused"), 0, 0},
		{"it is back", time.Minute, "2", nil, time.Minute, 0},
		{"the server has a Lease that is news", time.Minute, "2", nil, time.Minute, 0},
		{"nothing was heard since", time.Minute, "2", nil, 0, 1},
	} {
		now = now.Add(step.after)
		api.lease, api.err = lease(step.lease), step.err
		got, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "n", Name: "b"}})
		if (err != nil) != (step.err != nil) || got.RequeueAfter != step.left || writes != step.writes {
			t.Errorf("%s: looked at again after %s, %d writes, %v", step.name, got.RequeueAfter, writes, err)
		}
	}
}
