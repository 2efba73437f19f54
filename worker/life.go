package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/task/python"
	"tigerflow.dev/tigerflow/worker/handler"
)

// fruitlessLimit is how many handlers in a row may die without a file in hand or finished before the worker gives up.
const fruitlessLimit = 5

type started struct {
	h      handler.Handler
	unhook func() bool
	err    error
}

// start has a handler started; its setup may take minutes, in which the worker goes on showing that it lives.
func (e *engine) start(working context.Context) {
	if err := e.w.Current.Truncate(0); err != nil {
		e.pause(err, time.Now())
		e.startAt = e.probeAt
		return
	}
	ch := make(chan started, 1)
	e.starting, e.used, e.killed = ch, false, false
	go func() {
		h, err := e.newHandler(working)
		if err != nil {
			ch <- started{err: err}
			return
		}
		// By the context, for the engine may be waiting for the file system when everything has to end.
		ch <- started{h: h, unhook: context.AfterFunc(working, h.Kill)}
	}()
}

// newHandler starts a handler of the Task.
func (e *engine) newHandler(working context.Context) (handler.Handler, error) {
	epoch, err := e.w.Epoch()
	if err != nil {
		return nil, err
	}
	c := handler.Config{
		Spec: e.spec, Worker: e.cfg.ID, Epoch: strconv.Itoa(epoch), Self: e.cfg.Self, Log: e.out, Current: e.w.Current,
	}
	if e.spec.Handler.Python != nil {
		data, hash, err := python.Zip()
		if err != nil {
			return nil, err
		}
		if c.PythonPath, err = e.spool.InstallLib("tigerflow-"+hash+".zip", data); err != nil {
			return nil, err
		}
	}
	return handler.Start(working, c)
}

func (e *engine) onStarted(s started) {
	e.starting = nil
	if s.err != nil {
		e.onStartFailed(s.err)
		return
	}
	e.h, e.unhook = s.h, s.unhook
	e.lastOf = time.Now()
	e.log.Info("handler ready")
}

func (e *engine) onStartFailed(err error) {
	setup, isSetup := errors.AsType[*handler.SetupError](err)
	if isSetup && spool.IsStorageErrno(syscall.Errno(setup.Errno)) {
		err = fmt.Errorf("%w: %w", err, syscall.Errno(setup.Errno))
	}
	if spool.IsStorage(err) {
		e.pause(err, time.Now())
		e.startAt = e.probeAt
		return
	}
	if isSetup {
		e.end = &ending{reasonOf(setup), &spool.Failure{Type: setup.Type, Message: setup.Message, Traceback: setup.Traceback}}
		return
	}
	if _, ok := errors.AsType[*handler.StartError](err); ok {
		e.end = &ending{spool.ExitNotFound, &spool.Failure{Type: "NotFound", Message: err.Error()}}
		return
	}
	e.log.Warn("starting the handler", "error", err)
	e.inVain(&spool.Failure{Type: "HandlerFailed", Message: "the handler cannot be started: " + err.Error()})
}

func reasonOf(failed *handler.SetupError) spool.ExitReason {
	switch failed.Stage {
	case protocol.StageLoad:
		if failed.Type == protocol.TypeModuleAbsent {
			return spool.ExitNotFound
		}
		return spool.ExitInvalid
	case protocol.StageParams:
		return spool.ExitInvalidParams
	case protocol.StageSetup, protocol.StageTeardown:
	}
	return spool.ExitSetupFailed
}

// inVain counts a handler that came to nothing, and puts off the next one.
func (e *engine) inVain(failure *spool.Failure) {
	if e.fruitless++; e.fruitless >= fruitlessLimit {
		e.end = &ending{spool.ExitHandlerFailed, failure}
	}
	e.startAt = time.Now().Add(e.cfg.timing.restart << (e.fruitless - 1))
}

// onDeath deals with a handler that has ended by itself or was killed.
func (e *engine) onDeath() {
	exit, ours := e.h.Exit(), e.killed || e.retiring
	e.unhook()
	e.h, e.retiring, e.startAt = nil, false, time.Time{}
	failure := &spool.Failure{Message: "the handler died: " + exit.String(), ExitCode: exitCode(exit), Stderr: strings.Join(exit.LastLines, "\n")}
	begun, timedOut := e.sort()
	e.timedOut(timedOut)
	switch {
	case len(begun) > 0 && e.killed: // others were late
		for _, f := range begun {
			e.back(f)
		}
	case len(begun) > 0:
		failure.Type = "Crashed"
		e.crashed(begun, failure)
	case !ours:
		e.log.Warn("the handler died between files", "exit", exit.String())
		failure.Type = "HandlerFailed"
		e.inVain(failure)
	}
}

// part leaves in good order: the handler has its teardown first.
func (e *engine) part(reason spool.ExitReason) {
	e.parting = &ending{reason: reason}
	switch {
	case e.h == nil:
		e.end = e.parting
	case !e.retiring:
		e.retire()
	}
}

// retire lets the handler, which has no file, have its teardown. The end of its Results follows. A teardown may take
// minutes, in which the worker goes on showing that it lives.
func (e *engine) retire() {
	e.retiring = true
	h := e.h
	e.helpers.Go(func() {
		if err := h.Close(context.Background()); err != nil { // the end of working kills it
			e.log.Warn("ending the handler", "error", err)
		}
	})
}

// leave ends the handler and gives back what was not finished.
func (e *engine) leave() {
	if e.starting != nil {
		e.stop(e.end) // ends the attempt; there is nothing else that could go on
		if s := <-e.starting; s.err == nil {
			e.h, e.unhook = s.h, s.unhook
		}
	}
	if e.h != nil {
		e.h.Kill()
		for range e.h.Results() { // its end is waited for: nothing of it may go on behind the exit record
		}
		e.unhook()
	}
	e.giveBack()
	for _, id := range e.order {
		e.back(e.flying[id])
	}
}

// exitCode spells an end as a shell does: 128 and the number of the signal.
func exitCode(e handler.Exit) int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}
