package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"tigerflow.dev/tigerflow/internal/kube/kubetest"
)

// cluster is what the tests share; each has a namespace in it. It is nil where there is no API server.
var cluster *kubetest.Cluster

// managerVariable has a test's process be a manager instead.
const managerVariable = "TIGERFLOW_TEST_MANAGER"

func TestMain(m *testing.M) {
	if os.Getenv(managerVariable) != "" {
		main()
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
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	cluster, err = kubetest.Start(context.Background(), "../..")
	if errors.Is(err, kubetest.ErrNoServer) {
		return run(), nil
	}
	if err != nil {
		return 0, err
	}
	code = run()
	return code, cluster.Stop()
}

// needCluster skips a test where there is no API server.
func needCluster(t *testing.T) {
	t.Helper()
	if cluster == nil {
		t.Skip(kubetest.ErrNoServer)
	}
}
