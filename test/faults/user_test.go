package faults

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/task"
)

// input is the content of an input file: how user code is to behave on it.
type input struct {
	Kind  string `json:"kind"`
	Times int    `json:"times,omitempty"` // how many runs behave so, the others are well; 0 is all
	Size  int    `json:"size"`            // of the output
	Delay int    `json:"delay"`           // ms
}

// Kinds of behavior.
const (
	kindOK      = "ok"
	kindFail    = "fail"
	kindCrash   = "crash"
	kindStorage = "storage"
	kindEmpty   = "empty"
)

// user is the author's code of these tests.
type user struct {
	Ledger string `param:"ledger" help:"Ledger of executions"`
}

// Run does what the input says, and tells the ledger before and after.
func (u user) Run(_ context.Context, in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	var behavior input
	if err := json.Unmarshal(data, &behavior); err != nil {
		return fmt.Errorf("the input is torn: %q: %w", data, err)
	}
	host, _ := os.Hostname()
	r := run{File: filepath.Base(in), Run: rand.Text(), Worker: os.Getenv("TIGERFLOW_WORKER"), Host: host, PID: os.Getpid()}
	tell := func(what string) error { r.What = what; return r.write(u.Ledger) }
	past, err := readRuns(u.Ledger)
	if err != nil {
		return err
	}
	acted := 0
	for _, p := range past {
		if p.File == r.File && p.What != runBegan && p.What != runDone {
			acted++
		}
	}
	if err := tell(runBegan); err != nil {
		return err
	}
	<-time.After(time.Duration(behavior.Delay) * time.Millisecond)
	if behavior.Times == 0 || acted < behavior.Times {
		if done, err := behave(behavior.Kind, tell); done {
			return err
		}
	}
	if err := os.WriteFile(out, output(r.File, r.Run, behavior.Size), 0o666); err != nil {
		return errors.Join(tell(whatOf(err)), err)
	}
	return tell(runDone)
}

// behave does what is not the usual, and reports whether that was all.
func behave(kind string, tell func(string) error) (bool, error) {
	switch kind {
	case kindFail:
		return true, errors.Join(tell(runFailed), errors.New("it is to fail"))
	case kindStorage:
		return true, errors.Join(tell(runStorage), syscall.ENOSPC)
	case kindEmpty:
		return true, tell(runDone)
	case kindCrash:
		if err := tell(runCrashed); err != nil {
			return true, err
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return false, nil
}

func whatOf(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		switch errno {
		case syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ESTALE, syscall.EROFS, syscall.EINTR:
			return runStorage
		}
	}
	return runFailed
}

func serveUser() { task.Main[user]() }
