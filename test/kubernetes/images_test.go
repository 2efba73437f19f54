package kubernetes

import "testing"

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

// testCarrying: where no worker can be brought in, that of the image is run.
func testCarrying(t *testing.T, l lab) {
	p := newPlace(t, l)
	p.inputs(3)
	p.probe("  container: {image: " + l.image("carrying") + ", workerPath: /opt/tigerflow-worker}")
	p.complete("task/t")
	p.wantAll(3, content)
}
