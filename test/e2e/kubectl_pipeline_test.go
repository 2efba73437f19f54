package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// books is a Pipeline of two tasks, of which the first removes what the second has read.
const books = `
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: books}
spec:
  workspace: {path: $DIR}
  input: {directory: in, extension: .txt}
  output: {directory: out}
  completeAfterIdle: 1h
  tasks:
    - {name: shout, type: Local, outputPolicy: Delete, output: {extension: .loud}, handler: {builtin: echo}, params: {uppercase: true}}
    - name: Check_it
      dependsOn: shout
      type: Local
      output: {extension: .txt}
      handler: {command: [sh, -c, 'test -e "$0" || exit 3; cp "$1" "$2"', $DIR/mended, "{input}", "{output}"]}
`

// pipeline serves a Pipeline with one input, and waits until it has run.
func (w *work) pipeline(manifest string) *plane {
	w.Helper()
	needKubectl(w.T)
	w.put("hello.txt", "hello\n")
	w.write("books.yaml", strings.ReplaceAll(manifest, "$DIR", w.dir))
	p := w.up()
	if got := p.kubectl("apply", "-f", "books.yaml"); got != "pipeline.tigerflow.dev/books created\n" {
		w.Errorf("apply printed %q", got)
	}
	return p
}

// kubectl shows what a Pipeline does, a retry of one of its tasks opens it again, and its deletion leaves the outputs.
func TestKubectlPipeline(t *testing.T) {
	w := newWork(t)
	p := w.pipeline(books)
	p.kubectl("wait", "pipeline/books", "--for=jsonpath={.status.files.failed}=1", "--timeout=60s")
	p.kubectl("wait", "pipeline/books", "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=Idle", "--timeout=60s")
	if got := p.kubectl("get", "tfp"); !strings.HasPrefix(got, "NAME    STATE   STAGED   INPROGRESS   FINISHED   FAILED") || !strings.Contains(got, "books   Idle    0        0            0          1") {
		t.Errorf("get printed\n%s", got)
	}
	if got := p.kubectl("describe", "pipeline", "books"); !strings.Contains(got, "1 file failed: the .err files in the folders of the tasks say why") {
		t.Errorf("describe printed\n%s", got)
	}
	generation := func() string { return p.kubectl("get", "tfp,tft", "-o", "jsonpath={.items[*].metadata.generation}") }
	before := generation()
	p.kubectl("apply", "-f", "books.yaml")
	if got := generation(); got != before {
		t.Errorf("generations %s after %s: the second apply has changed something", got, before)
	}
	p.kubectl("patch", "pipeline", "books", "--type=merge", "-p", `{"spec":{"completeAfterIdle":"0s"}}`)
	p.kubectl("wait", "pipeline/books", "--for=condition=Complete", "--timeout=60s")

	w.write("mended", "")
	if r := w.run("retry", "out"); r.code != 0 {
		t.Fatalf("retry: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	p.kubectl("wait", "pipeline/books", "--for=jsonpath={.status.files.finished}=1", "--timeout=60s")
	p.kubectl("wait", "pipeline/books", "--for=condition=Complete", "--timeout=60s")
	w.output("Check_it/hello.txt", "HELLO\n")

	if got := p.kubectl("delete", "pipeline", "books", "--timeout=60s"); !strings.Contains(got, `pipeline.tigerflow.dev "books" deleted`) {
		t.Errorf("delete printed %q", got)
	}
	if got := p.kubectl("get", "tigerflow"); !strings.Contains(got, "No resources found") {
		t.Errorf("after delete, get printed %q", got)
	}
	w.output("Check_it/hello.txt", "HELLO\n")
	p.stop()
}

// A deleted Pipeline goes when the file in hand is done.
func TestDeletePipelineAtWork(t *testing.T) {
	w := newWork(t)
	w.must(syscall.Mkfifo(w.path("mended.gate"), 0o600))
	p := w.pipeline(strings.Replace(books, `test -e "$0" || exit 3; cp`, `touch "$0"; trap "" TERM; cat "$0.gate" >/dev/null; cp`, 1))
	w.wait("a file in hand", func() bool { return exists(w.path("mended")) })
	p.kubectl("delete", "pipeline", "books", "--wait=false")
	w.wait("the end of the first task", func() bool { return !strings.Contains(p.kubectl("get", "tasks"), "shout") })
	if got := p.kubectl("get", "pipelines"); !strings.Contains(got, "books   Draining") {
		t.Errorf("get printed\n%s", got)
	}
	w.write("mended.gate", "")
	p.kubectl("wait", "pipeline/books", "--for=delete", "--timeout=60s")
	w.output("Check_it/hello.txt", "HELLO\n")
	p.stop()
}
