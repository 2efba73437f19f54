package process

import (
	"context"
	"path/filepath"
	"testing"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/tether"
)

// BenchmarkStartToEnd runs one worker after the other that ends at once: what the executor adds to a process.
func BenchmarkStartToEnd(b *testing.B) {
	e, err := New("/bin/true")
	if err != nil {
		b.Fatal(err)
	}
	dir, index := b.TempDir(), 0
	for b.Loop() {
		id := executor.WorkerID{Key: "bench", Index: index, Restart: 1}
		index++
		s := executor.Spec{ID: id, Spool: dir, Log: filepath.Join(dir, "log")}
		if err := e.Start(context.Background(), []executor.Spec{s}); err != nil {
			b.Fatal(err)
		}
		for e.alive() > 0 {
			<-e.Changes()
		}
		if err := e.Forget(context.Background(), []executor.WorkerID{id}); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEndOfNothing looks through all processes of the machine.
func BenchmarkEndOfNothing(b *testing.B) {
	for b.Loop() {
		if err := tether.EndWorker(context.Background(), "bench.0.r1", 0); err != nil {
			b.Fatal(err)
		}
	}
}
