package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/faultfs"
	"tigerflow.dev/tigerflow/task"
)

// patience is for what must come about on however slow a machine.
const patience = 10 * time.Minute

// killTime is how long what was killed may take to end.
const killTime = time.Minute

var (
	seeds    = flag.Int("seeds", 8, "how many seeds to run")
	from     = flag.Uint64("from", 1, "the first seed")
	parallel = flag.Int("at-once", 8, "how many seeds run at once; they wait most of the time")
	keep     = flag.Bool("keep", false, "keep the folder of a seed with a finding")
	verbose  = flag.Bool("trace", false, "tell what each seed does")
)

// TestMain makes the test binary all that a seed runs but the worker: a host, a control plane, user code.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		var err error
		switch os.Args[1] {
		case "host":
			err = runHost(os.Args[2], os.Args[3], os.Args[4])
		case "node":
			err = runNode(os.Args[2])
		case "user":
			serveUser()
		case "pipeline":
			err = runPipelineNode(os.Args[2])
		case "stage":
			task.Main[stage]()
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestSeeds runs seeds, each a system with faults of its own.
func TestSeeds(t *testing.T) {
	root, binary := prepare(t)
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range *parallel {
		wg.Go(func() {
			for seed := range next {
				began := time.Now()
				findings, trace := runSeed(root, binary, seed)
				if *verbose || len(findings) > 0 {
					t.Logf("seed %d took %s\n%s", seed, time.Since(began).Round(time.Millisecond), trace)
				}
				for _, f := range findings {
					t.Errorf("seed %d: %s", seed, f)
				}
				if len(findings) > 0 {
					t.Errorf("to repeat it: go test -race ./test/faults -run TestSeeds -from %d -seeds 1 -keep", seed)
				}
			}
		})
	}
	for seed := *from; seed < *from+uint64(*seeds); seed++ {
		next <- seed
	}
	close(next)
	wg.Wait()
}

// prepare makes the folder of the seeds and builds the worker.
func prepare(t *testing.T) (root, binary string) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mounting needs root and FUSE: %v", err)
		}
		t.Skip("mounting needs root and FUSE")
	}
	root, err := faultfs.TempRoot("tigerflow-faults")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !*keep {
			_ = os.RemoveAll(root) // the next run's TempRoot does it
		}
	})
	binary = filepath.Join(t.TempDir(), "tigerflow-worker")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/worker").CombinedOutput(); err != nil {
		t.Fatalf("building the worker: %v\n%s", err, out)
	}
	return root, binary
}
