package workermain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// TestMain makes the test binary a worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		if err := Run(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestPrintsBehindTheParentsEnd: who reads what the worker prints ends with the parent, at once and before anything else is to
// be seen of that. The worker still ends in good order.
func TestPrintsBehindTheParentsEnd(t *testing.T) {
	const script = `touch begun; until [ -e go ]; do sleep 0.01; done; head -c 300000 /dev/zero; touch said; sleep 1000`
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	write := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(in, "a.txt"))
	s, err := spool.Create(spool.Dir(out, "T"), spool.Owner{Plane: "test", Name: "T"}, spool.Spec{
		Task: "T", Type: spool.TypeLocal, WorkDir: spool.Name(dir), InputDir: spool.Name(in), InputExt: ".txt",
		OutputDir: spool.Name(out), OutputExt: ".out", Concurrency: 1, Durability: spool.None,
		Handler: spool.Handler{Command: []string{"sh", "-c", script}},
	})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := (&spool.Contender{Spool: s, Owner: s.Owner()}).Try()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Abandon)
	if _, err := lock.Feed(spool.Batch{Files: []spool.Name{"a.txt"}}); err != nil {
		t.Fatal(err)
	}
	id := s.ID() + ".0.r1"
	reader, stdout := pipe(t)
	lifeline, parent := pipe(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "run", "--spool", s.Path(), "--id", id)
	cmd.Env = append(os.Environ(), tether.CookieEnv+"="+id, tether.LifelineEnv+"=3", protocol.EnvNarrate+"=1")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = stdout, os.Stderr, []*os.File{lifeline}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_, _ = stdout.Close(), lifeline.Close()
	await(t, ended, filepath.Join(dir, "begun"))
	reader.Close()
	write(filepath.Join(dir, "go"))
	await(t, ended, filepath.Join(dir, "said"))
	parent.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if exit, err := s.ReadExit(id); err != nil || exit.Reason != spool.ExitParentGone {
		t.Errorf("its last word: %+v, %v", exit, err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// await waits for a file that comes of the worker's work.
func await(t *testing.T, ended <-chan error, path string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(2 * time.Minute); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the worker has ended before there was %s: %v", filepath.Base(path), err)
		case <-late:
			t.Fatalf("waited in vain for %s", path)
		case <-tick.C:
		}
	}
}
