package kubernetes

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const chart = "../../config/helm"

// objects reads a manifest, by kind and name.
func objects(t *testing.T, manifest string) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	for document := range strings.SplitSeq("\n"+manifest, "\n---") {
		o := &unstructured.Unstructured{}
		must(t, yaml.Unmarshal([]byte(document), &o.Object))
		if len(o.Object) > 0 {
			all[o.GetKind()+"/"+o.GetName()] = o
		}
	}
	return all
}

// template is what the chart makes in a namespace.
func (l lab) template(t *testing.T, namespace string, values ...string) string {
	t.Helper()
	args := []string{"template", release, chart, "--namespace", namespace}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	return l.helm(t, args...)
}

// TestKustomize: helm and kustomize install the same.
func TestKustomize(t *testing.T) {
	l := need(t)
	byHelm, byKustomize := objects(t, l.template(t, system)), objects(t, l.kubectl(t, "kustomize", "../../config/default"))
	delete(byHelm, "NetworkPolicy/tigerflow-manager") // its ports are the cluster's
	delete(byKustomize, "Namespace/"+system)          // helm makes it with --create-namespace
	maps.DeleteFunc(byHelm, func(_ string, o *unstructured.Unstructured) bool { return o.GetAnnotations()["helm.sh/hook"] != "" })
	if a, b := slices.Sorted(maps.Keys(byHelm)), slices.Sorted(maps.Keys(byKustomize)); !slices.Equal(a, b) {
		t.Fatalf("the chart has %v,\nconfig/default %v", a, b)
	}
	for name, a := range byHelm {
		b := byKustomize[name]
		for _, o := range []*unstructured.Unstructured{a, b} {
			for _, field := range []string{"labels", "annotations"} {
				unstructured.RemoveNestedField(o.Object, "metadata", field)
				unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", field)
			}
			if containers, ok, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers"); ok {
				delete(containers[0].(map[string]any), "args") // the chart spells out the manager's own defaults
				must(t, unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers"))
			}
		}
		if !reflect.DeepEqual(a.Object, b.Object) {
			x, _ := yaml.Marshal(a.Object)
			y, _ := yaml.Marshal(b.Object)
			t.Errorf("%s differs. By the chart:\n%s\nby config/default:\n%s", name, x, y)
		}
	}
}

// TestValues: what the chart makes with other values is accepted, and wrong values are refused.
func TestValues(t *testing.T) {
	l := need(t)
	for _, values := range [][]string{
		{"namespace=default", "rbac.author=false", "identity.groups={7,8}", "manager.verbose=true", "manager.priorityClassName=system-cluster-critical"},
		{"metrics.certificateSecret=tls", "image.pullSecrets[0].name=x", "manager.nodeSelector.a=b", "manager.tolerations[0].operator=Exists", "manager.podLabels.a=b", "manager.podAnnotations.a=b", "image.repository=localhost:5000"},
		{"metrics.enabled=false", "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b", "crds.install=false", "identity.uid=2147483647", "image.repository=Registry.example.org:5000/lab_1/x-y.z"},
		{"networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b", "dispatcher.limits.cpu=2", "dispatcher.requests.memory=1Gi"},
	} {
		manifest := l.template(t, "default", values...)
		if strings.Contains(manifest, "CustomResourceDefinition") == slices.Contains(values, "crds.install=false") {
			t.Errorf("%v: CustomResourceDefinitions are there, or not", values)
		}
		if _, err := l.command(manifest, "kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"); err != nil {
			t.Errorf("%v: %v", values, err)
		}
	}
	if monitor := objects(t, l.template(t, system, "metrics.serviceMonitor.enabled=true"))["ServiceMonitor/tigerflow-manager"]; monitor == nil {
		t.Error("no ServiceMonitor")
	}
	for _, value := range []string{
		"image.tagg=1", "identity.uid=0", "identity.groups={a}", "namespace=A", "dispatcher.limits.memory=much", "metrics.port=0", "metrics.serviceMonitor.interval=soon",
		"identity.uid=2147483648", "identity=null", "identity.uid=null", "dispatcher=null", "networkPolicy.apiServerPorts=null", "metrics.port=8081",
		"image.repository=ghcr.io/Lab", "image.repository=a//b", "image.pullSecrets[0].name=A_b",
	} {
		if out, err := l.command("", "helm", "template", release, chart, "--set", value); err == nil {
			t.Errorf("%s is accepted:\n%.300s", value, out)
		}
	}
}

// TestRoles: a manager of one namespace has in the whole cluster only what belongs to no namespace.
func TestRoles(t *testing.T) {
	l := need(t)
	var resources []string
	for name, o := range objects(t, l.template(t, system, "namespace=mine")) {
		if name != "ClusterRole/tigerflow-manager" && name != "ClusterRole/tigerflow-uninstall" {
			continue
		}
		rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
		for _, r := range rules {
			resources = append(resources, fmt.Sprint(r.(map[string]any)["resources"], r.(map[string]any)["resourceNames"]))
		}
	}
	slices.Sort(resources)
	if want := []string{"[namespaces] [mine]", "[subjectaccessreviews] <nil>", "[tokenreviews] <nil>"}; !slices.Equal(resources, want) {
		t.Errorf("for the whole cluster it has %v, want %v", resources, want)
	}
}

// testSamples: all of config/samples is what a cluster admits.
func testSamples(t *testing.T, l lab) {
	files, err := filepath.Glob("../../config/samples/*.yaml")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are none")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		if _, err := l.command(string(text), "kubectl", "apply", "--dry-run=server", "--namespace=default", "--validate=strict", "-f", "-"); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
