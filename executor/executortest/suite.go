// Package executortest checks that an executor keeps the contract of package executor. Run is the conformance suite,
// Main turns the test binary into the worker program that it needs, and Faults makes an executor fail on purpose.
package executortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// Harness says how to get at the executor under test. Its workers run the test binary, which Main has prepared.
type Harness struct {
	// Open returns an executor. The second of one test is opened after the first is closed and finds what that left.
	Open func(t *testing.T) executor.Executor
	// Close ends the executor as its process would.
	Close func(t *testing.T, e executor.Executor)
	// Outlive says that workers go on when their executor is closed, as jobs and Pods do.
	Outlive bool
	// Unhurried says that nothing hastens a worker that drains, as is with kubelets (kubernetes/kubernetes#113606).
	Unhurried bool
	// UTF8 says that the backend takes no other arguments than those in UTF-8.
	UTF8 bool
	// Patience bounds the wait for anything to happen; 0 is 20 s.
	Patience time.Duration
}

// Run runs the conformance suite.
func Run(t *testing.T, h Harness) {
	if h.Patience == 0 {
		h.Patience = 2 * time.Minute
	}
	for _, tt := range []struct {
		name string
		test func(*bench)
	}{
		{"StartAndList", startAndList},
		{"ArgumentsArriveVerbatim", argumentsArriveVerbatim},
		{"StartIsIdempotent", startIsIdempotent},
		{"RefusesInvalidSpec", refusesInvalidSpec},
		{"EndsByItself", endsByItself},
		{"DrainLetsItFinish", drainLetsItFinish},
		{"DrainTimeoutKills", drainTimeoutKills},
		{"KillIsAtOnce", killIsAtOnce},
		{"KillHastensDrain", killHastensDrain},
		{"StopOfNoWorker", stopOfNoWorker},
		{"Forget", forget},
		{"LeavesNothingBehind", leavesNothingBehind},
		{"Reopen", reopen},
		{"NotifiesOfEnds", notifiesOfEnds},
		{"CancelledContext", cancelledContext},
		{"Concurrent", concurrent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{T: t, h: h, spool: t.TempDir(), key: fmt.Sprintf("t%x", time.Now().UnixNano())}
			if err := os.Mkdir(filepath.Join(b.spool, "workers"), 0o777); err != nil {
				t.Fatal(err)
			}
			b.open()
			tt.test(b)
		})
	}
}

// bench is the place of one test: a spool and an executor.
type bench struct {
	*testing.T
	h     Harness
	spool string
	key   string
	e     executor.Executor
	shut  bool
}

func (b *bench) open() {
	b.e, b.shut = b.h.Open(b.T), false
	b.Cleanup(b.close)
}

func (b *bench) close() {
	if b.shut {
		return
	}
	b.shut = true
	b.kill()
	b.h.Close(b.T, b.e)
}

// kill ends all workers of the test, so that closing has none to wait for.
func (b *bench) kill() {
	workers, err := b.e.List(context.Background())
	if err != nil {
		b.Errorf("List: %v", err)
	}
	var ids []executor.WorkerID
	for _, w := range workers {
		if w.ID.Key == b.key {
			ids = append(ids, w.ID)
		}
	}
	if err := b.e.Stop(context.Background(), ids, executor.Kill); err != nil {
		b.Errorf("Stop: %v", err)
	}
}

func (b *bench) spec(index int, args ...string) executor.Spec {
	id := executor.WorkerID{Key: b.key, Index: index, Restart: 1}
	return executor.Spec{
		ID:           id,
		Spool:        b.spool,
		Args:         args,
		Log:          filepath.Join(b.spool, "logs", id.String()+".log"),
		Resources:    executor.Resources{CPUs: 1},
		DrainTimeout: time.Hour,
	}
}

// start starts workers and waits until each has come to work.
func (b *bench) start(specs ...executor.Spec) []executor.WorkerID {
	b.Helper()
	if err := b.e.Start(context.Background(), specs); err != nil {
		b.Fatalf("Start: %v", err)
	}
	var ids []executor.WorkerID
	for _, s := range specs {
		ids = append(ids, s.ID)
		b.report(s.ID)
	}
	return ids
}

func (b *bench) stop(mode executor.StopMode, ids ...executor.WorkerID) {
	b.Helper()
	if err := b.e.Stop(context.Background(), ids, mode); err != nil {
		b.Fatalf("Stop: %v", err)
	}
}

// list is the test's own workers: a backend may list those of others.
func (b *bench) list() []executor.Worker {
	b.Helper()
	workers, err := b.e.List(context.Background())
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	return slices.DeleteFunc(workers, func(w executor.Worker) bool { return w.ID.Key != b.key })
}

func (b *bench) find(id executor.WorkerID) (executor.Worker, bool) {
	b.Helper()
	workers := b.list()
	i := slices.IndexFunc(workers, func(w executor.Worker) bool { return w.ID == id })
	if i < 0 {
		return executor.Worker{}, false
	}
	return workers[i], true
}

// await looks until the worker is as wanted.
func (b *bench) await(id executor.WorkerID, want string, is func(executor.Worker) bool) executor.Worker {
	b.Helper()
	var last executor.Worker
	b.eventually(func() error {
		w, ok := b.find(id)
		if ok && is(w) {
			last = w
			return nil
		}
		return fmt.Errorf("worker %s is not %s: listed %v, %+v", id, want, ok, w)
	})
	return last
}

func (b *bench) awaitEnd(id executor.WorkerID) executor.Worker {
	b.Helper()
	return b.await(id, "ended", func(w executor.Worker) bool { return w.Phase.Terminal() })
}

func (b *bench) awaitPhase(id executor.WorkerID, phase executor.Phase) executor.Worker {
	b.Helper()
	return b.await(id, string(phase), func(w executor.Worker) bool { return w.Phase == phase })
}

// eventually repeats the look until it finds no fault.
func (b *bench) eventually(look func() error) {
	b.Helper()
	deadline := time.After(b.h.Patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			b.Fatal(err)
		case <-tick.C:
		}
	}
}

// report waits for what the worker writes when it has come to work.
func (b *bench) report(id executor.WorkerID) Report {
	b.Helper()
	var r Report
	b.eventually(func() error {
		text, err := os.ReadFile(filepath.Join(folder(b.spool, id.String()), "report"))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("worker %s has not come to work", id)
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &r)
	})
	return r
}
