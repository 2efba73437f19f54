package kubernetes

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// testLocal tells also how long the first output takes, from kubectl apply on.
func testLocal(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(20)
	began := time.Now()
	p.task("  type: Local", "  handler: {builtin: echo}", "  completeAfterIdle: 0s")
	until(t, "the first output", func() bool { return p.outputs() > 0 })
	t.Logf("from kubectl apply to the first output: %s", time.Since(began).Round(time.Millisecond))
	p.complete("task/t")
	p.wantAll(20, content)
	// The dispatcher has nothing left to do, nor have workers.
	until(t, "no pods", func() bool { return p.kubectl("get", "pods", "-o", "name") == "" })
}

// module copies files when the file "go" is there.
const module = `import asyncio, os
from tigerflow.tasks import LocalAsyncTask

class T(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        while not os.path.exists("go"):
            await asyncio.sleep(0.1)
        output_file.write_bytes(input_file.read_bytes())
`

func testLocalAsync(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(100)
	p.write(module, "t.py")
	p.write("", "go")
	p.task("  type: LocalAsync", "  localAsync: {concurrency: 20}", "  handler: {python: {module: t.py}}", "  completeAfterIdle: 0s")
	p.complete("task/t")
	p.wantAll(100, content)
}

func testPipeline(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(30)
	p.apply(`
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: p, namespace: ` + p.namespace + `}
spec:
  workspace: {path: ` + p.folder + `, volume: {persistentVolumeClaim: {claimName: workspace}}}
  input: {directory: in, extension: .txt}
  output: {directory: results}
  completeAfterIdle: 0s
  tasks:
  - name: shout
    type: Local
    outputPolicy: Delete
    output: {extension: .loud}
    handler: {builtin: echo}
    params: {uppercase: true}
  - name: again
    dependsOn: shout
    type: LocalAsync
    localAsync: {concurrency: 4}
    output: {extension: .txt}
    handler: {command: [cp, "{input}", "{output}"]}
`)
	p.complete("pipeline/p")
	for i := range 30 {
		name := p.file("results", "again", fmt.Sprintf("%05d.txt", i))
		if got, err := os.ReadFile(name); err != nil || string(got) != strings.ToUpper(content(i)) {
			t.Errorf("output %d: %q, %v", i, got, err)
		}
	}
	p.check("results")
	until(t, "no pods", func() bool { return p.kubectl("get", "pods", "-o", "name") == "" })
}
