package worker

import (
	"context"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/internal/quantile"
	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

// batch is a claimed batch. The engine begins its files, the recorder counts them off.
type batch struct {
	id    spool.BatchID
	files []spool.Name
	alone bool
	next  int         // the next file to begin; the engine's
	left  int         // files without an outcome; the recorder's
	gone  atomic.Bool // it is let go of
}

// file is one file on its way through the worker.
type file struct {
	batch  *batch
	index  int
	name   spool.Name
	input  string
	output string
	tmp    string
	lane   *lane
	slot   int
	begun  time.Time // when user code began, as far as can be told from here; zero while it waits in the handler
	late   bool      // it ran into the time-out
	slow   bool      // that it takes so long was told
}

// engine is a worker at work. One goroutine owns all of it. It waits for nothing but news, and for the recorder when
// that waits for the file system; what has to end at once then ends by the context.
type engine struct {
	cfg     Config
	spool   *spool.Spool
	spec    *spool.Spec
	w       *spool.Worker
	out     io.Writer // prints of user code
	log     *slog.Logger
	rec     *recorder
	wake    *wake.Watcher
	stop    context.CancelCauseFunc
	helpers sync.WaitGroup
	inDir   string // with a slash behind it
	outDir  string

	lanes   []*lane
	width   int // files that user code may have in hand at once, in each lane
	results chan handler.Result
	started chan started
	batches []*batch // with files not begun
	again   []*file  // begun by nobody: the handler died before their turn
	doubt   []spool.BatchID
	mine    map[spool.BatchID]*batch // that were claimed and are not known to be let go of
	flying  map[uint64]*file
	lastID  uint64
	pace    float64 // seconds per file, smoothed; infinite until one is known
	times   quantile.Estimator
	limit   *pacer // nil if there is no rate limit
	count   int64
	news    []outcome // for the recorder
	// verdicts are held back, in the order of their time.
	verdicts []verdict

	lastOf   time.Time // when there was last something to do
	looked   time.Time // when step last looked at the clock
	nextBeat time.Time
	nextPoll time.Time
	nextLook time.Time     // into its own claims
	caughtUp bool          // all results were taken
	restTill time.Time     // results are left to gather until then
	polls    int           // in vain, in a row
	pollGap  time.Duration // the longest wait between two
	lastTry  time.Time     // to claim a batch

	trouble  error // why nothing is taken: the storage
	probeAt  time.Time
	probeGap time.Duration

	current  int              // the epoch of which the revision is known to be ours
	asked    bool             // somebody has asked it to leave
	draining spool.ExitReason // why nothing more is taken; empty while something is
	unseen   *spool.Failure   // an input that the container does not have, if that is why
	parting  *ending          // it leaves in good order, as soon as the handlers have ended
	end      *ending
}

func newEngine(c Config, s *spool.Spool, w *spool.Worker, out io.Writer) *engine {
	spec := *s.Spec() // the concurrency is by lane
	lanes, width := max(1, spec.Processes), max(1, spec.Concurrency)
	if spec.Handler.Builtin != "" { // a second process would be this one again
		lanes, width = 1, lanes*width
	}
	spec.Concurrency = width
	e := &engine{
		cfg: c, spool: s, spec: &spec, w: w, out: out, log: c.Log,
		inDir:  filepath.Clean(string(spec.InputDir)) + string(filepath.Separator),
		outDir: filepath.Clean(string(spec.OutputDir)) + string(filepath.Separator),
		width:  width, flying: map[uint64]*file{}, pace: math.Inf(1), lastOf: time.Now(),
		mine: map[spool.BatchID]*batch{}, nextLook: time.Now().Add(lookEvery), lastTry: time.Now(),
		pollGap: pollGap(c.ID),
		results: make(chan handler.Result, lanes*(width+aheadMost)+1),
		looked:  time.Now(),
		started: make(chan started, lanes),
		limit:   newPacer(spec.RateLimit, c.ID, time.Now()),
	}
	for i := range lanes {
		e.lanes = append(e.lanes, newLane(i, width))
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
	e.settle(taking)
	e.leave()
	e.tell()
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
		e.tell()
		if e.end != nil {
			return
		}
		results := e.results
		next := e.nextTime()
		if now := time.Now(); e.restTill.After(now) {
			results, next = nil, earlier(next, e.restTill)
		}
		timer.Reset(time.Until(next))
		select {
		case r := <-results:
			e.onResults(working, r)
		case s := <-e.started:
			e.onStarted(s)
		case err := <-e.rec.failed:
			e.pause(err, time.Now())
		case <-e.wake.C():
			e.nextPoll, e.polls = time.Time{}, 0
		case <-timer.C:
		case <-e.takingDone(taking):
			if asked.Err() == nil { // else the end of working is behind it and about to be seen
				e.drain()
			}
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
	e.regainTime(now)
	e.checkTimeouts(now)
	e.checkDeadline(now)
	e.judge(now)
	if e.end != nil {
		return
	}
	if !now.Before(e.nextBeat) {
		e.beat(now)
	}
	if e.trouble != nil && !now.Before(e.probeAt) {
		e.probe(now)
	}
	if e.draining != "" {
		e.giveBack()
	}
	if e.parting != nil {
		if e.empty() {
			e.end = e.parting
		}
		return
	}
	for _, l := range e.lanes {
		if e.wantsHandler(l) && !now.Before(l.startAt) {
			e.start(working, l)
		}
	}
	if e.trouble == nil {
		e.fill(now)
	}
	if e.caughtUp {
		e.caughtUp = false
		e.rest(now)
	}
	e.leaveIfIdle(now)
}

// leaveIfIdle begins the end of a worker that has nothing to do.
func (e *engine) leaveIfIdle(now time.Time) {
	idle := len(e.flying) == 0 && len(e.again) == 0 && len(e.batches) == 0 && len(e.verdicts) == 0
	switch {
	case !idle:
		e.lastOf = now
	case e.draining != "":
		e.part(e.draining)
	case e.trouble != nil || e.empty():
		e.lastOf = now
	case e.cfg.IdleTimeout > 0 && now.Sub(e.lastOf) >= e.cfg.IdleTimeout:
		e.part(spool.ExitIdle)
	}
}

// nextTime is when step has to be called again if nothing happens before.
func (e *engine) nextTime() time.Time {
	next := e.nextTimeout(e.nextVerdict(e.nextBeat))
	for _, l := range e.lanes {
		if e.wantsHandler(l) {
			next = earlier(next, l.startAt)
		}
	}
	switch {
	case e.trouble != nil:
		next = earlier(next, e.probeAt)
	case e.polling():
		next = earlier(next, e.nextPoll)
		if e.cfg.IdleTimeout > 0 {
			next = earlier(next, e.lastOf.Add(e.cfg.IdleTimeout))
		}
	case e.limit != nil && (len(e.batches) > 0 || len(e.again) > 0):
		if e.freeLane() != nil {
			next = earlier(next, e.limit.next)
		}
	}
	if !e.cfg.Deadline.IsZero() {
		next = earlier(next, e.lastMoment())
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (e *engine) wantsHandler(l *lane) bool {
	return l.h == nil && !l.starting && e.parting == nil && e.draining == ""
}

// polling reports whether a batch would be claimed if there were one.
func (e *engine) polling() bool {
	return e.draining == "" && len(e.batches) == 0 && len(e.again) == 0 && e.freeLane() != nil
}

// empty reports whether no lane has a handler.
func (e *engine) empty() bool {
	for _, l := range e.lanes {
		if l.h != nil {
			return false
		}
	}
	return true
}

func (e *engine) takingDone(taking context.Context) <-chan struct{} {
	if e.asked {
		return nil
	}
	return taking.Done()
}

// record hands an outcome to the recorder, with others, when tell is called.
func (e *engine) record(o outcome) { e.news = append(e.news, o) }

func (e *engine) tell() {
	if len(e.news) > 0 {
		e.rec.in <- outcomes{list: e.news, last: len(e.flying) == 0}
		e.news = make([]outcome, 0, cap(e.news))
	}
}

// beat shows that the worker lives and what it has in hand, and looks whether it was declared dead.
func (e *engine) beat(now time.Time) {
	e.nextBeat = now.Add(e.cfg.timing.beat)
	if e.idles() {
		e.nextBeat = now.Add(max(e.cfg.timing.beat, min(e.pollGap, idleBeat)))
	}
	// From one that idles nothing is taken, however late it sees that it was declared dead.
	if (!e.idles() || e.count%idleFence == 0) && e.w.Fenced() {
		e.stop(&ending{reason: spool.ExitFenced})
		return
	}
	e.count++
	event := spool.Event{Kind: spool.EventBeat, Count: e.count}
	held := false
	for _, l := range e.lanes {
		for _, id := range l.order {
			f := e.flying[id]
			if f.begun.IsZero() {
				continue
			}
			age := now.Sub(f.begun)
			e.watchPace(f, age)
			event.InHand = append(event.InHand, spool.InHand{File: f.name, Seconds: age.Seconds(), Slow: f.slow})
			held = held || age > e.cfg.timing.hold
		}
	}
	e.record(outcome{event: &event})
	if held && e.freeLane() == nil {
		e.giveBack()
	}
}

// idles reports whether the worker has long had nothing to do, and is one of those that then show more rarely that they live, as
// they look more rarely for work.
func (e *engine) idles() bool {
	return len(e.flying) == 0 && e.polling() && e.pollGap > pollLast && e.pollWait() >= e.pollGap
}

// watchParent stops everything when the process that started this one has ended.
func (e *engine) watchParent(working context.Context) {
	select {
	case <-e.cfg.ParentGone:
		e.stop(&ending{reason: spool.ExitParentGone})
	case <-working.Done():
	}
}
