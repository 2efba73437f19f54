package worker

import (
	"context"
	"log/slog"
	"os"
	"time"

	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

// batch is a claimed batch. The engine begins its files, the recorder counts them off.
type batch struct {
	id    spool.BatchID
	files []spool.Name
	alone bool
	next  int // the next file to begin; the engine's
	left  int // files without an outcome; the recorder's
}

// file is one file on its way through the worker.
type file struct {
	batch  *batch
	index  int
	name   spool.Name
	input  string
	output string
	tmp    string
	slot   int
	begun  time.Time // when user code began, as far as can be told from here; zero while it waits in the handler
	late   bool      // it ran into the time-out
}

// engine is a worker at work. One goroutine owns all of it.
type engine struct {
	cfg   Config
	spool *spool.Spool
	spec  *spool.Spec
	w     *spool.Worker
	out   *os.File // prints of user code
	log   *slog.Logger
	rec   *recorder
	wake  *wake.Watcher

	h         handler.Handler // nil while none runs
	starting  chan started    // not nil while one is being started
	startAt   time.Time       // not before
	fruitless int             // handlers in a row that died before finishing a file
	used      bool            // the handler has run a file

	width   int // files that user code may have in hand at once
	slots   []int
	batches []*batch // with files not begun
	again   []*file  // begun by nobody: the handler died before their turn
	flying  map[uint64]*file
	order   []uint64 // flying, in the order of hand-over
	lastID  uint64
	pace    float64 // seconds per file, smoothed
	count   int64

	lastOf   time.Time // when there was last something to do
	nextBeat time.Time
	nextPoll time.Time
	polls    int // in vain, in a row

	trouble  error // why nothing is taken: the storage
	probeAt  time.Time
	probeGap time.Duration

	draining bool
	end      *ending
}

type started struct {
	h   handler.Handler
	err error
}

// run works until there is a reason to end.
func (e *engine) run(working, taking context.Context) ending {
	working, cancel := context.WithCancel(working)
	defer cancel()
	e.wake.Add(e.spool.QueueDir())
	defer e.wake.Close()
	recorded := make(chan struct{})
	go func() { defer close(recorded); e.rec.run(working) }()
	if e.spec.Type == spool.TypeLocal {
		go e.rec.watch(working)
	}

	timer := time.NewTimer(0)
	defer timer.Stop()
	for e.end == nil {
		e.step(working)
		if e.end != nil {
			break
		}
		timer.Reset(time.Until(e.nextTime()))
		select {
		case r, ok := <-e.results():
			e.onResult(r, ok)
		case s := <-e.starting:
			e.onStarted(s)
		case <-e.wake.C():
			e.nextPoll, e.polls = time.Time{}, 0
		case <-timer.C:
		case <-e.takingDone(taking):
			e.draining = true
		case <-working.Done():
			e.finish(spool.ExitStopped, nil)
		case <-e.cfg.ParentGone:
			e.finish(spool.ExitParentGone, nil)
		case <-e.rec.silent:
			e.silenced()
		case <-e.rec.fenced:
			e.finish(spool.ExitFenced, nil)
		}
	}
	e.leave(working, cancel)
	close(e.rec.in)
	<-recorded
	return *e.end
}

// step does what can be done without waiting.
func (e *engine) step(working context.Context) {
	now := time.Now()
	e.checkTimeouts(now)
	if !now.Before(e.nextBeat) {
		e.beat(now)
	}
	if e.trouble != nil && !now.Before(e.probeAt) {
		e.probe(now)
	}
	if e.h == nil && e.starting == nil && !now.Before(e.startAt) && !e.draining {
		e.start(working)
	}
	if e.h != nil && e.trouble == nil {
		e.fill(now)
	}
	if e.draining {
		e.giveBack()
	}
	idle := len(e.flying) == 0 && len(e.again) == 0 && len(e.batches) == 0
	switch {
	case !idle:
		e.lastOf = now
	case e.draining:
		e.finish(spool.ExitDrained, nil)
	case e.cfg.IdleTimeout > 0 && e.h != nil && now.Sub(e.lastOf) >= e.cfg.IdleTimeout:
		e.finish(spool.ExitIdle, nil)
	}
}

// nextTime is when step has to be called again if nothing happens before.
func (e *engine) nextTime() time.Time {
	next := e.nextBeat
	sooner := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if e.h == nil && e.starting == nil {
		sooner(e.startAt)
	}
	if e.trouble != nil {
		sooner(e.probeAt)
	} else if e.h != nil && len(e.flying) < e.width && !e.draining {
		sooner(e.nextPoll)
		if e.cfg.IdleTimeout > 0 {
			sooner(e.lastOf.Add(e.cfg.IdleTimeout))
		}
	}
	if limit := time.Duration(e.spec.Timeout); limit > 0 {
		for _, f := range e.flying {
			if !f.begun.IsZero() && !f.late {
				sooner(f.begun.Add(limit))
			}
		}
	}
	return next
}

func (e *engine) results() <-chan handler.Result {
	if e.h == nil {
		return nil
	}
	return e.h.Results()
}

func (e *engine) takingDone(taking context.Context) <-chan struct{} {
	if e.draining {
		return nil
	}
	return taking.Done()
}

func (e *engine) finish(reason spool.ExitReason, failure *spool.Failure) {
	if e.end == nil {
		e.end = &ending{reason: reason, failure: failure}
	}
}

// record hands an outcome to the recorder. It waits while the storage fails, but not for ever where that is not allowed.
func (e *engine) record(o outcome) {
	select {
	case e.rec.in <- o:
	case <-e.rec.silent:
		e.silenced()
	}
}

// silenced ends a worker that could not show for too long that it lives.
func (e *engine) silenced() {
	e.finish(spool.ExitNoHeartbeat, &spool.Failure{Type: "NoHeartbeat", Message: "the spool took no records for " + noBeatLimit.String()})
}

// beat shows that the worker lives and what it has in hand, and looks whether it was declared dead.
func (e *engine) beat(now time.Time) {
	e.nextBeat = now.Add(beatPeriod)
	if e.w.Fenced() {
		e.finish(spool.ExitFenced, nil)
		return
	}
	e.count++
	event := spool.Event{Kind: spool.EventBeat, Count: e.count}
	for _, f := range e.flying {
		if f.begun.IsZero() {
			continue
		}
		held := now.Sub(f.begun)
		event.InHand = append(event.InHand, spool.InHand{File: f.name, Seconds: held.Seconds()})
		if held > holdLimit {
			e.giveBack()
		}
	}
	select {
	case e.rec.in <- outcome{event: event}:
	default: // the storage does not take it: there is no beat
	}
}

// leave ends the handler and gives back what was not finished.
func (e *engine) leave(working context.Context, cancel context.CancelFunc) {
	orderly := e.end.reason == spool.ExitIdle || e.end.reason == spool.ExitDrained
	if s := e.starting; s != nil {
		cancel() // ends the attempt
		e.h = (<-s).h
	}
	if e.h != nil {
		if orderly {
			if err := e.h.Close(working); err != nil {
				e.log.Warn("ending the handler", "error", err)
			}
		}
		e.h.Kill()
		for range e.h.Results() { // its end is waited for: nothing of it may go on behind the exit record
		}
	}
	if e.end.reason == spool.ExitFenced || e.end.reason == spool.ExitNoHeartbeat {
		cancel() // what it held is somebody else's
		return
	}
	e.giveBack()
	for _, f := range e.flying {
		e.back(f)
	}
}
