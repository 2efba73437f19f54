package kubernetes

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// place is a namespace under the restricted Pod security standard, whose administrator has said who its pods are, with a folder
// of the node as its workspace: at the same path, so that tigerflow check finds what the pods wrote down.
type place struct {
	*testing.T
	lab

	namespace, folder string
	uid               int
}

// namespaceOf is the name of the namespace that a test has, and its user.
func namespaceOf(test string) (name string, uid int) {
	hash := fnv.New32a()
	hash.Write([]byte(test))
	sum := hash.Sum32()
	return fmt.Sprintf("%s-%x", strings.ToLower(filepath.Base(test)), sum), 20000 + int(sum%10000)
}

// newPlace makes one; name tells those of one test from each other.
func newPlace(t *testing.T, l lab, name ...string) *place {
	t.Helper()
	namespace, uid := namespaceOf(strings.Join(append([]string{t.Name()}, name...), "-"))
	return newPlaceIn(t, l, namespace, filepath.Join(l.dir, "shared"), uid)
}

// newPlaceIn has its folder in another one, and a user that there is.
func newPlaceIn(t *testing.T, l lab, namespace, dir string, uid int) *place {
	t.Helper()
	p := &place{T: t, lab: l, namespace: namespace, folder: filepath.Join(dir, namespace), uid: uid}
	must(t, os.RemoveAll(p.folder)) // of a run that was killed
	must(t, os.MkdirAll(filepath.Join(p.folder, "in"), 0o755))
	must(t, os.Chown(p.folder, p.uid, p.uid))
	p.apply(fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata:
  name: %[1]s
  labels: {pod-security.kubernetes.io/enforce: restricted}
  annotations: {tigerflow.dev/uid: "%[2]d", tigerflow.dev/gid: "%[2]d"}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: %[1]s, name: workspace}
  hostPath: {path: %[3]s, type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: workspace, namespace: %[1]s}
spec: {accessModes: [ReadWriteMany], storageClassName: "", volumeName: %[1]s, resources: {requests: {storage: 1Gi}}}
`, p.namespace, p.uid, p.folder))
	t.Cleanup(func() {
		if t.Failed() {
			p.dump()
		}
		p.kubectl("delete", "namespace", p.namespace, "--ignore-not-found", "--timeout="+patience.String())
		p.kubectl("delete", "persistentvolume", p.namespace)
		must(t, os.RemoveAll(p.folder))
	})
	return p
}

// dump shows what the pods said, which are about to go.
func (p *place) dump() {
	p.Helper()
	out, err := p.command("", "kubectl", "-n", p.namespace, "logs", "--all-containers", "--ignore-errors", "--prefix", "--tail=60", "-l", "app.kubernetes.io/part-of!=none")
	p.Logf("logs: %v\n%s", err, out)
	out, err = p.command("", "kubectl", "-n", p.namespace, "get", "pods,tasks,pipelines", "-o", "yaml")
	p.Logf("objects: %v\n%s", err, out)
	logs, err := filepath.Glob(p.file("*", ".tigerflow", "tasks", "*", "logs", "*"))
	must(p.T, err)
	failures, err := filepath.Glob(p.file("*", "*.err"))
	must(p.T, err)
	for _, log := range append(logs, failures...) {
		text, err := os.ReadFile(log)
		p.Logf("%s: %v\n%s", log, err, text)
	}
}

func (p *place) kubectl(args ...string) string {
	p.Helper()
	return p.lab.kubectl(p.T, append([]string{"-n", p.namespace}, args...)...)
}

func (p *place) apply(manifest string) {
	p.Helper()
	p.lab.apply(p.T, manifest)
}

// file is the path on the node of what pods have below their workspace.
func (p *place) file(names ...string) string {
	return filepath.Join(append([]string{p.folder}, names...)...)
}

func (p *place) write(text string, names ...string) {
	p.Helper()
	must(p.T, os.WriteFile(p.file(names...), []byte(text), 0o644))
}

// inputs makes so many files that are old enough to be taken at once.
func (p *place) inputs(n int) {
	p.Helper()
	past := time.Now().Add(-time.Hour)
	for i := range n {
		name := fmt.Sprintf("%05d.txt", i)
		p.write(fmt.Sprintf("content %d", i), "in", name)
		must(p.T, os.Chtimes(p.file("in", name), past, past))
	}
}

// task applies a Task named t that reads in and writes out, with further lines of its spec.
func (p *place) task(lines ...string) {
	p.Helper()
	p.apply(strings.Join(append([]string{
		"apiVersion: tigerflow.dev/v1alpha1",
		"kind: Task",
		"metadata: {name: t, namespace: " + p.namespace + "}",
		"spec:",
		"  workspace: {path: " + p.folder + ", volume: {persistentVolumeClaim: {claimName: workspace}}}",
		"  input: {directory: in, extension: .txt}",
		"  output: {directory: out, extension: .txt}",
	}, lines...), "\n"))
}

// complete waits for a condition Complete.
func (p *place) complete(object string) {
	p.Helper()
	p.kubectl("wait", "--for=condition=Complete", object, "--timeout="+patience.String())
}

// outputs counts what is done.
func (p *place) outputs() int {
	p.Helper()
	list, err := filepath.Glob(p.file("out", "*.txt"))
	must(p.T, err)
	return len(list)
}

// wantAll checks that each of n inputs has its output, of the namespace's user, that the Task says so, and that its spool is in
// order.
func (p *place) wantAll(n int, want func(i int) string) {
	p.Helper()
	for i := range n {
		name := p.file("out", fmt.Sprintf("%05d.txt", i))
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want(i) {
			p.Errorf("output %d: %q, %v", i, got, err)
			continue
		}
		info, err := os.Stat(name)
		must(p.T, err)
		if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != p.uid {
			p.Errorf("output %d belongs to %d, not to %d", i, owner, p.uid)
		}
	}
	if got := p.outputs(); got != n {
		p.Errorf("%d outputs for %d inputs", got, n)
	}
	if done := p.kubectl("get", "task", "t", "-o", "jsonpath={.status.files.done} {.status.files.failed}"); done != strconv.Itoa(n)+" 0" {
		p.Errorf("the Task counts %q, want %d 0", done, n)
	}
	p.check("out")
}

// check has tigerflow judge an output folder.
func (p *place) check(folder string) {
	p.Helper()
	if out, err := exec.Command("../../bin/tigerflow", "check", p.file(folder)).CombinedOutput(); err != nil {
		p.Errorf("tigerflow check: %v\n%s", err, out)
	}
}

func content(i int) string { return fmt.Sprintf("content %d", i) }
