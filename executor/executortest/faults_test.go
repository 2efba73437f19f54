package executortest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
	"tigerflow.dev/tigerflow/executor/process"
)

func TestMain(m *testing.M) { executortest.Main(m) }

// processes returns an executor without faults.
func processes(t *testing.T) *process.Executor {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := process.New(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, e) })
	return e
}

func shut(t *testing.T, e *process.Executor) {
	t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Close(now); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func spec(t *testing.T) executor.Spec {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "workers"), 0o777); err != nil {
		t.Fatal(err)
	}
	id := executor.WorkerID{Key: "f" + time.Now().UTC().Format("150405000000000"), Index: 0, Restart: 1}
	return executor.Spec{ID: id, Spool: dir, Log: filepath.Join(dir, "log")}
}

func TestFaults(t *testing.T) {
	ctx := context.Background()
	refused, lost := errors.New("refused"), errors.New("socket timed out")
	s := spec(t)
	f := executortest.NewFaults(processes(t))

	f.Refuse(executortest.Start, refused)
	f.LoseAnswer(executortest.Start, lost)
	if err := f.Start(ctx, []executor.Spec{s}); !errors.Is(err, refused) {
		t.Errorf("first Start: %v", err)
	}
	if workers, err := f.List(ctx); len(workers) != 0 || err != nil {
		t.Errorf("after a refused Start: %v, %v", workers, err)
	}
	if err := f.Start(ctx, []executor.Spec{s}); !errors.Is(err, lost) {
		t.Errorf("second Start: %v", err)
	}
	if workers, err := f.List(ctx); len(workers) != 1 || err != nil {
		t.Errorf("after a Start whose answer was lost: %v, %v", workers, err)
	}

	f.Refuse(executortest.List, refused)
	if workers, err := f.List(ctx); workers != nil || !errors.Is(err, refused) {
		t.Errorf("a refused List: %v, %v", workers, err)
	}
	f.Rewrite(func(workers []executor.Worker) []executor.Worker {
		workers[0].Phase = executor.Suspended
		return workers
	})
	if workers, err := f.List(ctx); err != nil || workers[0].Phase != executor.Suspended {
		t.Errorf("a rewritten List: %v, %v", workers, err)
	}
	f.Rewrite(nil)
	f.Refuse(executortest.Stop, refused)
	f.Refuse(executortest.Forget, refused)
	ids := []executor.WorkerID{s.ID}
	if err := f.Stop(ctx, ids, executor.Kill); !errors.Is(err, refused) {
		t.Errorf("a refused Stop: %v", err)
	}
	if err := f.Forget(ctx, ids); !errors.Is(err, refused) {
		t.Errorf("a refused Forget: %v", err)
	}
	if workers, err := f.List(ctx); err != nil || workers[0].Phase != executor.Running {
		t.Errorf("after a refused Stop: %v, %v", workers, err)
	}
}

// Without faults the wrapper is an executor like the one it wraps.
func TestFaultsConformance(t *testing.T) {
	var inner *process.Executor
	executortest.Run(t, executortest.Harness{
		Open: func(t *testing.T) executor.Executor {
			inner = processes(t)
			return executortest.NewFaults(inner)
		},
		Close: func(t *testing.T, _ executor.Executor) { shut(t, inner) },
	})
}
