package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/library"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/task/python"
	"tigerflow.dev/tigerflow/worker/handler"
)

// fruitlessLimit is how many handlers in a row may die without a file in hand or finished before the worker gives up.
const fruitlessLimit = 5

// start has a handler started; its setup may take minutes, in which the worker goes on showing that it lives.
func (e *engine) start(working context.Context) {
	if err := e.w.Current.Truncate(0); err != nil {
		e.pause(err, time.Now())
		e.startAt = e.probeAt
		return
	}
	ch := make(chan started, 1)
	e.starting, e.used = ch, false
	go func() {
		h, err := e.newHandler(working)
		ch <- started{h, err}
	}()
}

// newHandler starts a handler of the Task.
func (e *engine) newHandler(ctx context.Context) (handler.Handler, error) {
	if name := e.spec.Handler.Builtin; name != "" {
		if _, ok := library.Lookup(name); !ok {
			return nil, &handler.SetupError{Stage: protocol.StageLoad, Failure: protocol.Failure{Type: "UnknownBuiltin",
				Message: fmt.Sprintf("there is no built-in task %q: there is %s", name, strings.Join(library.Names(), ", "))}}
		}
	}
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
	return handler.Start(ctx, c)
}

func (e *engine) onStarted(s started) {
	e.starting = nil
	if s.err == nil {
		e.h = s.h
		e.lastOf = time.Now()
		e.log.Info("handler ready")
		return
	}
	var setup *handler.SetupError
	var start *handler.StartError
	switch {
	case errors.As(s.err, &setup):
		reason := spool.ExitSetupFailed
		switch setup.Stage {
		case protocol.StageLoad:
			reason = spool.ExitInvalid
		case protocol.StageParams:
			reason = spool.ExitInvalidParams
		}
		e.finish(reason, &spool.Failure{Type: setup.Type, Message: setup.Message, Traceback: setup.Traceback})
	case errors.As(s.err, &start):
		e.finish(spool.ExitNotFound, &spool.Failure{Type: "NotFound", Message: s.err.Error()})
	default:
		e.finish(spool.ExitSetupFailed, &spool.Failure{Type: "HandlerFailed", Message: s.err.Error()})
	}
}

// onResult takes what the handler says of a file, or its end.
func (e *engine) onResult(r handler.Result, ok bool) {
	if !ok {
		e.onDeath()
		return
	}
	f := e.land(r.ID)
	if f == nil {
		e.log.Warn("the handler speaks of a file that it was not given", "id", r.ID)
		return
	}
	e.fruitless = 0
	if e.pace == 0 {
		e.pace = r.Seconds
	}
	e.pace += (r.Seconds - e.pace) / 8
	switch {
	case r.Failure == nil:
		e.record(outcome{done: f, seconds: r.Seconds, last: len(e.flying) == 0})
	case r.Crashed:
		e.drop(f)
		e.crashed([]*file{f}, failureOf(r))
	default:
		e.onFailure(f, r)
	}
}

// land takes a file out of the air and notes that the next one's turn has come.
func (e *engine) land(id uint64) *file {
	f := e.flying[id]
	if f == nil {
		return nil
	}
	delete(e.flying, id)
	e.slots = append(e.slots, f.slot)
	e.order = slices.DeleteFunc(e.order, func(other uint64) bool { return other == id })
	now := time.Now()
	for _, id := range e.order[:min(e.width, len(e.order))] {
		if next := e.flying[id]; next.begun.IsZero() {
			next.begun = now
		}
	}
	return f
}

// onFailure tells failures of user code from those of the storage and from inputs that are not there any more.
func (e *engine) onFailure(f *file, r handler.Result) {
	e.drop(f)
	failure := failureOf(r)
	if spool.IsStorageErrno(syscall.Errno(r.Failure.Errno)) {
		e.record(outcome{batch: f.batch, event: spool.Event{Kind: spool.EventStorage, Batch: f.batch.id.String(),
			Files: []spool.Name{f.name}, Failure: failure}})
		e.pause(syscall.Errno(r.Failure.Errno), time.Now())
		return
	}
	if _, err := os.Stat(f.input); errors.Is(err, fs.ErrNotExist) {
		e.record(outcome{batch: f.batch, event: spool.Event{Kind: spool.EventGone, Batch: f.batch.id.String(), Files: []spool.Name{f.name}}})
		return
	}
	e.record(outcome{batch: f.batch, event: failedEvent(f, r.Seconds, failure)})
}

// onDeath deals with a handler that has ended by itself or was killed.
func (e *engine) onDeath() {
	exit := e.h.Exit()
	e.h = nil
	begun, timedOut := e.sort()
	for _, f := range timedOut {
		e.record(outcome{batch: f.batch, event: failedEvent(f, time.Duration(e.spec.Timeout).Seconds(), &spool.Failure{
			Type: "Timeout", Message: "not through with it after " + time.Duration(e.spec.Timeout).String()})})
	}
	switch {
	case len(timedOut) > 0:
		for _, f := range begun {
			e.back(f)
		}
	case len(begun) > 0:
		e.crashed(begun, &spool.Failure{Type: "Crashed", Message: "the handler died: " + exit.String(), ExitCode: exitCode(exit), Stderr: strings.Join(exit.LastLines, "\n")})
	case e.used:
		e.log.Warn("the handler died between files", "exit", exit.String())
	}
	if e.used && len(begun) == 0 && len(timedOut) == 0 {
		e.fruitless++
	}
	if e.fruitless >= fruitlessLimit {
		e.finish(spool.ExitHandlerFailed, &spool.Failure{Type: "HandlerFailed", Message: "the handler keeps dying between files: " + exit.String(), Stderr: strings.Join(exit.LastLines, "\n")})
	}
	e.startAt = time.Now()
	if e.fruitless > 0 {
		e.startAt = e.startAt.Add(time.Second << min(e.fruitless-1, 5))
	}
}

// sort empties the air: files that user code had in hand by the blame file, those of them that ran into the time-out,
// and the rest, which goes to the next handler.
func (e *engine) sort() (begun, timedOut []*file) {
	marks, err := e.w.Blamed()
	if err != nil {
		e.log.Warn("reading the blame file", "error", err)
	}
	for _, id := range slices.Clone(e.order) {
		f := e.land(id)
		mark := spool.Mark{Batch: f.batch.id, Index: f.index}
		switch {
		case f.late:
			e.drop(f)
			timedOut = append(timedOut, f)
		case slices.Contains(marks, mark.String()):
			e.drop(f)
			begun = append(begun, f)
		default:
			f.begun = time.Time{}
			e.again = append(e.again, f)
		}
	}
	return begun, timedOut
}

// crashed records that the handler died with these files in hand.
func (e *engine) crashed(files []*file, failure *spool.Failure) {
	now := time.Now().UTC()
	for batch, names := range byBatch(files) {
		e.record(outcome{batch: batch, event: spool.Event{Kind: spool.EventCrashed, Batch: batch.id.String(), Files: names,
			Suspects: len(files) > 1, Failure: failure, Time: &now}})
	}
}

func byBatch(files []*file) map[*batch][]spool.Name {
	m := map[*batch][]spool.Name{}
	for _, f := range files {
		m[f.batch] = append(m[f.batch], f.name)
	}
	return m
}

// drop removes what a file that is not published left in tmp.
func (e *engine) drop(f *file) {
	if err := e.w.Discard(f.tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.log.Warn("removing a temporary", "error", err)
	}
	f.tmp = ""
}

// checkTimeouts kills the handler if a file has been in hand for too long; its end tells the rest.
func (e *engine) checkTimeouts(now time.Time) {
	limit := time.Duration(e.spec.Timeout)
	if limit <= 0 || e.h == nil {
		return
	}
	for _, f := range e.flying {
		if !f.begun.IsZero() && now.Sub(f.begun) >= limit && !f.late {
			f.late = true
			e.h.Kill()
		}
	}
}

func failureOf(r handler.Result) *spool.Failure {
	f := r.Failure
	return &spool.Failure{Type: f.Type, Message: f.Message, Traceback: f.Traceback, Errno: f.Errno, ExitCode: r.ExitCode}
}

// exitCode spells an end as a shell does: 128 and the number of the signal.
func exitCode(e handler.Exit) int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}
