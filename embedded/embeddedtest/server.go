package embeddedtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/embedded"
	"tigerflow.dev/tigerflow/executor/workerbin"
)

// Server is what the tests of a package share: an API server, in which each has a namespace, and the worker program.
type Server struct {
	Config *rest.Config
	Worker string // "" if it has not been built
	// Finally, if it is not nil, is called when all tests have passed, and fails them with its error.
	Finally func() error
}

// Main runs the tests of a package with a Server, which it fills in before, and ends the process. The API server has the CRDs of
// this project, and more.
func Main(m *testing.M, s *Server, more ...*apiextensionsv1.CustomResourceDefinition) {
	code, err := s.run(m.Run, more)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func (s *Server) run(tests func() int, more []*apiextensionsv1.CustomResourceDefinition) (code int, err error) {
	embedded.Quiet(logr.Discard())
	dir, err := os.MkdirTemp("", "tigerflow-test-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.Worker, err = workerbin.Install(dir); err != nil && !errors.Is(err, workerbin.ErrNotEmbedded) {
		return 0, err
	}
	crds, err := crd.All()
	if err != nil {
		return 0, err
	}
	control, err := embedded.Start(context.Background(), embedded.Options{Dir: dir, CRDs: append(crds, more...)})
	if err != nil {
		return 0, err
	}
	s.Config = control.RESTConfig()
	s.Config.ContentType = runtime.ContentTypeJSON // custom resources have no protobuf
	if code = tests(); code == 0 && s.Finally != nil {
		err = s.Finally()
	}
	return code, errors.Join(err, control.Stop())
}

// NeedWorker skips a test where the worker program has not been built. With CI=true that is a failure.
func (s *Server) NeedWorker(t *testing.T) {
	t.Helper()
	if s.Worker != "" {
		return
	}
	const missing = "the worker program is not built: run make worker"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}
