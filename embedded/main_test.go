package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// TestMain also fails the package if the libraries below logged an error in normal operation.
func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(runChild(mode))
	}
	var logged errorLog
	Quiet(funcr.New(logged.add, funcr.Options{}))
	code := m.Run()
	if lines := logged.lines(); len(lines) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: errors were logged:\n%s\n", strings.Join(lines, "\n"))
		code = 1
	}
	os.Exit(code)
}

type errorLog struct {
	mu  sync.Mutex
	all []string
}

func (l *errorLog) add(prefix, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, prefix+" "+line)
}

func (l *errorLog) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// startPlane starts a control plane in a folder of its own, and checks at the end of the test that it leaves
// nothing behind.
func startPlane(t *testing.T) *ControlPlane {
	t.Helper()
	dir := stateDir(t)
	c, err := Start(t.Context(), Options{Dir: dir, CRDs: testCRDs(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
		if left := runsIn(t, dir); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return c
}

// stateDir is the path, yet to be made, of a folder for state; that of t.TempDir may be too long for a socket.
func stateDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "tf") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	return filepath.Join(parent, "state")
}

// runsIn lists the run folders in dir.
func runsIn(t *testing.T, dir string) []string {
	t.Helper()
	runs, err := filepath.Glob(filepath.Join(dir, runPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func testCRDs(t testing.TB) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	crds, err := readCRDs()
	if err != nil {
		t.Fatal(err)
	}
	return crds
}

func readCRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	raw, err := os.ReadFile("testdata/crd.yaml")
	if err != nil {
		return nil, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	return []*apiextensionsv1.CustomResourceDefinition{crd}, yaml.UnmarshalStrict(raw, crd)
}

func newClient(t *testing.T, c *ControlPlane) client.WithWatch {
	t.Helper()
	cl, err := client.NewWithWatch(c.RESTConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

var errandKind = schema.GroupVersionKind{Group: "test.tigerflow.dev", Version: "v1", Kind: "Errand"}

func newErrand(name, goal string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(errandKind)
	u.SetNamespace(metav1.NamespaceDefault)
	u.SetName(name)
	_ = unstructured.SetNestedField(u.Object, goal, "spec", "goal")
	return u
}

// errandsPath is where the API serves the errands of the default namespace.
const errandsPath = "/apis/test.tigerflow.dev/v1/namespaces/default/errands"

// eventually waits until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// cannot skips a test that this machine cannot run. In CI nothing is skipped.
func cannot(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
