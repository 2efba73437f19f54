package handler

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

func TestBuiltinClose(t *testing.T) {
	f := setUp(t, spool.Handler{Builtin: "echo"})
	h := f.start()
	first, second := f.run(h, "a"), f.run(h, "b")
	if err := f.close(h); err != nil {
		t.Error(err)
	}
	f.expectDone(h, first, "a")
	f.expectDone(h, second, "b")
	f.expectEnd(h)
	f.expectMarks()
	if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
		t.Errorf("a closed handler took a file: %v", err)
	}
}

func TestBuiltinFails(t *testing.T) {
	f := setUp(t, spool.Handler{Builtin: "echo"})
	h := f.start()
	r := f.request("in", "x")
	r.Input += ".absent"
	if err := h.Run(r); err != nil {
		t.Fatal(err)
	}
	f.expectFailure(h, r, "PathError", "no such file")
	f.expectDone(h, f.run(h, "next"), "next")
	f.config.Spec.Params = map[string]json.RawMessage{"shade": json.RawMessage(`1`)}
	var setup *SetupError
	if err := f.startError(); !errors.As(err, &setup) || setup.Stage != protocol.StageParams {
		t.Errorf("error %v", err)
	}
}

func TestBuiltinKilled(t *testing.T) {
	f := setUp(t, spool.Handler{Builtin: "echo"})
	h := f.start()
	h.Kill()
	h.Kill()
	f.expectEnd(h)
	if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
		t.Errorf("a killed handler took a file: %v", err)
	}
}

// The process takes the workspace for its folder, and what the setup commands make of the environment.
func TestBuiltinSurroundings(t *testing.T) {
	f := setUp(t, spool.Handler{Builtin: "echo"})
	var place string
	var vars []string
	f.config.Become = func(dir string, env []string) error { place, vars = dir, env; return nil }
	f.config.Spec.Env = []spool.EnvVar{{Name: "TOKEN", Value: "a b"}}
	f.start()
	if place != f.dir || !slices.Contains(vars, "TOKEN=a b") || !slices.Contains(vars, "TIGERFLOW_TASK=Scripted") {
		t.Errorf("became %q with %q", place, vars)
	}
	f.config.Spec.SetupCommands = []string{"echo said", "export TOKEN=\"$TOKEN\"c", "NOT=exported"}
	h, err := Start(t.Context(), f.config)
	if err != nil {
		t.Fatal(err)
	}
	h.Kill()
	if !slices.Contains(vars, "TOKEN=a bc") || slices.ContainsFunc(vars, func(v string) bool { return strings.HasPrefix(v, "NOT=") }) {
		t.Errorf("the environment is %q", vars)
	}
	f.waitFor("the print in the log", func() bool { return f.read("log") == "said\n" })
	f.config.Spec.SetupCommands = []string{"true", "echo why >&2; false"}
	var setup *SetupError
	if err := f.startError(); !errors.As(err, &setup) || setup.Type != "SetupCommandFailed" || setup.Traceback != "why" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.config.Spec.SetupCommands = []string{"sleep 1000"}
	if _, err := Start(ctx, f.config); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

// Whoever hands over files never waits for a handler that reads nothing.
func TestRunDoesNotWaitForAFullPipe(t *testing.T) {
	f := setUp(t, theProgram("deaf"))
	f.config.Spec.Concurrency = 2000
	h := f.start()
	for range 2000 { // some 300 kB, of which a pipe takes 64
		f.next++
		r := Request{ID: f.next, Input: "/" + strings.Repeat("i", 100), Output: "/" + strings.Repeat("o", 100), Slot: int(f.next), Mark: "m"}
		if err := h.Run(r); err != nil {
			t.Fatal(err)
		}
	}
	h.Kill()
	f.expectEnd(h)
}

// Nor for a file that takes long, however many come behind it.
func TestRunDoesNotWaitForAFile(t *testing.T) {
	for name, h := range map[string]spool.Handler{"builtin": {Builtin: "echo"}, "command": {Command: []string{"cat", "{input}"}}} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t, h)
			h := f.start()
			fifo := f.request("fifo", "")
			if err := errors.Join(os.Remove(fifo.Input), syscall.Mkfifo(fifo.Input, 0o600)); err != nil {
				t.Fatal(err)
			}
			ahead := f.request("ahead", "")
			handed := make(chan error, 1)
			go func() {
				err := h.Run(fifo)
				for range AheadMost {
					ahead.ID++
					err = errors.Join(err, h.Run(ahead))
				}
				handed <- err
			}()
			select {
			case err := <-handed:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(2 * time.Minute):
				t.Error("it waits")
			}
			var writer *os.File
			f.waitFor("the file's begin", func() (begun bool) {
				var err error
				writer, err = os.OpenFile(fifo.Input, os.O_WRONLY|syscall.O_NONBLOCK, 0)
				return err == nil
			})
			h.Kill()
			writer.Close()
		})
	}
}
