package kubernetes

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// echo runs a Task and checks its outputs.
func (p *place) echo(n int) {
	p.Helper()
	p.inputs(n)
	p.task("  type: Local", "  handler: {builtin: echo}", "  completeAfterIdle: 0s")
	p.complete("task/t")
	p.wantAll(n, content)
}

// removed uninstalls the release, if there is one, with all that it keeps.
func (l lab) removed(t *testing.T, before []string) {
	t.Helper()
	if l.deployed(t) {
		testPurge(before)(t, l)
	}
}

// testKustomize installs without helm.
func testKustomize(t *testing.T, l lab, before []string) {
	l.removed(t, before)
	const folder = "../../config/default"
	manager := objects(t, l.kubectl(t, "kustomize", folder))["Deployment/tigerflow-manager"]
	containers, _, err := unstructured.NestedSlice(manager.Object, "spec", "template", "spec", "containers")
	must(t, err)
	l.node(t, "ctr", "-n", "k8s.io", "images", "tag", "--force", l.image("manager"), containers[0].(map[string]any)["image"].(string))
	l.kubectl(t, "apply", "--server-side", "-k", folder)
	l.kubectl(t, "rollout", "status", "--namespace", system, "deployment/tigerflow-manager", "--timeout="+patience.String())
	p := newPlace(t, l)
	p.echo(5)
	p.kubectl("delete", "namespace", p.namespace)
	l.kubectl(t, "delete", "-k", folder)
	until(t, "nothing left but the volume", func() bool {
		return slices.Equal(more(before, l.inventory(t)), []string{"PersistentVolume//" + p.namespace})
	})
}

// testNamespaced has a manager, with rights in one other namespace, look after that and no other.
func testNamespaced(t *testing.T, l lab, before []string) {
	l.removed(t, before)
	p, other := newPlace(t, l), newPlace(t, l, "other")
	l.helm(t, "install", release, chart, "--namespace", own, "--create-namespace", "--set", "image.tag="+l.version, "--set", "namespace="+p.namespace,
		"--wait", "--timeout", patience.String())
	other.inputs(1)
	other.task("  type: Local", "  handler: {builtin: echo}")
	p.echo(5)
	p.task("  type: Local", "  handler: {builtin: echo}") // a new generation has a dispatcher again, and keeps it
	until(t, "the dispatcher", func() bool { return len(p.pods("name=tigerflow-dispatcher")) == 1 })
	if got := other.kubectl("get", "task", "t", "-o", "jsonpath={.status}") + other.kubectl("get", "pods,rolebindings", "-o", "name"); got != "" {
		t.Errorf("in another namespace it has made %s", got)
	}
	l.helm(t, "uninstall", release, "--namespace", own, "--wait", "--timeout", patience.String())
	for _, object := range more(before, l.inventory(t)) {
		if kind, _, _ := strings.Cut(object, "/"); strings.HasPrefix(kind, "ClusterRole") || strings.HasPrefix(kind, "Role") || kind == "Pod" {
			t.Errorf("left is %s", object)
		}
	}
	l.kubectl(t, "delete", "crd", "tasks.tigerflow.dev", "pipelines.tigerflow.dev")
	l.kubectl(t, "delete", "namespace", own)
}

// testMetrics asks the manager for its metrics as a Prometheus does.
func testMetrics(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.kubectl("create", "serviceaccount", "prometheus")
	l.kubectl(t, "create", "clusterrolebinding", p.namespace, "--clusterrole=tigerflow-metrics-reader", "--serviceaccount="+p.namespace+":prometheus")
	t.Cleanup(func() { l.kubectl(t, "delete", "clusterrolebinding", p.namespace) })
	cmd := exec.CommandContext(t.Context(), filepath.Join(l.dir, "bin", "kubectl"), "--kubeconfig", filepath.Join(l.dir, "admin.kubeconfig"),
		"port-forward", "--namespace", system, "service/tigerflow-manager", ":8443")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Wait() }() // it is killed
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	address, _, ok := strings.Cut(strings.TrimPrefix(line, "Forwarding from "), " ")
	if !ok {
		t.Fatalf("kubectl port-forward says %q", line)
	}
	for token, want := range map[string]int{
		"": http.StatusUnauthorized, p.kubectl("create", "token", "default"): http.StatusForbidden, p.kubectl("create", "token", "prometheus"): http.StatusOK,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", http.NoBody)
		must(t, err)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // it is its own authority
		answer, err := c.Do(request)
		must(t, err)
		must(t, answer.Body.Close())
		c.CloseIdleConnections()
		if answer.StatusCode != want {
			t.Errorf("the answer is %s, not %d", answer.Status, want)
		}
	}
}
