package kubernetes

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// author is the name of the account that stands for a person who writes Tasks in a namespace.
const author = "author"

// author makes the account of a person who may write Tasks here, and returns what runs kubectl in their name.
func (p *place) author() func(stdin string, args ...string) (string, error) {
	p.Helper()
	p.kubectl("create", "serviceaccount", author)
	p.kubectl("create", "rolebinding", "tigerflow-author", "--clusterrole=tigerflow-author", "--serviceaccount="+p.namespace+":"+author)
	config := p.as(author)
	return func(stdin string, args ...string) (string, error) {
		return p.command(stdin, "kubectl", append([]string{"--kubeconfig", config, "-n", p.namespace}, args...)...)
	}
}

// as is the kubeconfig of an account.
func (p *place) as(name string) (file string) {
	p.Helper()
	config, err := clientcmd.LoadFromFile(filepath.Join(p.dir, "admin.kubeconfig"))
	must(p.T, err)
	config.AuthInfos = map[string]*clientcmdapi.AuthInfo{name: {Token: p.kubectl("create", "token", name)}}
	config.Contexts[config.CurrentContext].AuthInfo = name
	file = filepath.Join(p.TempDir(), "kubeconfig")
	must(p.T, clientcmd.WriteToFile(*config, file))
	return file
}

// testAuthor does what people do with Tasks and Pipelines, with the rights that they are given.
func testAuthor(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(1)
	kubectl := p.author()
	for kind, spec := range map[string]string{
		"Task":     "type: Local, output: {directory: out, extension: .txt}, handler: {builtin: echo}",
		"Pipeline": "output: {directory: results}, tasks: [{name: one, type: Local, output: {extension: .txt}, handler: {builtin: echo}}]",
	} {
		manifest := fmt.Sprintf(`{apiVersion: tigerflow.dev/v1alpha1, kind: %s, metadata: {name: mine}, spec: {
			workspace: {path: %s, volume: {persistentVolumeClaim: {claimName: workspace}}},
			input: {directory: in, extension: .txt}, completeAfterIdle: 0s, %s}}`, kind, p.folder, spec)
		object := strings.ToLower(kind) + "/mine"
		for _, args := range []string{
			"create -f -", "wait --for=condition=Complete --timeout=" + patience.String() + " " + object, "get " + object, "get " + kind,
			"apply --server-side --force-conflicts -f -", "replace -f -", "delete " + object,
		} {
			if _, err := kubectl(manifest, strings.Fields(args)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, args := range []string{"get pods", "get secrets", "create serviceaccount x", "get tasks -n default", "delete rolebinding tigerflow-dispatcher"} {
		if out, err := kubectl("", strings.Fields(args)...); err == nil {
			t.Errorf("an author may %s: %s", args, out)
		}
	}
}

// attempts are what a person of namespace a may try by a Task to get at the files of b: fields of its spec instead of the usual ones,
// and whether the API server refuses them.
func attempts(a, b *place) map[string]struct {
	spec    string
	refused bool
} {
	workspace := func(volume string) string {
		return fmt.Sprintf("workspace: {path: %s, volume: {%s}}", a.folder, volume)
	}
	return map[string]struct {
		spec    string
		refused bool
	}{
		"code":       {"", false},
		"path":       {fmt.Sprintf("workspace: {path: %s, volume: {persistentVolumeClaim: {claimName: workspace}}}", b.folder), false},
		"up":         {"input: {directory: ../" + b.namespace + "/in, extension: .txt}", true},
		"out":        {"output: {directory: ../" + b.namespace + "/in, extension: .txt}", true},
		"absolute":   {"input: {directory: " + b.file("in") + ", extension: .txt}", false},
		"link":       {"input: {directory: link/in, extension: .txt}", false},
		"links":      {"input: {directory: links, extension: .txt}", false},
		"into-link":  {"output: {directory: link/in, extension: .txt}", false},
		"module":     {"handler: {python: {module: link/in/secret.txt}}", false},
		"subpath":    {workspace("persistentVolumeClaim: {claimName: workspace, subPath: link}"), false},
		"subpath-up": {workspace("persistentVolumeClaim: {claimName: workspace, subPath: ../" + b.namespace + "}"), true},
		"claim":      {workspace("persistentVolumeClaim: {claimName: " + b.namespace + "/workspace}"), true},
		"no-claim":   {workspace("persistentVolumeClaim: {claimName: " + b.namespace + "}"), false},
		"host":       {workspace("hostPath: {path: " + b.folder + "}"), true},
		"mount":      {"container: {mounts: [{path: /b, hostPath: {path: " + b.folder + "}}]}", true},
		"user":       {fmt.Sprintf("pod: {securityContext: {runAsUser: %d}}", b.uid), true},
		"params":     {fmt.Sprintf("params: {uid: %d, input_dir: %q}", b.uid, b.file("in")), false},
		"label":      {"pod: {labels: {tigerflow.dev/task: other}}", true},
	}
}

// testIsolated has a person of one namespace try to get at the files of another, which are open to whoever sees them.
func testIsolated(t *testing.T, l lab) {
	a, b := newPlace(t, l, "a"), newPlace(t, l, "b")
	const secret = "nobody else's"
	b.write(secret, "in", "secret.txt")
	must(t, filepath.WalkDir(b.folder, func(path string, _ fs.DirEntry, err error) error {
		must(t, err)
		return os.Chmod(path, 0o777) //nolint:gosec // that is what is tried
	}))
	before := b.tree()
	a.inputs(1)
	must(t, os.Symlink(b.folder, a.file("link")))
	must(t, os.Mkdir(a.file("links"), 0o755))
	must(t, os.Symlink(b.file("in", "secret.txt"), a.file("links", "secret.txt")))
	a.write(fmt.Sprintf(`id -u >"$2"; cat %[1]s/in/* link/in/* ../%[2]s/in/* >>"$2"
for d in %[1]s link ../%[2]s; do echo x >$d/in/secret.txt; echo x >$d/in/more.txt; done
true`, b.folder, b.namespace), "try.sh")
	kubectl := a.author()
	tried := map[string]bool{}
	for name, try := range attempts(a, b) {
		fields := map[string]any{}
		must(t, yaml.Unmarshal([]byte(fmt.Sprintf(`{type: Local, workspace: {path: %s, volume: {persistentVolumeClaim: {claimName: workspace}}},
			input: {directory: in, extension: .txt}, output: {directory: out/%s, extension: .txt}, completeAfterIdle: 0s,
			handler: {command: [sh, try.sh, "{input}", "{output}"]}}`, a.folder, name)), &fields))
		must(t, yaml.Unmarshal([]byte("{"+try.spec+"}"), &fields))
		manifest, err := yaml.Marshal(map[string]any{"apiVersion": "tigerflow.dev/v1alpha1", "kind": "Task", "metadata": map[string]any{"name": name}, "spec": fields})
		must(t, err)
		_, err = kubectl(string(manifest), "apply", "--server-side", "-f", "-")
		if (err != nil) != try.refused {
			t.Errorf("%s: refused is %t, want %t: %v", name, err != nil, try.refused, err)
		}
		tried[name] = err == nil
	}
	for name, there := range tried {
		until(t, name+" to come to an end", func() bool { return !there || a.settled(name) })
	}
	t.Log(a.kubectl("get", "tasks"))
	if after := b.tree(); after != before {
		t.Errorf("there was\n%s\nand is\n%s", before, after)
	}
	if tree := a.tree(); strings.Contains(tree, secret) {
		t.Errorf("what is b's is among a's files:\n%s", tree)
	}
	if got, err := os.ReadFile(a.file("out", "code", "00000.txt")); err != nil || string(got) != fmt.Sprintln(a.uid) {
		t.Errorf("the code has run as, and seen, %q, %v", got, err)
	}
}

// settled tells whether a Task is complete, or a person must act.
func (p *place) settled(task string) bool {
	p.Helper()
	return strings.Contains(p.kubectl("get", "task", task, "-o",
		`jsonpath={.status.conditions[?(@.type=="Complete")].status} {.status.conditions[?(@.type=="Stalled")].status}`), "True")
}

// tree is all files and what is in them.
func (p *place) tree() string {
	p.Helper()
	var text strings.Builder
	must(p.T, filepath.WalkDir(p.folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			fmt.Fprintln(&text, path)
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&text, "%s: %s\n", path, content)
		return err
	}))
	return text.String()
}
