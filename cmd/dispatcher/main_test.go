package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
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

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func withServer(run func() int) (code int, err error) {
	embedded.Quiet(logr.Discard())
	dir, err := os.MkdirTemp("", "tigerflow-dispatcher-")
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
	control, err := embedded.Start(context.Background(), embedded.Options{Dir: dir, CRDs: crds})
	if err != nil {
		return 0, err
	}
	apiServer = control.RESTConfig()
	code = run()
	return code, control.Stop()
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
