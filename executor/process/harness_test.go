package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
)

const patience = 2 * time.Minute

// TestMain makes the test binary its own parent process and worker program.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "parent" {
		os.Exit(parent(os.Args[2], os.Args[3:]))
	}
	executortest.Main(m)
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, binary string) *Executor {
	t.Helper()
	e, err := New(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, e) })
	return e
}

func shut(t *testing.T, e *Executor) {
	t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Close(now); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func spool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "workers"), 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

var keys = time.Now().UnixNano()

func newKey() string {
	keys++
	return fmt.Sprintf("p%x", keys)
}

func spec(dir, key string, index int, args ...string) executor.Spec {
	id := executor.WorkerID{Key: key, Index: index, Restart: 1}
	return executor.Spec{
		ID: id, Spool: dir, Args: args, DrainTimeout: time.Hour,
		Log: filepath.Join(dir, "logs", id.String()+".log"),
	}
}

func start(t *testing.T, e *Executor, specs ...executor.Spec) {
	t.Helper()
	if err := e.Start(context.Background(), specs); err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		eventually(t, func() error { return atWork(s.Spool, s.ID) })
	}
}

func atWork(dir string, id executor.WorkerID) error {
	_, err := os.Stat(filepath.Join(dir, "workers", id.String(), "report"))
	return err
}

func eventually(t *testing.T, look func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func find(t *testing.T, e *Executor, id executor.WorkerID) executor.Worker {
	t.Helper()
	workers, err := e.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workers {
		if w.ID == id {
			return w
		}
	}
	t.Fatalf("worker %s is not listed: %+v", id, workers)
	return executor.Worker{}
}

func awaitEnd(t *testing.T, e *Executor, id executor.WorkerID) executor.Worker {
	t.Helper()
	var w executor.Worker
	eventually(t, func() error {
		if w = find(t, e, id); w.Phase.Terminal() {
			return nil
		}
		return fmt.Errorf("worker %s has not ended: %+v", id, w)
	})
	return w
}
