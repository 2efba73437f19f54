package embedded

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// etcdResyncPeriod is what etcd's variable was before a store was started here.
var etcdResyncPeriod = watchResyncPeriod

// TestEtcdVariableIsLinked fails when a new etcd calls its variable otherwise: setting ours would do nothing then.
func TestEtcdVariableIsLinked(t *testing.T) {
	if etcdResyncPeriod <= 0 {
		t.Error("etcd has no variable mvcc.watchResyncPeriod any more: look for what wakes its watch loop up now")
	}
}

// TestIdle counts how often a control plane that nobody uses wakes up: each controller of CRDs that is left would do so
// twice a second, etcd at its defaults 20 times. What comes and goes (a collection of garbage, a page read from disk) is a
// switch too: the quietest of many seconds tells of what never ends.
func TestIdle(t *testing.T) {
	startPlane(t)
	eventually(t, func() error {
		if n := measuredQueues(); n > 1 { // that of the server's certificate stays
			return fmt.Errorf("%d queues of controllers are left", n)
		}
		return nil
	})
	const (
		watched = 2 * time.Second
		most    = 50 // voluntary switches a second; some four a wake-up
	)
	eventually(t, func() error {
		before := switches(t)
		<-time.After(watched)
		if rate := float64(switches(t)-before) / watched.Seconds(); rate > most {
			return fmt.Errorf("an idle control plane makes %.0f context switches a second, want at most %d", rate, most)
		}
		return nil
	})
}

// measuredQueues counts the goroutines that take the measure of a queue.
func measuredQueues() int {
	stacks := make([]byte, 8<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte(").updateUnfinishedWorkLoop("))
}

func switches(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Nvcsw
}

// TestKindsAreFixed tries to delete the only kind, and uses it.
func TestKindsAreFixed(t *testing.T) {
	c := startPlane(t)
	clients, err := clientset.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	err = clients.ApiextensionsV1().CustomResourceDefinitions().Delete(t.Context(), testCRDs(t)[0].Name, metav1.DeleteOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "serves the kinds that it was started with") {
		t.Errorf("deleting a CRD: %v", err)
	}
	if err := newClient(t, c).Create(t.Context(), newErrand("still-there", "x")); err != nil {
		t.Error(err)
	}
}
