// Package kubernetes tests TigerFlow on a real cluster as its users meet it: installed by helm, told what to do by kubectl, and
// judged by what lies on the file system of the node: make test-kubernetes.
package kubernetes

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds the wait for anything; a machine may be busy.
const patience = 8 * time.Minute

// The namespace of the manager, and the name of the release of its chart.
const system, release = "tigerflow-system", "tigerflow"

// own is the namespace of a manager that looks after one other namespace.
const own = "tigerflow-own"

// lab is a cluster that hack/kubernetes/up.sh has brought up in a folder.
type lab struct{ dir, version string }

// need is the cluster; without one the test is left out.
func need(t *testing.T) lab {
	t.Helper()
	l := lab{dir: os.Getenv("TIGERFLOW_K8S_LAB"), version: os.Getenv("TIGERFLOW_VERSION")}
	if l.dir == "" {
		t.Skip("needs a Kubernetes cluster: make test-kubernetes")
	}
	return l
}

// command runs a program of the cluster's release as its administrator. It returns what it printed, both streams in the error.
func (l lab) command(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(l.dir, "bin", name), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(l.dir, "admin.kubeconfig"), "HELM_CACHE_HOME="+l.dir, "HELM_CONFIG_HOME="+l.dir, "HELM_DATA_HOME="+l.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), errors.Join(err, errors.New(name+" "+strings.Join(args, " ")+": "+said.String()+out.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

func (l lab) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.command("", "kubectl", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (l lab) apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := l.command(manifest, "kubectl", "apply", "--server-side", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

func (l lab) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.command("", "helm", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// node runs a command as root on the node.
func (l lab) node(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join("..", "..", "hack", "kubernetes", "enter.sh"), args...)
	cmd.Env = append(os.Environ(), "LAB="+l.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// until waits for a condition, looked at again and again.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCluster is the life of a release: what it does in a cluster, what it bears, and how it goes.
func TestCluster(t *testing.T) {
	l := need(t)
	t.Cleanup(func() {
		if t.Failed() {
			l.dump(t)
		}
	})
	before := l.inventory(t)
	run := func(name string, test func(*testing.T, lab)) {
		t.Run(name, func(t *testing.T) {
			l.installed(t)
			test(t, l)
		})
	}
	t.Run("Upgrade", func(t *testing.T) { testUpgrade(t, l) })
	t.Run("Work", func(t *testing.T) {
		l.installed(t)
		for name, test := range map[string]func(*testing.T, lab){
			"Local": testLocal, "LocalAsync": testLocalAsync, "Pipeline": testPipeline, "Samples": testSamples, "Author": testAuthor, "Isolated": testIsolated,
			"Plain": testImage("plain"), "Root": testImage("root"), "Carrying": testCarrying, "NoShell": testNoShell, "NoImage": testNoImage,
			"WorkerKilled": testWorkerKilled, "DispatcherKilled": testDispatcherKilled, "Preempted": testPreempted, "Evicted": testEvicted,
			"Kept": testKept, "Metrics": testMetrics, "Slurm": testSlurm, "NamespaceDeleted": testNamespaceDeleted, "BridgeGone": testBridgeGone,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, l)
			})
		}
	})
	run("ManagerKilled", testManagerKilled)
	run("ServerAway", testServerAway)
	run("Drained", testDrained)
	run("DispatcherLost", testDispatcherLost)
	run("Uninstall", testUninstall(before))
	run("Purge", testPurge(before))
	t.Run("Kustomize", func(t *testing.T) { testKustomize(t, l, before) })
	t.Run("Namespaced", func(t *testing.T) { testNamespaced(t, l, before) })
	t.Run("Rights", func(t *testing.T) { testRights(t, l) })
}

// dump shows what there is after a failure.
func (l lab) dump(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "pods,pvc,tasks,pipelines", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"get", "tasks,pipelines", "-A", "-o", "yaml"},
		{"describe", "pods", "-A"},
		{"logs", "-n", system, "-l", "app.kubernetes.io/name=tigerflow-manager", "--tail=100"},
		{"logs", "-n", system, "-l", "app.kubernetes.io/name=tigerflow-manager", "--tail=50", "--previous"},
	} {
		out, err := l.command("", "kubectl", args...)
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
