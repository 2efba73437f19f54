package task

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

func (h *harness) putMany(n int) {
	h.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("f%04d.txt", i)
	}
	h.put(names...)
}

// No fault of the API loses a file or leaves a status that is not true in the end.
func TestFaultsOfTheAPI(t *testing.T) {
	kind := schema.GroupResource{Group: "tigerflow.dev", Resource: "tasks"}
	for name, o := range map[string]func(fail func() bool) options{
		"conflicts": func(fail func() bool) options {
			return options{faults: func(call string) error {
				if fail() {
					return apierrors.NewConflict(kind, "t", fmt.Errorf("%s: the object was changed", call))
				}
				return nil
			}}
		},
		"time-outs": func(fail func() bool) options {
			return options{faults: func(string) error {
				if fail() {
					return context.DeadlineExceeded
				}
				return nil
			}}
		},
		"answers lost": func(fail func() bool) options {
			return options{lost: func(string) error {
				if fail() {
					return apierrors.NewTimeoutError("the answer is lost", 0)
				}
				return nil
			}}
		},
		"status not found": func(fail func() bool) options {
			return options{faults: func(call string) error {
				if call == "status" && fail() {
					return apierrors.NewNotFound(kind, "t")
				}
				return nil
			}}
		},
		"reads": func(fail func() bool) options {
			return options{read: func(_ context.Context, get func() error, _ client.Object) error {
				if fail() {
					return apierrors.NewServiceUnavailable("nobody there")
				}
				return get()
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			random, left := rand.New(rand.NewPCG(1, 2)), 10
			h := start(t, o(func() bool {
				mu.Lock()
				defer mu.Unlock()
				if left == 0 || random.IntN(2) == 0 {
					return false
				}
				left--
				return true
			}))
			h.putMany(30)
			h.create(`{handler: {builtin: echo}}`)
			h.counts(files(0, 0, 30, 0))
			h.patch(`{completeAfterIdle: 0s}`)
			h.state(complete)
			h.counts(files(0, 0, 30, 0))
			mu.Lock()
			defer mu.Unlock()
			if left == 10 {
				t.Error("nothing went wrong")
			}
		})
	}
}

// Counters that only move on are written once in each period; what matters is written at once.
func TestWritesKeepTheirPace(t *testing.T) {
	h := start(t, options{period: time.Hour})
	h.putMany(500)
	h.create(`{handler: {builtin: echo}}`)
	h.counts(files(0, 0, 500, 0))
	h.state(idle)
	counters := 0
	for _, w := range h.written() {
		if w.owner == v1alpha1.FieldOwnerDispatcher {
			counters++
		}
	}
	if counters > 8 { // first seen, worker born, first output, drained, and what a reconcile in between saw
		t.Errorf("the counters were written %d times", counters)
	}

	h.caughtUp()
	before := len(h.written())
	h.pokes(10)
	if after := len(h.written()); after != before {
		t.Errorf("%d writes of a status that says the same", after-before)
	}
}

// Counters that move on are written, and workers looked at, though nothing else happens.
func TestCountersMoveOn(t *testing.T) {
	h := start(t, options{period: 20 * time.Millisecond})
	h.gate()
	h.put("a.txt", "b.txt", "c.txt", "d.txt")
	h.create(gated)
	for done := range int64(4) {
		h.counts(files(3-done, 1, done, 0))
		h.caughtUp()
		h.release()
	}
	h.counts(files(0, 0, 4, 0))
}

// Conditions of which no more than the words change wait for the period as well: a write calls for the next look, which may find
// other words.
func TestWordsKeepTheirPace(t *testing.T) {
	looks := 0
	h := start(t, options{period: time.Hour, explain: func(string) string { looks++; return fmt.Sprintf("look %d", looks) }})
	h.create(`{handler: {builtin: echo}}`)
	h.state(refused(v1alpha1.ReasonInputNotFound))
	h.pokes(20)
	if n := len(h.written()); n > 5 { // one, and one for each look at a cache that did not show it yet
		t.Errorf("the conditions were written %d times", n)
	}
	h.put("a.txt")
	h.state(idle)
}

// A cache that does not show the end of a Task yet does not begin it anew.
func TestStaleCacheAfterComplete(t *testing.T) {
	var frozen atomic.Pointer[v1alpha1.Task]
	h := start(t, options{read: func(_ context.Context, get func() error, into client.Object) error {
		if old := frozen.Load(); old != nil {
			old.DeepCopyInto(into.(*v1alpha1.Task))
			return nil
		}
		return get()
	}})
	h.put("a.txt")
	h.create(`{handler: {builtin: echo}}`)
	h.state(idle)
	h.patch("{completeAfterIdle: 0s}")
	old := h.get()
	h.state(complete)
	old.Generation = h.get().Generation
	frozen.Store(old)
	h.pokes(5)
	frozen.Store(nil)
	h.pokes(1)
	h.state(complete)
	s, err := spool.Open(spool.Dir(h.path("out"), "t"))
	h.must(err)
	epochs, err := s.Epochs()
	h.must(err)
	if len(epochs) != 1 {
		t.Errorf("%d dispatchers ran, want one", len(epochs))
	}
}

// TestSpacing: with many Tasks the counters of each wait for longer.
func TestSpacing(t *testing.T) {
	r := &Reconciler{Period: 10 * time.Second, Spacing: 2 * time.Second, flows: map[types.NamespacedName]*taskFlow{}}
	for n, want := range map[int]time.Duration{1: 10 * time.Second, 5: 10 * time.Second, 9: 18 * time.Second} {
		for i := range n {
			r.flow(types.NamespacedName{Name: strconv.Itoa(i)})
		}
		if got := r.period(); got != want {
			t.Errorf("%d Tasks: %s, want %s", n, got, want)
		}
		clear(r.flows)
	}
}

// unseen has the controller read a Task only once it is another one than old.
func unseen(old *atomic.Pointer[types.UID]) func(context.Context, func() error, client.Object) error {
	return func(ctx context.Context, get func() error, into client.Object) error {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			err := get()
			if uid := old.Load(); uid == nil || err == nil && into.GetUID() != *uid || ctx.Err() != nil {
				return err
			}
			<-tick.C
		}
	}
}

// TestMadeAnewUnseen: a Task is deleted when it is complete, and made anew before the controller has seen that it was gone. The new
// one has the generation of the old one, and is another.
func TestMadeAnewUnseen(t *testing.T) {
	var old atomic.Pointer[types.UID]
	h := start(t, options{collected: true, read: unseen(&old)})
	h.put("a.txt")
	h.create("{handler: {builtin: echo}, completeAfterIdle: 0s}")
	task := h.state(complete)
	old.Store(&task.UID)
	h.must(h.client.Delete(t.Context(), task))
	h.put("b.txt")
	h.create("{handler: {builtin: echo}, completeAfterIdle: 0s}")
	h.state(complete)
	h.output("b.txt", "b.txt")
}

// TestWorkersOfATaskMadeAnew: so is one that is at work. What is started from then on belongs to the new one: a garbage collector
// would end the workers of the old one as soon as they are started.
func TestWorkersOfATaskMadeAnew(t *testing.T) {
	var old atomic.Pointer[types.UID]
	started := make(chan types.UID, 100)
	h := start(t, options{collected: true, read: unseen(&old), view: func(t *v1alpha1.Task, e executor.Executor) executor.Executor {
		return viewed{e, func() { started <- t.UID }}
	}})
	h.put("a.txt")
	h.create("{handler: {builtin: echo}, scaling: {workerIdleTimeout: 1s}}")
	h.wait("the first output", func() bool { f := h.get().Status.Files; return f != nil && f.Done == 1 })
	task := h.get()
	if uid := <-started; uid != task.UID {
		t.Errorf("the first worker is started for %s, want %s", uid, task.UID)
	}
	h.wait("the end of the first worker", func() bool {
		s := h.get().Status
		return s.Files.Done == 1 && s.Workers.Pending+s.Workers.Running == 0
	})
	old.Store(&task.UID)
	h.must(h.client.Delete(t.Context(), task))
	h.create("{handler: {builtin: echo}, scaling: {workerIdleTimeout: 1s}}")
	h.put("b.txt")
	h.wait("the output", func() bool { return exists(h.path("out", "b.txt")) })
	if uid, want := <-started, h.get().UID; uid != want {
		t.Errorf("the next worker is started for %s, want %s", uid, want)
	}
}
