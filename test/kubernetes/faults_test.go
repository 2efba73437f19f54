package kubernetes

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// files is how many a Task for faults has.
const files = 60

// halfway is a Task whose two workers have files in hand that take until goOn.
func halfway(t *testing.T, l lab) *place {
	t.Helper()
	p := newPlace(t, l)
	p.inputs(files)
	p.write(module, "t.py")
	p.task("  type: LocalAsync", "  localAsync: {concurrency: 4}", "  handler: {python: {module: t.py}}", "  completeAfterIdle: 0s", "  drainTimeout: 5s",
		"  scaling: {minWorkers: 2, maxWorkers: 2}")
	p.holders(2)
	return p
}

// holders waits until so many workers have files in hand.
func (p *place) holders(n int) {
	p.Helper()
	until(p.T, "workers with files in hand", func() bool {
		held, err := filepath.Glob(p.file("out", ".tigerflow", "tasks", "t", "workers", "*", "claimed", "*"))
		must(p.T, err)
		holders := map[string]bool{}
		for _, claim := range held {
			holders[filepath.Dir(claim)] = true
		}
		return len(holders) == n
	})
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

var away = flag.Duration("away", 20*time.Second, "for how long testServerAway has the API server away")

// When testServerAway took the API server away, and when that was ready again. Before, it answers, but knows of no rights yet.
var serverWent, serverCame time.Time

// testServerAway: a worker goes on without the API server, and its counters are right again after its return. It tells how long
// the worker paused and how long that took.
func testServerAway(t *testing.T, l lab) {
	p := newPlace(t, l)
	n := 40 + 8*int(away.Seconds()) // of which there are at most 8 in a second
	p.inputs(n)
	p.write(strings.ReplaceAll(module, `while not os.path.exists("go"):`, "for _ in range(5):"), "t.py")
	p.task("  type: LocalAsync", "  localAsync: {concurrency: 4}", "  handler: {python: {module: t.py}}", "  completeAfterIdle: 0s")
	until(t, "outputs", func() bool { return p.outputs() > 4 })
	l.node(t, "component.sh", "kill", "kube-apiserver")
	serverWent = time.Now()
	until(t, "half of the time to pass", func() bool { return time.Since(serverWent) > *away/2 })
	half := p.outputs()
	until(t, "the other half to pass", func() bool { return time.Since(serverWent) > *away })
	done := p.outputs()
	if done == half || done == n {
		t.Errorf("%d outputs halfway, and %d of %d when the API server comes again", half, done, n)
	}
	l.node(t, "component.sh", "start", "kube-apiserver")
	until(t, "the API server", func() bool {
		_, err := l.command("", "kubectl", "get", "--raw", "/readyz")
		return err == nil
	})
	serverCame = time.Now()
	until(t, "right counters", func() bool {
		counted, err := strconv.Atoi(p.kubectl("get", "task", "t", "-o", "jsonpath={.status.files.done}"))
		return err == nil && counted >= done
	})
	t.Logf("away for %s; longest pause between outputs then %s; counters right %s after the API server was ready",
		serverCame.Sub(serverWent), p.pause(serverWent, serverWent.Add(*away)), time.Since(serverCame))
	p.complete("task/t")
	p.wantAll(n, content)
}

// pause is the longest time between two outputs of a time.
func (p *place) pause(from, to time.Time) (longest time.Duration) {
	p.Helper()
	list, err := os.ReadDir(p.file("out"))
	must(p.T, err)
	times := []time.Time{from, to}
	for _, entry := range list {
		info, err := entry.Info()
		must(p.T, err)
		if at := info.ModTime(); !entry.IsDir() && at.After(from) && at.Before(to) {
			times = append(times, at)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, at := range times[1:] {
		longest = max(longest, at.Sub(times[i]))
	}
	return longest
}

// testDispatcherLost: the node of a dispatcher is lost, and comes again. Until then the manager tells so.
func testDispatcherLost(t *testing.T, l lab) {
	p := halfway(t, l)
	dispatcher := p.pods("name=tigerflow-dispatcher")[0]
	l.node(t, "component.sh", "kill", "kubelet")
	l.killContainer(t, p.namespace, dispatcher)
	until(t, "DispatcherLost", func() bool {
		return p.kubectl("get", "task", "t", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}{.status.conditions[?(@.type=="Ready")].reason}`) == "UnknownDispatcherLost"
	})
	l.node(t, "component.sh", "start", "kubelet")
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
