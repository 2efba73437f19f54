package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// previous writes a chart as an older release might have been: with other images, and without fields that were added since.
func previous(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(chart)))
	crd := filepath.Join(dir, "files", "crd", "tigerflow.dev_tasks.yaml")
	text, err := os.ReadFile(crd)
	must(t, err)
	// A field at the first level of the spec, up to the next.
	field := regexp.MustCompile(`(?m)^              taskName:\n(                .*\n)+`)
	if !field.Match(text) {
		t.Fatal("the CustomResourceDefinition has no spec.taskName")
	}
	must(t, os.WriteFile(crd, field.ReplaceAll(text, nil), 0o644))
	return dir
}

// install makes a release of a chart, with images of a tag, or makes another one of it.
func (l lab) install(t *testing.T, chart, tag string) {
	t.Helper()
	l.helm(t, "upgrade", "--install", release, chart, "--namespace", system, "--create-namespace", "--set", "image.tag="+tag,
		"--wait", "--timeout", patience.String())
}

// deployed tells whether there is a release.
func (l lab) deployed(t *testing.T) bool {
	t.Helper()
	return l.helm(t, "list", "--namespace", system, "--short") == release
}

// installed makes a release of this chart if there is none.
func (l lab) installed(t *testing.T) {
	t.Helper()
	if !l.deployed(t) {
		l.install(t, chart, l.version)
	}
}

// testUpgrade upgrades under a Task that runs.
func testUpgrade(t *testing.T, l lab) {
	old := l.version + "-previous"
	for _, image := range []string{"manager", "dispatcher", "worker", "python"} {
		l.node(t, "ctr", "-n", "k8s.io", "images", "tag", "--force", l.image(image), "tigerflow.dev/"+image+":"+old)
	}
	l.install(t, previous(t), old)
	p := halfway(t, l)
	l.install(t, chart, l.version)
	dispatcher := func() string {
		return p.kubectl("get", "pods", "-l", "app.kubernetes.io/name=tigerflow-dispatcher", "-o", "jsonpath={.items[*].spec.containers[*].image}")
	}
	until(t, "a dispatcher of the new release", func() bool { return dispatcher() == l.image("dispatcher") })
	p.goOn()
	if out := l.kubectl(t, "explain", "task.spec.taskName"); !strings.Contains(out, "taskName") {
		t.Errorf("the CustomResourceDefinition is the older one: %s", out)
	}
}

// inventory is all objects of the cluster, but those that come and go by themselves.
func (l lab) inventory(t *testing.T) []string {
	t.Helper()
	kinds := strings.Fields(l.kubectl(t, "api-resources", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool {
		return strings.HasPrefix(kind, "events") || strings.HasPrefix(kind, "leases.") || strings.Contains(kind, "metrics")
	})
	list := strings.Fields(l.kubectl(t, "get", strings.Join(kinds, ","), "--all-namespaces", "--ignore-not-found",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\n"}{end}`))
	slices.Sort(list)
	return list
}

// more is what is in a list and not in an older one.
func more(older, list []string) (more []string) {
	for _, o := range list {
		if !slices.Contains(older, o) {
			more = append(more, o)
		}
	}
	return more
}

// testUninstall leaves users' objects and what they are made of, and nothing that works.
func testUninstall(before []string) func(*testing.T, lab) {
	return func(t *testing.T, l lab) {
		p := halfway(t, l)
		mine := more(before, l.inventory(t))
		l.helm(t, "uninstall", release, "--namespace", system, "--wait", "--timeout", patience.String())
		left := more(before, l.inventory(t))
		want := slices.DeleteFunc(slices.Clone(mine), func(o string) bool { return !users(o, p.namespace) })
		if !slices.Equal(left, want) {
			t.Errorf("left are %v,\nwant %v", left, want)
		}
		p.check("out")

		// Installed again, it goes on with what there is.
		l.install(t, chart, l.version)
		p.goOn()
	}
}

// users tells whether an object is a user's, in a namespace, or what these are kept in.
func users(object, namespace string) bool {
	kind, rest, _ := strings.Cut(object, "/")
	in, name, _ := strings.Cut(rest, "/")
	switch kind {
	case "CustomResourceDefinition", "APIService": // the second is made of the first
		return true
	case "Namespace", "PersistentVolume":
		return name == namespace || name == system
	case "Task", "Pipeline", "PersistentVolumeClaim":
		return in == namespace
	}
	// What each namespace has.
	return in == namespace && (object == "ServiceAccount/"+namespace+"/default" || object == "ConfigMap/"+namespace+"/kube-root-ca.crt") ||
		in == system && (name == "default" || name == "kube-root-ca.crt")
}

// testPurge does what docs/kubernetes.md says, and finds the cluster as it was.
func testPurge(before []string) func(*testing.T, lab) {
	return func(t *testing.T, l lab) {
		text, err := os.ReadFile("../../docs/kubernetes.md")
		must(t, err)
		_, purge, ok := strings.Cut(string(text), "### Purging")
		_, purge, fenced := strings.Cut(purge, "```\n")
		purge, _, closed := strings.Cut(purge, "```")
		if !ok || !fenced || !closed {
			t.Fatal("docs/kubernetes.md does not say how")
		}
		for line := range strings.Lines(purge) {
			words := strings.Fields(line)
			if _, err := l.command("", words[0], words[1:]...); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "nothing left", func() bool { return len(more(before, l.inventory(t))) == 0 })
	}
}
