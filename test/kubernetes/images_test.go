package kubernetes

import (
	"fmt"
	"testing"
)

// testImage has an image's program look at its container, file by file.
func testImage(name string) func(*testing.T, lab) {
	return func(t *testing.T, l lab) {
		p := newPlace(t, l)
		p.inputs(3)
		p.probe("  container: {image: " + l.image(name) + "}")
		p.complete("task/t")
		p.wantAll(3, content)
	}
}

func (l lab) image(name string) string { return "tigerflow.dev/" + name + ":" + l.version }

// probe applies a Task of the program in all images for tests.
func (p *place) probe(lines ...string) {
	p.Helper()
	p.task(append([]string{`  type: Local`, `  handler: {command: [/bin/probe, "{input}", "{output}"]}`, `  completeAfterIdle: 0s`}, lines...)...)
}

// testNoShell: what needs a shell is told for good where there is none.
func testNoShell(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(1)
	p.probe("  container: {image: "+l.image("plain")+"}", `  setupCommands: ["true"]`)
	p.stalled("NoShell")
}

// stalled waits for a condition Stalled with a reason.
func (p *place) stalled(reason string) {
	p.Helper()
	until(p.T, "Stalled because of "+reason, func() bool {
		return p.kubectl("get", "task", "t", "-o", `jsonpath={.status.conditions[?(@.type=="Stalled")].status} {.status.conditions[?(@.type=="Stalled")].reason}`) == "True "+reason
	})
}

// testNoExec: the node lets no program run from the scratch space of pods. It is the whole node's, so no other test may run.
func testNoExec(t *testing.T, l lab) {
	const kubelet = "/run/node/kubelet"
	l.node(t, "sh", "-ec", fmt.Sprintf("mount --bind %[1]s %[1]s; mount -o remount,bind,noexec %[1]s", kubelet))
	t.Cleanup(func() { l.node(t, "umount", "--lazy", kubelet) })
	p := newPlace(t, l)
	p.inputs(2)
	p.probe("  container: {image: " + l.image("plain") + "}")
	p.stalled("WorkerNotExecutable")
	p.probe("  container: {image: " + l.image("carrying") + ", workerPath: /opt/tigerflow-worker}")
	p.complete("task/t")
	p.wantAll(2, content)
}
