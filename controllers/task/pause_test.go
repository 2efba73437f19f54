package task

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

// needy is a command that fails until there is a file mended.
const needy = `handler: {command: [sh, -c, 'test -e "$0" || { echo no module >&2; exit 3; }; cat "$1" > "$2"', $DIR/mended, "{input}", "{output}"]}`

func (h *harness) mend() {
	h.Helper()
	h.must(os.WriteFile(h.path("mended"), nil, 0o666))
}

// ask asks something of the Task as tigerflow retry and resume do.
func (h *harness) ask(kind spool.RequestKind) {
	h.Helper()
	s, err := spool.Open(spool.Dir(h.path("out"), "t"))
	h.must(err)
	_, err = s.Ask(spool.Request{Kind: kind})
	h.must(err)
}

func (h *harness) paused() {
	h.Helper()
	h.wait("the pause", func() bool {
		return strings.Contains(conditionsOf(h.get()), "Stalled=True/"+string(v1alpha1.ReasonTooManyFailures))
	})
}

// A Task that is complete goes on when its failed files are to be run again, and is complete again then.
func TestRetryOfACompleteTask(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt", "b.txt")
	h.create(`{` + needy + `, completeAfterIdle: 0s, retry: {attempts: 1}}`)
	h.wait("the end", func() bool { return strings.Contains(conditionsOf(h.get()), "Complete=True/Complete") })
	h.counts(files(0, 0, 0, 2))
	h.mend()
	h.ask(spool.RequestRetry)
	h.counts(files(0, 0, 2, 0))
	h.state(complete)
	h.output("a.txt", "a.txt")
	if exists(h.path("out", "a.err")) {
		t.Error("the error file is still there")
	}
}

// A Task of a Pipeline that is complete tells when it is asked for a retry, and waits for the Pipeline to change its spec.
func TestRetryOfACompleteMember(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	h.create(`{` + needy + `, completeAfterIdle: 0s, retry: {attempts: 1}, pipeline: {directory: out, inputExtension: .txt}}`)
	h.wait("the end", func() bool { return strings.Contains(conditionsOf(h.get()), "Complete=True/Complete") })
	const owner = `{"metadata":{"ownerReferences":[{"apiVersion":"tigerflow.dev/v1alpha1","kind":"Pipeline","name":"p","uid":"1","controller":true}]}}`
	h.must(h.client.Patch(h.Context(), h.named(), client.RawPatch(types.MergePatchType, []byte(owner))))
	h.mend()
	h.caughtUp()
	h.ask(spool.RequestRetry)
	h.poke()
	task := h.state("Ready=False/Waiting Complete=False/Waiting Stalled=False/AsExpected Degraded=True/FilesFailed")
	if got := messageOf(task, v1alpha1.ConditionReady); got != "somebody asks for new attempts: they begin when the Pipeline goes on" {
		t.Errorf("it says %q", got)
	}
	h.caughtUp()
	h.pokes(3)
	if exists(h.path("out", "a.txt")) {
		t.Error("it has not waited")
	}
	h.patch("{completeAfterIdle: null}")
	h.counts(files(0, 0, 1, 0))
	h.state(idle)
}

// pauses has a Task of many gated files fail twice, and pause.
func pauses(t *testing.T) *harness {
	t.Helper()
	h := start(t, options{})
	h.gate()
	for n := range 12 {
		h.put(fmt.Sprintf("%02d.txt", n))
	}
	h.create(`{` + strings.Replace(needy, "'test", `'until read line < "${0%mended}gate"; do :; done; test`, 1) + `, failureBreaker: {first: 2}, retry: {attempts: 1}}`)
	h.release()
	h.wait("the first failure", func() bool { // a second line might go to the one that has read the first
		files := h.get().Status.Files
		return files != nil && files.Failed == 1
	})
	h.release()
	h.paused()
	h.mend()
	return h
}

// allDone reports whether all files but those that failed before the pause are done.
func (h *harness) allDone() bool {
	f := h.get().Status.Files
	return f.Done == 10 && f.Failed == 2
}

// Who suspends a Task that failed too often, and lets it go on, has looked at it.
func TestSuspendEndsAPause(t *testing.T) {
	h := pauses(t)
	h.patch("{suspend: true}")
	h.releaseUntil("the suspension", func() bool {
		task := h.get()
		return task.Status.ObservedGeneration == task.Generation && *task.Status.Workers == (v1alpha1.WorkerCounts{})
	})
	if f := *h.get().Status.Files; f.Pending == 0 || f.Failed != 2 {
		t.Errorf("files %+v: want some to wait", f)
	}
	h.patch("{suspend: false}")
	h.releaseUntil("the others", h.allDone)
	h.wait("the end of the pause", func() bool { return strings.Contains(conditionsOf(h.get()), "Stalled=False") })
}

// To say false where it was false all the time ends no pause; a resume does.
func TestPauseStays(t *testing.T) {
	h := pauses(t)
	h.patch("{suspend: false, completeAfterIdle: 1h}")
	h.wait("the patch to be seen", func() bool { return h.get().Status.ObservedGeneration == h.get().Generation })
	h.pokes(3)
	h.paused()
	if f := *h.get().Status.Files; f.Failed != 2 || f.Done != 0 {
		t.Errorf("files %+v", f)
	}
	h.ask(spool.RequestResume)
	h.releaseUntil("the others", h.allDone)
}
