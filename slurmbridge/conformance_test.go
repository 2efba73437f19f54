package slurmbridge

import (
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

func TestMain(m *testing.M) { executortest.Main(m) }

// quick asks the cluster more often than a site would like.
var quick = timing{list: 500 * time.Millisecond, soon: 100 * time.Millisecond, stopped: 100 * time.Millisecond, retry: 100 * time.Millisecond, absent: 300 * time.Millisecond, signals: 10 * time.Second}

// newExecutor submits jobs that run the test binary, which lies where the nodes see it.
func newExecutor(t *testing.T) *Executor {
	t.Helper()
	e, err := New(Config{
		Install: func(string) (string, error) { return os.Executable() },
		Env:     Environment(os.Environ()),
		timing:  quick,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	slurmtest.Need(t)
	executortest.Run(t, executortest.Harness{
		Open:    func(t *testing.T) executor.Executor { return newExecutor(t) },
		Close:   func(_ *testing.T, e executor.Executor) { e.(*Executor).Close() },
		Outlive: true, Patience: 40 * time.Second,
	})
}
