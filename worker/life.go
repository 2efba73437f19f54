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
	lane   *lane
	h      handler.Handler
	unhook func() bool
	err    error
}

// start has a lane's handler started; its setup may take minutes, in which the worker goes on showing that it lives.
func (e *engine) start(working context.Context, l *lane) {
	if err := e.w.ClearMarks(l.base, l.own); err != nil {
		e.pause(err, time.Now())
		l.startAt = e.probeAt
		return
	}
	l.starting, l.used, l.killed = true, false, false
	attempt, cut := context.WithCancel(working)
	l.cut = cut
	go func() {
		defer cut()
		h, err := e.newHandler(attempt, l)
		if err != nil {
			e.started <- started{lane: l, err: err}
			return
		}
		// By the context, for the engine may be waiting for the file system when everything has to end.
		e.started <- started{lane: l, h: h, unhook: context.AfterFunc(working, h.Kill)}
	}()
}

// newHandler starts a handler of the Task.
func (e *engine) newHandler(working context.Context, l *lane) (handler.Handler, error) {
	epoch, err := e.w.Epoch()
	if err != nil {
		return nil, err
	}
	c := handler.Config{
		Spec: e.spec, Worker: e.cfg.ID, Epoch: strconv.Itoa(epoch), Log: e.out, Login: e.spec.Type == spool.TypeSlurm && !e.cfg.Contained, Narrate: e.cfg.Narrate != nil, Current: e.w.Current,
		Results: e.results, Lane: l.index, Become: e.cfg.Become, Grace: e.cfg.timing.grace,
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
	l := s.lane
	l.starting = false
	if s.err != nil {
		e.onStartFailed(l, s.err)
		return
	}
	l.h, l.unhook = s.h, s.unhook
	e.lastOf = time.Now()
	e.log.Info("handler ready")
	if e.parting != nil {
		e.retire(l)
	}
}

func (e *engine) onStartFailed(l *lane, err error) {
	if errors.Is(err, context.Canceled) { // by the end of working, which is about to be seen
		return
	}
	setup, isSetup := errors.AsType[*handler.SetupError](err)
	if isSetup && spool.IsStorageErrno(syscall.Errno(setup.Errno)) {
		err = fmt.Errorf("%w: %w", err, syscall.Errno(setup.Errno))
	}
	if spool.IsStorage(err) {
		e.pause(err, time.Now())
		l.startAt = e.probeAt
		return
	}
	if isSetup {
		e.log.Warn("the handler is not ready", "error", err)
		e.accuse(verdict{end: &ending{reasonOf(setup), &spool.Failure{Type: setup.Type, Message: setup.Message, Traceback: setup.Traceback}}})
		l.startAt = time.Now().Add(time.Minute) // it ends before
		return
	}
	if errors.Is(err, handler.ErrNoShell) {
		e.end = &ending{spool.ExitNoShell, &spool.Failure{Type: "NoShell", Message: err.Error()}}
		return
	}
	if _, ok := errors.AsType[*handler.StartError](err); ok {
		e.end = &ending{spool.ExitNotFound, &spool.Failure{Type: "NotFound", Message: err.Error()}}
		return
	}
	e.log.Warn("starting the handler", "error", err)
	e.inVain(l, &spool.Failure{Type: "HandlerFailed", Message: "the handler cannot be started: " + err.Error()})
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
func (e *engine) inVain(l *lane, failure *spool.Failure) {
	if l.fruitless++; l.fruitless >= fruitlessLimit {
		e.end = &ending{spool.ExitHandlerFailed, failure}
	}
	l.startAt = time.Now().Add(e.cfg.timing.restart << (l.fruitless - 1))
}

// onDeath deals with a handler that has ended by itself or was killed.
func (e *engine) onDeath(l *lane) {
	exit, ours := l.h.Exit(), l.killed || l.retiring
	l.unhook()
	l.h, l.retiring, l.startAt = nil, false, time.Time{}
	failure := &spool.Failure{Message: "the handler died: " + exit.String(), ExitCode: exit.Status(), Stderr: strings.Join(exit.LastLines, "\n")}
	begun, timedOut := e.sort(l)
	e.timedOut(timedOut)
	switch {
	case len(begun) > 0 && l.killed: // others were late
		for _, f := range begun {
			e.back(f)
		}
	case len(begun) > 0:
		failure.Type = "Crashed"
		e.crashed(begun, failure)
	case !ours:
		e.log.Warn("the handler died between files", "exit", exit.String())
		failure.Type = "HandlerFailed"
		e.inVain(l, failure)
	}
}

// onStuck ends a worker whose builtin task does not obey: with the process it will end, and another one take its place.
func (e *engine) onStuck(l *lane) {
	begun, timedOut := e.sort(l)
	e.timedOut(timedOut)
	for _, f := range begun {
		e.back(f)
	}
	l.h = nil
	e.end = &ending{reason: exitStuck}
}

// drain takes no more, since somebody has asked for that.
func (e *engine) drain() {
	e.asked = true
	if e.draining == "" {
		e.draining = spool.ExitDrained
	}
	e.acquit()
}

// part leaves in good order: the handlers have their teardown first.
func (e *engine) part(reason spool.ExitReason) {
	e.parting = &ending{reason: reason, failure: e.unseen}
	if e.empty() {
		e.end = e.parting
		return
	}
	for _, l := range e.lanes {
		if l.h != nil && !l.retiring {
			e.retire(l)
		}
	}
}

// retire lets a lane's handler, which has no file, have its teardown. The word of its end follows. A teardown may take
// minutes, in which the worker goes on showing that it lives.
func (e *engine) retire(l *lane) {
	l.retiring = true
	h := l.h
	e.helpers.Go(func() {
		if err := h.Close(context.Background()); err != nil { // the end of working kills it
			e.log.Warn("ending the handler", "error", err)
		}
	})
}

// leave ends the handlers and gives back what was not finished.
func (e *engine) leave() {
	for _, l := range e.lanes {
		switch {
		case l.starting:
			l.cut()
		case l.h != nil:
			l.h.Kill()
		}
	}
	for !e.allEnded() { // their end is waited for: nothing of them may go on behind the exit record
		select {
		case s := <-e.started:
			e.onStartedInVain(s)
		case r := <-e.results:
			e.onLastResult(r)
		}
	}
	e.giveBack()
	for _, l := range e.lanes {
		for _, id := range l.order {
			e.back(e.flying[id])
		}
	}
	clear(e.flying)
}

// onLastResult takes what a handler says that is being ended. What it has done is done.
func (e *engine) onLastResult(r handler.Result) {
	l := e.lanes[r.Lane]
	for l.starting { // one that ended at once can be heard of before its start
		e.onStartedInVain(<-e.started)
	}
	if r.Stuck {
		e.end = &ending{reason: exitStuck}
	}
	if r.Stuck || r.Ended {
		l.unhook()
		l.h = nil
		return
	}
	if r.Failure == nil && e.end.reason != spool.ExitFenced {
		if f := e.land(r.ID); f != nil {
			e.record(outcome{done: f, seconds: r.Seconds})
		}
	}
}

// onStartedInVain ends a handler that comes too late.
func (e *engine) onStartedInVain(s started) {
	if s.lane.starting = false; s.err == nil {
		s.lane.h, s.lane.unhook = s.h, s.unhook
		s.h.Kill()
	}
}

func (e *engine) allEnded() bool {
	for _, l := range e.lanes {
		if l.starting || l.h != nil {
			return false
		}
	}
	return true
}
