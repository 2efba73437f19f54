package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
)

func TestConformance(t *testing.T) {
	executortest.Run(t, executortest.Harness{
		Open: func(t *testing.T) executor.Executor {
			e, err := New(self(t))
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		Close: func(t *testing.T, e executor.Executor) { shut(t, e.(*Executor)) },
	})
}

func TestSweepGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := open(t, self(t))
	if err := e.Sweep(ctx, newKey()); !errors.Is(err, context.Canceled) {
		t.Errorf("Sweep: %v", err)
	}
}

func TestStartStalls(t *testing.T) {
	dir := spool(t)
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	tests := []struct {
		name, binary, log, reason string
	}{
		{"absent", filepath.Join(dir, "none"), "", ReasonWorkerNotRunnable},
		{"not executable", plain, "", ReasonWorkerNotRunnable},
		{"a folder", dir, "", ReasonWorkerNotRunnable},
		{"not a program", write("garbage", "\x00\x01", 0o755), "", ReasonWorkerNotRunnable},
		{"no interpreter", write("script", "#!/no/such/program\n", 0o755), "", ReasonWorkerNotRunnable},
		{"log below a file", self(t), filepath.Join(plain, "log"), ReasonLogNotWritable},
		{"log is a folder", self(t), dir, ReasonLogNotWritable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := open(t, tt.binary)
			s := spec(dir, newKey(), 0)
			if tt.log != "" {
				s.Log = tt.log
			}
			err := e.Start(context.Background(), []executor.Spec{s})
			stalled, ok := executor.Stalled(err)
			if !ok || stalled.Reason != tt.reason {
				t.Fatalf("Start: %v, want %s", err, tt.reason)
			}
			if !strings.Contains(err.Error(), s.ID.String()) || strings.Contains(err.Error(), "\n") {
				t.Errorf("message: %q", err)
			}
			if workers, err := e.List(context.Background()); len(workers) != 0 || err != nil {
				t.Errorf("List: %v, %v", workers, err)
			}
		})
	}
}

func TestLimitsAreNotStalled(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		err := &fs.PathError{Op: "fork/exec", Path: "/worker", Err: errno}
		for _, got := range []error{startError("/worker", err), logError("/log", err)} {
			if _, stalled := executor.Stalled(got); stalled || !errors.Is(got, errno) ||
				!strings.Contains(got.Error(), "maxWorkers") {
				t.Errorf("%v: want an error that passes and names the mend", got)
			}
		}
	}
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ESTALE} {
		err := &fs.PathError{Op: "open", Path: "/log", Err: errno}
		if got := logError("/log", err); !errors.Is(got, errno) || got.Error() != err.Error() {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestBusyProgramIsTriedAgain(t *testing.T) {
	dir := spool(t)
	program := filepath.Join(dir, "program")
	source, err := os.Open(self(t))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}

	e := open(t, program)
	s := spec(dir, newKey(), 0)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err = e.Start(ctx, []executor.Spec{s})
	if !errors.Is(err, syscall.ETXTBSY) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Start while the program is written: %v", err)
	}
	if _, stalled := executor.Stalled(err); stalled {
		t.Errorf("%v will pass, but is called stalled", err)
	}
	closed := make(chan error, 1)
	time.AfterFunc(20*time.Millisecond, func() { closed <- target.Close() })
	start(t, e, s)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

func TestEndedWorkersAreBounded(t *testing.T) {
	dir, key := spool(t), newKey()
	e := open(t, self(t))
	e.maxEnded = 2
	start(t, e, spec(dir, key, 9))
	for i := range 4 {
		start(t, e, spec(dir, key, i, "--exit", "0"))
		eventually(t, func() error {
			workers, err := e.List(context.Background())
			if err != nil {
				return err
			}
			ended := slices.DeleteFunc(workers, func(w executor.Worker) bool { return !w.Phase.Terminal() })
			if want := min(i+1, 2); len(ended) != want || ended[want-1].ID.Index != i {
				return fmt.Errorf("ended are %+v, want the last %d", ended, want)
			}
			return nil
		})
	}
	if w := find(t, e, spec(dir, key, 9).ID); w.Phase != executor.Running {
		t.Errorf("the running one: %+v", w)
	}
}

func TestCloseDrainsThenKills(t *testing.T) {
	dir, key := spool(t), newKey()
	e := open(t, self(t))
	good, deaf := spec(dir, key, 0), spec(dir, key, 1, "--deaf", "--brood")
	start(t, e, good, deaf)
	grace, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- e.Close(grace) }()
	if w := awaitEnd(t, e, good.ID); w.Phase != executor.Succeeded {
		t.Errorf("the one that drains: %+v", w)
	}
	if w := find(t, e, deaf.ID); w.Phase != executor.Terminating {
		t.Errorf("the one that does not: %+v", w)
	}
	cancel()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if w := find(t, e, deaf.ID); w.Phase != executor.Stopped {
		t.Errorf("killed in the end: %+v", w)
	}
	if lives(t, dir, deaf.ID) {
		t.Error("children outlive Close")
	}
	if err := e.Start(context.Background(), []executor.Spec{spec(dir, key, 2)}); !errors.Is(err, errClosed) {
		t.Errorf("Start after Close: %v", err)
	}
	if err := e.Close(context.Background()); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

// What a worker left may take long to be gone; until then a successor could run beside it.
func TestTerminatingUntilAllIsGone(t *testing.T) {
	dir, key := spool(t), newKey()
	e := open(t, self(t))
	s := spec(dir, key, 0, "--brood", "--exit", "0")
	if err := e.Start(context.Background(), []executor.Spec{s}); err != nil {
		t.Fatal(err)
	}
	for {
		<-e.Changes()
		w := find(t, e, s.ID)
		if w.Witnessed != w.Phase.Terminal() {
			t.Fatalf("%+v", w)
		}
		if w.Phase.Terminal() {
			break
		}
	}
	if lives(t, dir, s.ID) {
		t.Error("ended, but a child lives")
	}
}
