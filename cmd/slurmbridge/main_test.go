package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/embedded"
	"tigerflow.dev/tigerflow/executor/workerbin"
)

// What the tests share: one API server, in which each test has a namespace, and the worker program.
var (
	apiServer     *rest.Config
	workerProgram string // "" if it has not been built
)

const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func withServer(run func() int) (code int, err error) {
	embedded.Quiet(logr.Discard())
	dir, err := os.MkdirTemp("", "tigerflow-bridge-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if workerProgram, err = workerbin.Install(dir); err != nil && !errors.Is(err, workerbin.ErrNotEmbedded) {
		return 0, err
	}
	crds, err := crd.All()
	if err != nil {
		return 0, err
	}
	control, err := embedded.Start(context.Background(), embedded.Options{Dir: dir, CRDs: append(crds, leases())})
	if err != nil {
		return 0, err
	}
	apiServer = control.RESTConfig()
	apiServer.ContentType = "application/json" // custom resources, as Leases are here, have no protobuf
	code = run()
	return code, control.Stop()
}

// leases has the embedded server, which has CRDs only, serve Leases as every other does.
func leases() *apiextensionsv1.CustomResourceDefinition {
	open := apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name: "leases.coordination.k8s.io",
			Annotations: map[string]string{ // without it no CRD of a group of Kubernetes is served
				apiextensionsv1.KubeAPIApprovedAnnotation: "https://github.com/kubernetes/kubernetes/pull/56264",
			},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "coordination.k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "leases", Singular: "lease", Kind: "Lease", ListKind: "LeaseList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": open},
				}},
			}},
		},
	}
}

func needWorker(t *testing.T) {
	t.Helper()
	if workerProgram != "" {
		return
	}
	const missing = "the worker program is not built: run make worker"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

// wait returns when a condition holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s has not come within %s", what, patience)
		}
	}
}
