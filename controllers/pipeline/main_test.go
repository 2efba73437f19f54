package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/embedded"
)

// apiServer is what the tests share; each has a namespace in it.
var apiServer *rest.Config

func TestMain(m *testing.M) {
	code, err := withServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func withServer(run func() int) (code int, err error) {
	embedded.Quiet(funcr.New(func(string, string) {}, funcr.Options{}))
	dir, err := os.MkdirTemp("", "tigerflow-pipeline-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
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
