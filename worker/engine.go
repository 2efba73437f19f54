package worker

import (
	"context"
	"log/slog"
	"math"
	"os"
	"sync"
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

// engine is a worker at work. One goroutine owns all of it. It waits for nothing but news, and for the recorder when
// that waits for the file system; what has to end at once then ends by the context.
type engine struct {
	cfg     Config
	spool   *spool.Spool
	spec    *spool.Spec
	w       *spool.Worker
	out     *os.File // prints of user code
	log     *slog.Logger
	rec     *recorder
	wake    *wake.Watcher
	stop    context.CancelCauseFunc
	helpers sync.WaitGroup

	h         handler.Handler // nil while none runs
	unhook    func() bool     // parts h from the end of working
	starting  chan started    // not nil while one is being started
	startAt   time.Time       // not before
	fruitless int             // handlers in a row that died for nothing
	used      bool            // h has had a file
	killed    bool            // h is being ended by us
	retiring  bool            // h gets no more files and has its teardown

	width   int // files that user code may have in hand at once
	slots   []int
	batches []*batch // with files not begun
	again   []*file  // begun by nobody: the handler died before their turn
	flying  map[uint64]*file
	order   []uint64 // flying, in the order of hand-over
	suspect bool     // the one in flight is to be alone
	lastID  uint64
	pace    float64 // seconds per file, smoothed; infinite until one is known
	count   int64

	lastOf   time.Time // when there was last something to do
	nextBeat time.Time
	nextPoll time.Time
	polls    int // in vain, in a row

	trouble  error // why nothing is taken: the storage
	probeAt  time.Time
	probeGap time.Duration

	draining bool
	parting  *ending // it leaves in good order, as soon as the handler has ended
	end      *ending
}

func newEngine(c Config, s *spool.Spool, w *spool.Worker, out *os.File) *engine {
	spec := s.Spec()
	e := &engine{
		cfg: c, spool: s, spec: spec, w: w, out: out, log: c.Log,
		width: max(1, spec.Concurrency), flying: map[uint64]*file{}, pace: math.Inf(1),
		lastOf: time.Now(),
	}
	for slot := e.width + aheadMost - 1; slot >= 0; slot-- { // files that are sent ahead have one too
		e.slots = append(e.slots, slot)
	}
	return e
}

// run works until there is a reason to end. Asked is the caller's word to go on working, which reasons of the engine's
// own may end, too.
func (e *engine) run(asked, taking context.Context) ending {
	working, stop := context.WithCancelCause(asked)
	e.stop = stop
	e.wake = wake.New()
	defer e.wake.Close()
	e.wake.Add(e.spool.QueueDir())
	e.rec = newRecorder(e.w, e.spec, e.cfg, e.stop)
	recorded := make(chan struct{})
	go func() { defer close(recorded); e.rec.run(working) }()
	e.helpers.Go(func() { e.watchParent(working) })
	if e.spec.Type == spool.TypeLocal {
		e.helpers.Go(func() { e.rec.watch(working) })
	}
	e.loop(asked, working, taking)
	e.leave()
	close(e.rec.in)
	<-recorded
	e.stop(nil)
	e.helpers.Wait()
	return *e.end
}

func (e *engine) loop(asked, working, taking context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e.step(working)
		if e.end != nil {
			return
		}
		timer.Reset(time.Until(e.nextTime()))
		select {
		case r, ok := <-e.results():
			e.onResult(r, ok)
		case s := <-e.starting:
			e.onStarted(s)
		case err := <-e.rec.failed:
			e.pause(err, time.Now())
		case <-e.wake.C():
			e.nextPoll, e.polls = time.Time{}, 0
		case <-timer.C:
		case <-e.takingDone(taking):
			e.draining = asked.Err() == nil // else the end of working is behind it and about to be seen
		case <-working.Done():
			e.end = causeOf(working)
		}
	}
}

// step does what can be done without waiting.
func (e *engine) step(working context.Context) {
	if e.end != nil || working.Err() != nil { // the latter brings its reason with it
		return
	}
	now := time.Now()
	e.checkTimeouts(now)
	if !now.Before(e.nextBeat) {
		e.beat(now)
	}
	if e.trouble != nil && !now.Before(e.probeAt) {
		e.probe(now)
	}
	if e.draining {
		e.giveBack()
	}
	if e.parting != nil {
		if e.h == nil {
			e.end = e.parting
		}
		return
	}
	if e.wantsHandler() && !now.Before(e.startAt) {
		e.start(working)
	}
	if e.h != nil && !e.retiring && e.trouble == nil {
		e.fill(now)
	}
	e.leaveIfIdle(now)
}

// leaveIfIdle begins the end of a worker that has nothing to do.
func (e *engine) leaveIfIdle(now time.Time) {
	idle := len(e.flying) == 0 && len(e.again) == 0 && len(e.batches) == 0
	switch {
	case !idle:
		e.lastOf = now
	case e.draining:
		e.part(spool.ExitDrained)
	case e.trouble != nil || e.h == nil:
		e.lastOf = now
	case e.cfg.IdleTimeout > 0 && now.Sub(e.lastOf) >= e.cfg.IdleTimeout:
		e.part(spool.ExitIdle)
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
	if e.wantsHandler() {
		sooner(e.startAt)
	}
	switch {
	case e.trouble != nil:
		sooner(e.probeAt)
	case e.polling():
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

func (e *engine) wantsHandler() bool {
	return e.h == nil && e.starting == nil && e.parting == nil && !e.draining
}

// polling reports whether a batch would be claimed if there were one.
func (e *engine) polling() bool {
	return e.h != nil && !e.retiring && !e.draining && !e.suspect && len(e.flying) < e.width && len(e.batches) == 0 && len(e.again) == 0
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

// record hands an outcome to the recorder.
func (e *engine) record(o outcome) {
	o.last = o.last || len(e.flying) == 0
	e.rec.in <- o
}

// beat shows that the worker lives and what it has in hand, and looks whether it was declared dead.
func (e *engine) beat(now time.Time) {
	e.nextBeat = now.Add(e.cfg.timing.beat)
	if e.w.Fenced() {
		e.stop(&ending{reason: spool.ExitFenced})
		return
	}
	e.count++
	event := spool.Event{Kind: spool.EventBeat, Count: e.count}
	held := false
	for _, id := range e.order {
		f := e.flying[id]
		if f.begun.IsZero() {
			continue
		}
		age := now.Sub(f.begun)
		event.InHand = append(event.InHand, spool.InHand{File: f.name, Seconds: age.Seconds()})
		held = held || age > e.cfg.timing.hold
	}
	e.record(outcome{event: &event})
	if held {
		e.giveBack()
	}
}

// watchParent stops everything when the process that started this one has ended.
func (e *engine) watchParent(working context.Context) {
	select {
	case <-e.cfg.ParentGone:
		e.stop(&ending{reason: spool.ExitParentGone})
	case <-working.Done():
	}
}
