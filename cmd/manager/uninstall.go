package main

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube"
)

// newUninstall is what the chart runs when it is uninstalled.
func newUninstall(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Delete what runs for Tasks, after the last manager has ended",
		Long: `Delete the Pods of dispatchers and workers, and what dispatchers have their rights from, and wait until all that is gone. Tasks and
Pipelines stay, with what they have on disk: a manager that is installed again goes on with them.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.elect = false
			s, err := f.resolve()
			if err != nil {
				return cli.UsageError{Err: err}
			}
			c, err := client.New(s.rest, client.Options{Scheme: kube.Scheme(corev1.AddToScheme, rbacv1.AddToScheme)})
			if err != nil {
				return err
			}
			return uninstall(cmd.Context(), c, s.namespace)
		},
	}
}

// uninstall deletes in an order in which nothing is made anew: dispatchers lose their rights first.
func uninstall(ctx context.Context, c client.Client, namespace string) error {
	for _, step := range []struct {
		list client.ObjectList
		name string
	}{
		{&rbacv1.RoleBindingList{}, v1alpha1.NameDispatcher},
		{&corev1.PodList{}, v1alpha1.NameDispatcher},
		{&corev1.PodList{}, v1alpha1.NameWorker},
		{&corev1.ServiceAccountList{}, v1alpha1.NameDispatcher},
	} {
		if err := deleteAll(ctx, c, step.list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelName: step.name}); err != nil {
			return err
		}
	}
	return nil
}

// deleteAll deletes what is listed, and waits until nothing is.
func deleteAll(ctx context.Context, c client.Client, list client.ObjectList, options ...client.ListOption) error {
	return wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		if err := c.List(ctx, list, options...); err != nil {
			return false, err
		}
		n := 0
		err := meta.EachListItem(list, func(item runtime.Object) error {
			n++
			o, ok := item.(client.Object)
			if !ok || o.GetDeletionTimestamp() != nil {
				return nil
			}
			logr.FromContextOrDiscard(ctx).Info("deleting", "namespace", o.GetNamespace(), "name", o.GetName())
			return client.IgnoreNotFound(c.Delete(ctx, o))
		})
		return n == 0, err
	})
}
