package kubernetes

import (
	"strconv"
	"strings"
	"testing"
)

// testNoImage: an image that nobody has is told, and another one taken.
func testNoImage(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(3)
	p.probe("  container: {image: tigerflow.dev/nobody:1}")
	p.stalled("ImageNotPulled")
	p.probe("  container: {image: " + l.image("plain") + "}")
	p.complete("task/t")
	p.wantAll(3, content)
}

// event waits for one of a pod.
func (p *place) event(pod, reason string) {
	p.Helper()
	until(p.T, "an event "+reason, func() bool {
		return p.kubectl("get", "events", "--field-selector=reason="+reason, "-o", "jsonpath={.items[*].involvedObject.name}") == pod
	})
}

// testPreempted: a pod of a higher priority takes a worker's place. No file is blamed for it.
func testPreempted(t *testing.T, l lab) {
	p := newPlace(t, l)
	t.Cleanup(func() { l.kubectl(t, "delete", "priorityclass", p.namespace+"-low", p.namespace+"-high") })
	for name, value := range map[string]string{"low": "-10", "high": "-5"} { // others have 0
		p.apply("{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: " + p.namespace + "-" + name + "}, value: " + value + "}")
	}
	n, err := strconv.Atoi(p.kubectl("get", "node", "node0", "-o", "jsonpath={.status.allocatable.cpu}"))
	must(t, err)
	half := strconv.Itoa(n / 2)
	p.inputs(3)
	p.write(module, "t.py")
	p.task("  type: LocalAsync", "  localAsync: {concurrency: 2}", "  handler: {python: {module: t.py}}", "  completeAfterIdle: 0s", "  drainTimeout: 2s",
		"  retry: {crashLimit: 1}", "  resources: {cpus: "+half+"}", "  pod: {priorityClassName: "+p.namespace+"-low}")
	p.holders(1)
	worker := p.pods("name=tigerflow-worker")[0]
	p.apply(`
apiVersion: v1
kind: Pod
metadata: {name: high, namespace: ` + p.namespace + `}
spec:
  priorityClassName: ` + p.namespace + `-high
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: pause
    image: tigerflow.dev/pause:test
    resources: {requests: {cpu: ` + half + `}}
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`)
	p.event(worker, "Preempted")
	p.kubectl("wait", "--for=condition=Ready", "pod/high", "--timeout="+patience.String())
	p.kubectl("delete", "pod", "high")
	p.write("", "go")
	p.complete("task/t")
	p.wantAll(3, content)
}

// testEvicted: a node evicts a worker that fills its disk. No file is blamed for it.
func testEvicted(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.apply(`
apiVersion: v1
kind: LimitRange
metadata: {name: small, namespace: ` + p.namespace + `}
spec: {limits: [{type: Container, default: {ephemeral-storage: 16Mi}, defaultRequest: {ephemeral-storage: 1Mi}}]}
`)
	p.inputs(3)
	p.write(`if mkdir once 2>/dev/null; then head -c 100M /dev/zero >"$TMPDIR/much"; sleep 600; fi; cat "$1" >"$2"`, "t.sh")
	p.task("  type: Local", `  handler: {command: [sh, t.sh, "{input}", "{output}"]}`, "  completeAfterIdle: 0s", "  retry: {crashLimit: 1}")
	p.complete("task/t")
	p.wantAll(3, content)
	if evicted := p.kubectl("get", "events", "--field-selector=reason=Evicted", "-o", "jsonpath={.items[*].involvedObject.name}"); !strings.HasPrefix(evicted, "t-") {
		t.Errorf("evicted were %q", evicted)
	}
}

// testKept: what others change of a Pipeline's Task, or of the rights of dispatchers, is taken back.
func testKept(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.apply(`
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: p, namespace: ` + p.namespace + `}
spec:
  workspace: {path: ` + p.folder + `, volume: {persistentVolumeClaim: {claimName: workspace}}}
  input: {directory: in, extension: .txt}
  output: {directory: results}
  tasks: [{name: a, type: Local, output: {extension: .txt}, handler: {builtin: echo}}]
`)
	until(t, "a dispatcher", func() bool { return len(p.pods("name=tigerflow-dispatcher")) == 1 })
	p.kubectl("patch", "task", "p-a", "--type=merge", "--patch", `{"spec":{"timeout":"1h"}}`)
	until(t, "the Task to be as it was", func() bool { return p.kubectl("get", "task", "p-a", "-o", "jsonpath={.spec.timeout}") == "" })
	p.kubectl("patch", "rolebinding", "tigerflow-dispatcher", "--type=json", "--patch",
		`[{"op": "add", "path": "/subjects/-", "value": {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}}]`)
	until(t, "the RoleBinding to be as it was", func() bool {
		return p.kubectl("get", "rolebindings", "-o", "jsonpath={.items[*].subjects[*].name}") == "tigerflow-dispatcher"
	})
}
