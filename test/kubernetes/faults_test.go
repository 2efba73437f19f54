package kubernetes

import (
	"path/filepath"
	"strings"
	"testing"
)

// files is how many a Task for faults has.
const files = 60

// halfway is a Task whose two workers have files in hand that take until goOn.
func halfway(t *testing.T, l lab) *place {
	t.Helper()
	p := newPlace(t, l)
	p.inputs(files)
	p.write(module, "t.py")
	p.task("  type: LocalAsync", "  localAsync: {concurrency: 4}", "  handler: {python: {module: t.py}}", "  completeAfterIdle: 0s",
		"  scaling: {minWorkers: 2, maxWorkers: 2}")
	until(t, "two workers with files in hand", func() bool {
		held, err := filepath.Glob(p.file("out", ".tigerflow", "tasks", "t", "workers", "*", "claimed", "*"))
		must(t, err)
		holders := map[string]bool{}
		for _, claim := range held {
			holders[filepath.Dir(claim)] = true
		}
		return len(holders) == 2
	})
	return p
}

// goOn lets all files be done, and checks that they are.
func (p *place) goOn() {
	p.Helper()
	p.write("", "go")
	p.complete("task/t")
	p.wantAll(files, content)
}

// pods are the names of the namespace's pods that run and have a label.
func (p *place) pods(label string) []string {
	p.Helper()
	return strings.Fields(p.kubectl("get", "pods", "-l", "app.kubernetes.io/"+label, "--field-selector=status.phase=Running",
		"-o", "jsonpath={.items[*].metadata.name}"))
}

// killContainer kills the first container of a pod, as the kernel might.
func (l lab) killContainer(t *testing.T, namespace, pod string) {
	t.Helper()
	id := l.kubectl(t, "-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}")
	l.node(t, "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", strings.TrimPrefix(id, "containerd://"))
}

// testWorkerKilled: one pod is deleted at once, another's process dies; their files go to others.
func testWorkerKilled(t *testing.T, l lab) {
	p := halfway(t, l)
	pods := p.pods("name=tigerflow-worker")
	p.kubectl("delete", "pod", pods[0], "--grace-period=0", "--force")
	l.killContainer(t, p.namespace, pods[1])
	p.goOn()
}

// testDispatcherKilled: workers go on, and their next dispatcher finds them.
func testDispatcherKilled(t *testing.T, l lab) {
	p := halfway(t, l)
	workers := p.pods("name=tigerflow-worker")
	l.killContainer(t, p.namespace, p.pods("name=tigerflow-dispatcher")[0])
	p.goOn()
	for _, w := range workers {
		if got := p.kubectl("get", "events", "--field-selector=involvedObject.name="+w+",reason=Created", "-o", "name"); got == "" {
			t.Errorf("pod %s has no events", w)
		}
	}
	if n := len(strings.Fields(p.kubectl("get", "events", "--field-selector=reason=Scheduled", "-o", "name"))); n > 4 {
		t.Errorf("%d pods were made, not two dispatchers and two workers at most", n)
	}
}

// testManagerKilled: Tasks that come afterwards are looked after.
func testManagerKilled(t *testing.T, l lab) {
	pod := l.kubectl(t, "-n", system, "get", "pods", "-l", "app.kubernetes.io/name=tigerflow-manager", "-o", "jsonpath={.items[0].metadata.name}")
	l.killContainer(t, system, pod)
	p := newPlace(t, l)
	p.inputs(5)
	p.task("  type: Local", "  handler: {builtin: echo}", "  completeAfterIdle: 0s")
	p.complete("task/t")
	p.wantAll(5, content)
}

// testServerAway: workers go on without the API server, and their counters are right again after its return.
func testServerAway(t *testing.T, l lab) {
	p := halfway(t, l)
	l.node(t, "component.sh", "kill", "kube-apiserver")
	p.write("", "go")
	until(t, "all outputs without an API server", func() bool { return p.outputs() == files })
	l.node(t, "component.sh", "start", "kube-apiserver")
	until(t, "the API server", func() bool {
		_, err := l.command("", "kubectl", "get", "--raw", "/readyz")
		return err == nil
	})
	p.goOn()
}

// testDrained: an administrator empties the node.
func testDrained(t *testing.T, l lab) {
	p := halfway(t, l)
	l.kubectl(t, "drain", "node0", "--force", "--delete-emptydir-data", "--timeout="+patience.String())
	l.kubectl(t, "uncordon", "node0")
	p.goOn()
}

// testNamespaceDeleted: all in it goes, and what is on disk can be gone on with.
func testNamespaceDeleted(t *testing.T, l lab) {
	p := halfway(t, l)
	p.kubectl("delete", "namespace", p.namespace, "--timeout="+patience.String())
	p.check("out")
}

// testBridgeGone: what waits for a Slurm bridge that is no more can be given up, and its namespace can be deleted.
func testBridgeGone(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.apply(`
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: tigerflow-bridge-default, namespace: ` + p.namespace + `, labels: {tigerflow.dev/bridge: default}}
spec: {holderIdentity: gone, leaseDurationSeconds: 60, renewTime: "2020-01-01T00:00:00.000000Z"}
`)
	for _, name := range []string{"one", "two"} {
		p.apply(`
apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata: {name: ` + name + `, namespace: ` + p.namespace + `, finalizers: [tigerflow.dev/workers]}
spec:
  type: Slurm
  slurm: {time: 1h}
  workspace: {path: /scratch}
  input: {directory: in, extension: .txt}
  output: {directory: ` + name + `, extension: .txt}
  handler: {builtin: echo}
`)
	}
	reasons := func() string {
		return p.kubectl("get", "task", "one", "-o", "jsonpath={.status.conditions[*].reason}")
	}
	until(t, "BridgeLost", func() bool { return strings.Contains(reasons(), "BridgeLost") })
	p.kubectl("delete", "task", "one", "--wait=false")
	until(t, "word of what blocks the deletion", func() bool { return strings.Contains(reasons(), "DeletionBlocked") })
	p.kubectl("annotate", "task", "one", "tigerflow.dev/abandon=true")
	p.kubectl("wait", "--for=delete", "task/one", "--timeout="+patience.String())
	p.kubectl("delete", "namespace", p.namespace, "--timeout="+patience.String())
}
