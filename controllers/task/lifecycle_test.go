package task

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// What all conditions are in the states of a Task with which nothing is wrong.
const (
	running   = "Ready=True/Running Complete=False/Running Stalled=False/AsExpected Degraded=False/AsExpected"
	idle      = "Ready=True/Idle Complete=False/Idle Stalled=False/AsExpected Degraded=False/AsExpected"
	draining  = "Ready=False/Draining Complete=False/Draining Stalled=False/AsExpected Degraded=False/AsExpected"
	suspended = "Ready=False/Suspended Complete=False/Suspended Stalled=False/AsExpected Degraded=False/AsExpected"
	complete  = "Ready=True/Complete Complete=True/Complete Stalled=False/AsExpected Degraded=False/AsExpected"
)

// gated is a command that waits, with each file in hand, until somebody opens the gate for it.
const gated = `handler: {command: [sh, -c, 'until read line < "$0"; do :; done; tr a-z A-Z < "$1" > "$2"', $DIR/gate, "{input}", "{output}"]}`

// gate makes the gate of gated commands.
func (h *harness) gate() {
	h.Helper()
	h.must(syscall.Mkfifo(h.path("gate"), 0o600))
}

// release lets one file through the gate: it waits for the command that stands before it.
func (h *harness) release() {
	h.Helper()
	done := h.open()
	h.wait("a command at the gate", func() bool { return received(done) })
}

// open opens the gate for the next command that comes to it.
func (h *harness) open() <-chan struct{} {
	done := make(chan struct{})
	go func() { // ends with a command's first read, or when shut opens the other end
		defer close(done)
		err := os.WriteFile(h.path("gate"), []byte("go\n"), 0o600)
		for errors.Is(err, syscall.EPIPE) { // it was opened for the command before, which has just closed it
			err = os.WriteFile(h.path("gate"), []byte("go\n"), 0o600)
		}
		if err != nil {
			h.Error(err)
		}
	}()
	return done
}

// releaseUntil lets files through until ok holds. Draining workers finish what their handlers have, which may be more
// than one file.
func (h *harness) releaseUntil(what string, ok func() bool) {
	h.Helper()
	done := h.open()
	h.wait(what, func() bool {
		if received(done) {
			done = h.open()
		}
		return ok()
	})
	gate, err := os.OpenFile(h.path("gate"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	h.must(err)
	<-done
	h.must(gate.Close())
}

func received(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func files(pending, running, done, failed int64) v1alpha1.FileCounts {
	return v1alpha1.FileCounts{Pending: pending, Running: running, Done: done, Failed: failed}
}

// counts waits for the counters of the status.
func (h *harness) counts(want v1alpha1.FileCounts) {
	h.Helper()
	h.wait("the counters", func() bool { f := h.get().Status.Files; return f != nil && *f == want })
}

func TestLifecycle(t *testing.T) {
	h := start(t, options{})
	h.gate()
	h.put("a.txt")
	h.create(gated)
	task := h.state(running)
	h.counts(files(0, 1, 0, 0))
	if want := (v1alpha1.WorkerCounts{Running: 1, Desired: 1}); *task.Status.Workers != want {
		t.Errorf("workers %+v, want %+v", *task.Status.Workers, want)
	}
	if !slices.Equal(task.Finalizers, []string{v1alpha1.FinalizerWorkers}) {
		t.Errorf("finalizers %q", task.Finalizers)
	}
	h.release()
	h.state(idle)
	h.counts(files(0, 0, 1, 0))
	h.output("a.txt", "A.TXT")

	h.put("b.txt")
	h.state(running)
	h.release()
	h.state(idle)
	h.counts(files(0, 0, 2, 0))

	h.patch("{completeAfterIdle: 0s}")
	task = h.state(complete)
	h.counts(files(0, 0, 2, 0))
	if want := (v1alpha1.WorkerCounts{}); *task.Status.Workers != want {
		t.Errorf("workers %+v, want none", *task.Status.Workers)
	}
	if got, want := messageOf(task, v1alpha1.ConditionComplete), "2 files done, 0 failed"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	checkOwners(t, task)
}

// checkOwners checks that each field of status and finalizer has its one owner.
func checkOwners(t *testing.T, task *v1alpha1.Task) {
	t.Helper()
	owned := map[string][]string{}
	for _, m := range task.ManagedFields {
		if m.Manager != v1alpha1.FieldOwnerTask && m.Manager != v1alpha1.FieldOwnerDispatcher {
			continue
		}
		var fields struct {
			Status   map[string]any `json:"f:status"`
			Metadata map[string]any `json:"f:metadata"`
			Spec     map[string]any `json:"f:spec"`
		}
		if err := json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields); err != nil {
			t.Fatal(err)
		}
		for _, of := range []map[string]any{fields.Status, fields.Metadata, fields.Spec} {
			for name := range of {
				owned[m.Manager] = append(owned[m.Manager], strings.TrimPrefix(name, "f:"))
			}
		}
		slices.Sort(owned[m.Manager])
	}
	want := map[string][]string{
		v1alpha1.FieldOwnerDispatcher: {"files"},
		v1alpha1.FieldOwnerTask:       {"conditions", "finalizers", "observedGeneration", "workers"},
	}
	for owner, fields := range want {
		if !slices.Equal(owned[owner], fields) {
			t.Errorf("%s owns %q, want %q", owner, owned[owner], fields)
		}
	}
}

func TestSuspend(t *testing.T) {
	h := start(t, options{})
	h.gate()
	h.put("a.txt", "b.txt", "c.txt", "d.txt")
	h.create(gated)
	h.state(running)
	h.patch("{suspend: true}")
	h.state(draining)
	h.releaseUntil("the drain", func() bool { return conditionsOf(h.get()) == suspended })
	if f := *h.get().Status.Files; f.Pending < 2 || f.Running != 0 || f.Pending+f.Done != 4 {
		t.Errorf("files %+v: want what was in hand done, and the rest to wait", f)
	}
	if w := *h.get().Status.Workers; w != (v1alpha1.WorkerCounts{}) {
		t.Errorf("workers %+v, want none", w)
	}
	h.patch("{suspend: false}")
	h.state(running)
	h.releaseUntil("the rest", func() bool { return conditionsOf(h.get()) == idle })
	h.counts(files(0, 0, 4, 0))
}

func TestNewRevision(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}, params: {prefix: "old "}, scaling: {minWorkers: 1}}`)
	h.state(idle)
	h.output("a.txt", "old a.txt")
	before := h.workers()
	h.patch(`{params: {prefix: "new "}}`)
	h.wait("another worker", func() bool { now := h.workers(); return len(now) == 1 && now[0] != before[0] })
	h.put("b.txt")
	h.counts(files(0, 0, 2, 0))
	h.output("a.txt", "old a.txt")
	h.output("b.txt", "new b.txt")
}

// workers lists the workers that live.
func (h *harness) workers() []string {
	var ids []string
	if s := h.rec.Snapshot(h.key); s != nil {
		for _, w := range s.Workers {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

func TestCompleteReopens(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}, completeAfterIdle: 0s}`)
	h.state(complete)
	h.put("b.txt")
	h.patch(`{params: {uppercase: true}}`)
	h.state(complete)
	h.counts(files(0, 0, 2, 0))
	h.output("a.txt", "a.txt")
	h.output("b.txt", "B.TXT")
}

func TestCompleteWhenIdleLongEnough(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}, completeAfterIdle: 300ms}`)
	task := h.state(complete)
	h.output("a.txt", "a.txt")
	if task.Status.Files.Done != 1 {
		t.Errorf("files %+v", task.Status.Files)
	}
}

func TestDelete(t *testing.T) {
	h := start(t, options{})
	h.gate()
	h.put("a.txt", "b.txt", "c.txt", "d.txt")
	h.create(gated)
	h.state(running)
	h.must(h.client.Delete(t.Context(), h.named()))
	h.wait("the worker to drain", func() bool {
		all, err := h.rec.Backends[v1alpha1.TaskLocal].Executor.List(t.Context())
		h.must(err)
		return slices.ContainsFunc(all, func(w executor.Worker) bool { return w.Phase == executor.Terminating })
	})
	h.releaseUntil("the Task to go", func() bool {
		return apierrors.IsNotFound(h.client.Get(t.Context(), h.key, h.named()))
	})
	if s := h.rec.Snapshot(h.key); s != nil {
		t.Errorf("a dispatcher goes on: %+v", s)
	}
	kept, err := filepath.Glob(h.path("out", "*.txt"))
	h.must(err)
	if len(kept) == 0 || len(kept) > 2 {
		t.Errorf("outputs %q: want those of the files in hand", kept)
	}

	h.create(gated)
	h.state(running)
	h.counts(files(int64(3-len(kept)), 1, int64(len(kept)), 0))
	h.releaseUntil("the rest", func() bool { return conditionsOf(h.get()) == idle })
	h.counts(files(0, 0, 4, 0))
	for _, name := range []string{"a.txt", "b.txt", "c.txt", "d.txt"} {
		h.output(name, strings.ToUpper(name))
	}
}

// A Task whose finalizer somebody removes leaves no worker behind.
func TestVanish(t *testing.T) {
	h := start(t, options{})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}, scaling: {minWorkers: 1}}`)
	h.state(idle)
	h.must(h.client.Delete(t.Context(), h.named()))
	err := h.client.Patch(t.Context(), h.named(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))
	h.must(client.IgnoreNotFound(err))
	local := h.rec.Backends[v1alpha1.TaskLocal].Executor
	h.wait("the worker to end", func() bool {
		all, err := local.List(t.Context())
		h.must(err)
		return !slices.ContainsFunc(all, func(w executor.Worker) bool { return !w.Phase.Terminal() })
	})
	h.wait("the spool to be let go", func() bool {
		s, err := spool.Open(spool.Dir(h.path("out"), "t"))
		h.must(err)
		lock, err := (&spool.Contender{Spool: s, Owner: spool.Owner{Plane: "next"}}).Try()
		return err == nil && lock.Close() == nil
	})
}
