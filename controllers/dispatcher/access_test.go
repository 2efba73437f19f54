package dispatcher

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/kube"
)

// A ServiceAccount that others have made, which the cache never shows, is no reason to hide that the RoleBinding cannot be made, nor to
// ask for it all the time.
func TestAccountOfOthers(t *testing.T) {
	task := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "t"}}
	refusal := error(apierrors.NewForbidden(schema.GroupResource{Resource: "rolebindings"}, "x", errors.New("a webhook says no")))
	c := fake.NewClientBuilder().WithScheme(kube.Scheme(corev1.AddToScheme, rbacv1.AddToScheme)).WithObjects(task).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			if _, ok := o.(*corev1.ServiceAccount); ok {
				return apierrors.NewAlreadyExists(schema.GroupResource{Resource: "serviceaccounts"}, o.GetName())
			}
			return refusal
		},
	}).Build()
	r := &AccessReconciler{Client: c}
	request := ctrl.Request{NamespacedName: types.NamespacedName{Name: "n"}}
	if _, err := r.Reconcile(t.Context(), request); !apierrors.IsForbidden(err) {
		t.Errorf("it ends with %v", err)
	}
	refusal = nil
	if got, err := r.Reconcile(t.Context(), request); err != nil || got.RequeueAfter != strangerPoll {
		t.Errorf("then with %+v, %v", got, err)
	}
}
