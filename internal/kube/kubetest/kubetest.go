// Package kubetest starts a real API server for tests, with the CRDs and the roles of this project. It has no nodes and no
// controllers: tests play the kubelet.
package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"tigerflow.dev/tigerflow/config/crd"
)

// ErrNoServer means that KUBEBUILDER_ASSETS names no folder with an API server.
var ErrNoServer = errors.New("KUBEBUILDER_ASSETS names no folder with kube-apiserver and etcd: set it to $(hack/kubernetes/build.sh)/envtest")

// SystemNamespace is where the manager is.
const SystemNamespace = "tigerflow-system"

// Cluster is a running API server.
type Cluster struct {
	Config *rest.Config // of an administrator
	env    *envtest.Environment
}

// Start starts an API server and applies config/crd and config/rbac. root is the folder of the module.
func Start(ctx context.Context, root string) (*Cluster, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, ErrNoServer
	}
	crds, err := crd.All()
	if err != nil {
		return nil, err
	}
	env := &envtest.Environment{CRDInstallOptions: envtest.CRDInstallOptions{CRDs: crds}}
	args := env.ControlPlane.GetAPIServer().Configure()
	args.Disable("disable-admission-plugins") // a Pod must not come before its ServiceAccount
	args.Append("enable-admission-plugins", "OwnerReferencesPermissionEnforcement")
	config, err := env.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the API server: %w", errors.Join(err, env.Stop()))
	}
	config.QPS = -1
	c := &Cluster{Config: config, env: env}
	for _, file := range []string{"author.yaml", "dispatcher.yaml", "manager.yaml"} {
		if err := c.apply(ctx, filepath.Join(root, "config", "rbac", file)); err != nil {
			return nil, fmt.Errorf("applying config/rbac/%s: %w", file, errors.Join(err, env.Stop()))
		}
	}
	return c, nil
}

// Stop ends the API server.
func (c *Cluster) Stop() error { return c.env.Stop() }

// apply makes the objects of a file, those without a namespace of their own in the manager's.
func (c *Cluster) apply(ctx context.Context, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	k, err := client.New(c.Config, client.Options{})
	if err != nil {
		return err
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace}}
	if err := client.IgnoreAlreadyExists(k.Create(ctx, system)); err != nil {
		return err
	}
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		u := &unstructured.Unstructured{}
		switch err := decoder.Decode(u); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if namespaced, err := k.IsObjectNamespaced(u); err != nil {
			return err
		} else if namespaced && u.GetNamespace() == "" {
			u.SetNamespace(SystemNamespace)
		}
		if err := k.Create(ctx, u); err != nil {
			return err
		}
	}
}

// Account is what a Pod with such a ServiceAccount has: its token and nothing else.
func (c *Cluster) Account(ctx context.Context, namespace, name string) (*rest.Config, error) {
	k, err := client.New(c.Config, client.Options{})
	if err != nil {
		return nil, err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	request := &authenticationv1.TokenRequest{}
	if err := k.SubResource("token").Create(ctx, account, request); err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = request.Status.Token
	return config, nil
}
