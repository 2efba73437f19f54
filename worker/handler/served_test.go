package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

func TestServedRunsFilesInOrder(t *testing.T) {
	f := setUp(t, theProgram("task"))
	h := f.start()
	const files = 50
	var sent []Request
	for i := range files { // all ahead
		content := fmt.Sprintf("write %d", i)
		if i%10 == 3 {
			content = fmt.Sprintf("fail number %d", i)
		}
		sent = append(sent, f.run(h, content))
	}
	for i, r := range sent {
		if i%10 == 3 {
			f.expectFailure(h, r, "error", fmt.Sprintf("number %d", i))
		} else {
			f.expectDone(h, r, strconv.Itoa(i))
		}
	}
	if err := f.close(h); err != nil {
		t.Error(err)
	}
	if e := f.expectEnd(h); e.Code != 0 || e.Signal != 0 || e.Err != nil {
		t.Errorf("exit %+v", e)
	}
	if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
		t.Errorf("a closed handler took a file: %v", err)
	}
}

func TestServedEnvironmentAndLog(t *testing.T) {
	t.Setenv("TIGERFLOW_LIFELINE", "3")
	t.Setenv("FROM_WORKER", "worker")
	f := setUp(t, theProgram("task"))
	f.config.Spec.Env = []spool.EnvVar{{Name: "FROM_SPEC", Value: "a b"}}
	h := f.start()
	for name, want := range map[string]string{
		"TIGERFLOW_TASK": "Scripted", "TIGERFLOW_WORKER": "key.0.r1", "TIGERFLOW_EPOCH": "4", "TIGERFLOW_HANDLER": "",
		"TIGERFLOW_LIFELINE": "", "FROM_WORKER": "worker", "FROM_SPEC": "a b",
	} {
		f.expectDone(h, f.run(h, "env "+name), want)
	}
	f.run(h, "print {\"op\":\"done\",\"id\":99}")
	if got := f.result(h); got.Failure != nil {
		t.Errorf("printing failed: %+v", got.Failure)
	}
	f.waitFor("the print in the log", func() bool { return f.read("log") == "{\"op\":\"done\",\"id\":99}\n" })
}

func TestServedSetupFails(t *testing.T) {
	f := setUp(t, theProgram("task"))
	f.config.Spec.Params = map[string]json.RawMessage{"setup": json.RawMessage(`"fail no model"`)}
	var setup *SetupError
	if err := f.startError(); !errors.As(err, &setup) || setup.Stage != protocol.StageSetup || setup.Message != "no model" {
		t.Errorf("error %v", err)
	}
	f.config.Spec.Params = map[string]json.RawMessage{"x": json.RawMessage(`1`)}
	if err := f.startError(); !errors.As(err, &setup) || setup.Stage != protocol.StageParams {
		t.Errorf("error %v", err)
	}
}

func TestServedNeverReady(t *testing.T) {
	tests := []struct {
		program string
		stage   protocol.Stage
		want    string
	}{
		{"exits", protocol.StageSetup, "ExitStatus: the handler ended before it was ready: exit status 3"},
		{"babbles", protocol.StageLoad, "ProtocolError: decoding reply"},
		{"wrong word", protocol.StageLoad, "ProtocolError: the handler answered setup with bye"},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			f := setUp(t, theProgram(tt.program))
			var setup *SetupError
			err := f.startError()
			if !errors.As(err, &setup) || setup.Stage != tt.stage || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want stage %s and %q", err, tt.stage, tt.want)
			}
			if tt.program == "exits" && setup.Traceback != "leaving" {
				t.Errorf("traceback %q, want the log", setup.Traceback)
			}
		})
	}
}

func TestStartIsBoundByItsContext(t *testing.T) {
	f := setUp(t, theProgram("mute"))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		f.waitFor("the process", func() bool { return childOf(t) != 0 })
	}()
	if _, err := Start(ctx, f.config); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	if pid := childOf(t); pid != 0 {
		t.Errorf("process %d is left", pid)
	}
}

// A crash loses the file in hand and those behind it; what was answered before stays answered.
func TestServedCrashes(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   Exit
	}{
		{"exit", Exit{Code: 5, LastLines: []string{"last words"}}},
		{"kill", Exit{Code: -1, Signal: syscall.SIGKILL}},
	} {
		t.Run(tt.script, func(t *testing.T) {
			f := setUp(t, theProgram("task"))
			h := f.start()
			first := f.run(h, "write a")
			crashing := f.run(h, tt.script)
			_ = h.Run(f.request("behind", "write b")) // it may be dead by now
			f.expectDone(h, first, "a")
			e := f.expectEnd(h)
			if e.Code != tt.want.Code || e.Signal != tt.want.Signal || e.Err != nil || !slices.Equal(e.LastLines, tt.want.LastLines) {
				t.Errorf("exit %+v, want %+v", e, tt.want)
			}
			f.expectMarks(crashing.Mark)
			if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
				t.Errorf("a dead handler took a file: %v", err)
			}
			if err := f.close(h); !errors.Is(err, errNoTeardown) {
				t.Errorf("closing a dead handler: %v", err)
			}
		})
	}
}

func TestServedBreaksTheProtocol(t *testing.T) {
	for program, want := range map[string]string{
		"presumes": "the handler answered for file 99, which it did not have",
		"leaves":   "the handler said bye out of turn",
	} {
		t.Run(program, func(t *testing.T) {
			f := setUp(t, theProgram(program))
			h := f.start()
			e := f.expectEnd(h)
			if e.Err == nil || e.Err.Error() != want || e.Signal != syscall.SIGKILL {
				t.Errorf("exit %+v, want it killed because %s", e, want)
			}
		})
	}
}

// The end of the process is seen though a daemon holds its pipes open.
func TestServedEndsBesideADaemon(t *testing.T) {
	f := setUp(t, theProgram("lingers"))
	h := f.start()
	e := f.expectEnd(h)
	if e.Code != 7 || e.Err != nil || len(e.LastLines) != 1 {
		t.Fatalf("exit %+v, want status 7", e)
	}
	daemon, err := strconv.Atoi(e.LastLines[0])
	if err != nil || syscall.Kill(daemon, syscall.SIGKILL) != nil {
		t.Errorf("the daemon %q is gone", e.LastLines[0])
	}
	if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
		t.Errorf("a dead handler took a file: %v", err)
	}
}

func TestServedTeardown(t *testing.T) {
	f := setUp(t, theProgram("task"))
	f.config.Spec.Params = map[string]json.RawMessage{"teardown": json.RawMessage(`"append ` + f.dir + `/torn"`)}
	h := f.start()
	last := f.run(h, "write z")
	closed := make(chan error, 1)
	go func() { closed <- f.close(h) }()
	f.expectDone(h, last, "z")
	f.expectEnd(h)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := f.close(h); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if f.read("torn") != "x" {
		t.Error("teardown did not run once")
	}
}

// TestServedStaysBehindItsLeave: what user code has left for the exit of the process may wait for ever.
func TestServedStaysBehindItsLeave(t *testing.T) {
	f := setUp(t, theProgram("stays"))
	h := f.start()
	h.(*served).graceAfterBye = time.Millisecond
	if err := f.close(h); err != nil {
		t.Error(err)
	}
	if e := f.expectEnd(h); e.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v, want it killed", e)
	}
}

// TestServedClosesItsReplies: that the worker has killed it for that must not look like want of memory.
func TestServedClosesItsReplies(t *testing.T) {
	f := setUp(t, theProgram("task"))
	h := f.start()
	h.(*served).graceAfterEnd = time.Millisecond
	f.expectDone(h, f.run(h, "write z"), "z")
	r := f.run(h, "mute")
	if e := f.expectEnd(h); e.Signal != syscall.SIGKILL || !errors.Is(e.Err, errSilent) {
		t.Errorf("exit %+v, want it killed because %s", e, errSilent)
	}
	f.expectMarks(r.Mark)
}

func TestServedTeardownFails(t *testing.T) {
	for script, want := range map[string]string{
		"fail disk gone": "teardown failed: error: disk gone",
		"exit":           "the handler ended before its teardown: exit status 5",
	} {
		t.Run(script, func(t *testing.T) {
			f := setUp(t, theProgram("task"))
			f.config.Spec.Params = map[string]json.RawMessage{"teardown": json.RawMessage(strconv.Quote(script))}
			h := f.start()
			if err := f.close(h); err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}

func TestCloseKillsWhenItsTimeIsUp(t *testing.T) {
	for name, program := range map[string]string{"file in flight": "task", "teardown ignored": "deaf"} {
		t.Run(name, func(t *testing.T) {
			f := setUp(t, theProgram(program))
			h := f.start()
			if program == "task" {
				f.run(h, "hang")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := h.Close(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
			if e := f.expectEnd(h); e.Signal != syscall.SIGKILL {
				t.Errorf("exit %+v", e)
			}
		})
	}
}

func TestKillReachesGrandchildren(t *testing.T) {
	f := setUp(t, theProgram("task"))
	h := f.start()
	r := f.run(h, "spawn")
	f.waitFor("the grandchild", func() bool { return f.read(r.Output) != "" })
	grandchild, err := strconv.Atoi(f.read(r.Output))
	if err != nil || !alive(grandchild) {
		t.Fatalf("grandchild %d: %v", grandchild, err)
	}
	h.Kill()
	h.Kill()
	if e := f.expectEnd(h); e.Signal != syscall.SIGKILL {
		t.Errorf("exit %+v", e)
	}
	if alive(grandchild) {
		t.Error("the grandchild is alive")
	}
	h.Kill()
}

func TestServedConcurrently(t *testing.T) {
	f := setUp(t, theProgram("task"))
	f.config.Spec.Concurrency = 8
	h := f.start()
	f.run(h, "hang") // holds one of them
	want := map[uint64]bool{}
	for range 200 {
		r := f.request(fmt.Sprintf("in%d", f.next), "write x")
		r.Slot = int(r.ID) % 8
		if err := h.Run(r); err != nil {
			t.Fatal(err)
		}
		want[r.ID] = true
		if len(want) > 10 {
			got := f.result(h)
			if !want[got.ID] || got.Failure != nil {
				t.Fatalf("result %+v", got)
			}
			delete(want, got.ID)
		}
	}
	for len(want) > 0 {
		delete(want, f.result(h).ID)
	}
}

func TestRunRefuses(t *testing.T) {
	f := setUp(t, theProgram("task"))
	h := f.start()
	r := f.run(h, "hang")
	long := f.request("long", "")
	long.Mark = strings.Repeat("x", protocol.MaxMark+1)
	for _, bad := range []Request{r, long, {ID: 99}} {
		if err := h.Run(bad); err == nil || errors.Is(err, ErrEnded) {
			t.Errorf("%+v: error %v, want one about the request", bad, err)
		}
	}
}

func TestBuiltin(t *testing.T) {
	f := setUp(t, spool.Handler{Builtin: "echo"})
	f.config.Spec.Params = map[string]json.RawMessage{"uppercase": json.RawMessage("true")}
	h := f.start()
	f.expectDone(h, f.run(h, "text"), "TEXT")
	f.config.Spec.Handler.Builtin = "ecco"
	if err := f.startError(); err.Error() != `load failed: TaskError: unknown builtin "ecco": known are echo, http-request` {
		t.Error(err)
	}
}
