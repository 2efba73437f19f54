// Package flow is one Task at work, whoever asked for it: its spool, the dispatcher behind it, and its workers. It opens
// the spool, contends for its lock, runs the loop, keeps the fleet and tells when all is done. It knows no control plane:
// controllers drive it for the Tasks of an API server, package standalone for a task from the command line.
package flow

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

// Settle is how long an input must not have changed before it is taken, unless a Config says otherwise.
const Settle = 2 * time.Second

// Config is what a Flow is told by those who drive it.
type Config struct {
	Owner    spool.Owner
	TakeOver bool // take the spool from a holder that shows no end
	Terms    Terms
	Executor executor.Executor
	Settle   time.Duration // 0 is the usual
	Rest     time.Duration // least time between two looks while the workers have enough to do; 0 is none
	Pipeline *Pipeline     // nil if the Task is one by itself
	Staging  string        // the socket of the container in which the functions of staging run; empty is beside this process
	Log      *slog.Logger
	Changed  func(*dispatcher.Snapshot) // may be nil; called by the loop after each change and at its end: it must not block
}

// Pipeline is what the pipeline says of a Task in it.
type Pipeline struct {
	Records string           // the pipeline's output directory: the records of all its tasks lie there
	RootExt string           // the extension of the pipeline's inputs
	Chain   dispatcher.Chain // the Tasks around this one, without what follows from Staging
	Staging []staging.Step   // of the lead
}

// Flow is a Task that this process dispatches. Its zero value dispatches nothing yet. It is not safe for use from several
// goroutines, but for Snapshot.
type Flow struct {
	contender *spool.Contender
	lock      *spool.Lock
	spec      spool.Spec
	pipeline  Pipeline
	earlier   *spool.Earlier // a run of TigerFlow whose work is taken over; nil if there was none
	callables *callables     // of the staging steps; nil if they have none

	dispatcher *dispatcher.Dispatcher
	executor   executor.Executor
	fleet      *fleet.Fleet
	earlyFleet *fleet.Fleet // of the last dispatcher of the same spool
	cancel     context.CancelFunc
	ended      chan struct{} // closed when the dispatcher's loop has ended
	err        error         // why; valid then

	idleSince time.Time // when the Task was first seen drained
	latest    atomic.Pointer[dispatcher.Snapshot]
}

// Open sees to it that a dispatcher of the Task, as spec says it is now, runs. The error is a *RefusedError if a person must act;
// it may be tried again.
func (f *Flow) Open(spec spool.Spec, c Config) error {
	pipeline := Pipeline{Records: string(spec.OutputDir), RootExt: spec.InputExt}
	if c.Pipeline != nil {
		pipeline = *c.Pipeline
	}
	if f.dispatcher != nil && (f.over() || !reflect.DeepEqual(f.spec, spec) || !reflect.DeepEqual(f.pipeline, pipeline)) {
		if err := f.Close(); err != nil && !errors.Is(err, spool.ErrSuperseded) {
			return err
		}
	}
	if f.dispatcher != nil {
		return nil
	}
	steps, err := pipeline.compile()
	if err != nil {
		return err
	}
	if err := f.lockSpool(spec, pipeline, c); err != nil {
		return err
	}
	f.spec, f.pipeline = spec, pipeline
	chain, err := f.stage(steps, c.Staging)
	if err != nil {
		return errors.Join(c.Terms.storage("opening the log of staging", err), f.lock.Close())
	}
	f.begin(c, chain)
	return nil
}

// lockSpool makes the Task's spool, or opens it, and becomes its dispatcher.
func (f *Flow) lockSpool(spec spool.Spec, p Pipeline, c Config) error {
	if err := c.Terms.checkDirectories(&spec); err != nil {
		return err
	}
	if err := c.Terms.checkNeighbors(&spec, p.Records); err != nil {
		return err
	}
	if fault := p.Chain.Fault(); fault != "" {
		return refuse(InvalidDirectories, "%s", fault)
	}
	if err := f.findEarlier(&spec, p, c.Terms); err != nil {
		return err
	}
	dir := spool.Dir(p.Records, spec.Task)
	s, err := spool.Create(dir, c.Owner, spec)
	if err != nil {
		return c.Terms.storage("making the spool", err)
	}
	if c.Pipeline != nil {
		if err := checkHistory(s, &spec); err != nil {
			return err
		}
	}
	if f.contender == nil || f.contender.Spool.Path() != dir {
		f.contender = &spool.Contender{Spool: s, Owner: c.Owner, TakeOver: c.TakeOver}
	}
	if f.lock, err = f.contender.Try(); err != nil {
		if held, ok := errors.AsType[*spool.HeldError](err); ok {
			return c.Terms.inUse(held.Holder)
		}
		return c.Terms.storage("taking the spool's lock", err)
	}
	f.contender = nil
	if err := f.lock.Update(c.Owner, spec); err != nil {
		return errors.Join(c.Terms.storage("writing the spool", err), f.lock.Close())
	}
	return nil
}

// findEarlier looks for what an earlier run of TigerFlow has finished of the Task.
func (f *Flow) findEarlier(spec *spool.Spec, p Pipeline, terms Terms) (err error) {
	if f.earlier, err = spool.FindEarlier(p.Records, spec.Task, p.RootExt); err != nil {
		return terms.storage("looking for an earlier run", err)
	}
	if f.earlier == nil {
		return nil
	}
	pid, err := f.earlier.Running()
	if err != nil {
		return terms.storage("looking for an earlier run", err)
	}
	if pid != 0 {
		return refuse(OutputInUse, "%s is in use by a running TigerFlow, process %d: stop that one first, or choose another directory", terms.Output, pid)
	}
	return nil
}

// begin starts the loop.
func (f *Flow) begin(c Config, chain dispatcher.Chain) {
	ctx, cancel := context.WithCancel(context.Background())
	settle := c.Settle
	if settle == 0 {
		settle = Settle
	}
	var d *dispatcher.Dispatcher
	changed := func() {
		f.latest.Store(d.Snapshot())
		if c.Changed != nil {
			c.Changed(d.Snapshot())
		}
	}
	d = dispatcher.New(f.lock, dispatcher.Config{Settle: settle, Rest: c.Rest, Log: c.Log, OnChange: changed, Chain: chain, Earlier: f.earlier})
	f.dispatcher, f.executor, f.fleet = d, c.Executor, fleet.New(f.lock.Spool(), c.Executor, d)
	if f.earlyFleet != nil {
		f.fleet.Inherit(f.earlyFleet)
	}
	f.cancel, f.ended, f.err = cancel, make(chan struct{}), nil
	f.idleSince = time.Time{}
	go func() { // ends with Close
		f.err = d.Run(ctx)
		close(f.ended)
		if c.Changed != nil {
			c.Changed(d.Snapshot())
		}
	}()
}

// Running reports whether there is a dispatcher: Open has begun one and neither Close nor a Step has ended it.
func (f *Flow) Running() bool { return f.dispatcher != nil }

// Spool is the spool of the Task while its dispatcher runs; nil else.
func (f *Flow) Spool() *spool.Spool {
	if f.dispatcher == nil {
		return nil
	}
	return f.lock.Spool()
}

// Snapshot is what the dispatcher knew when it last had news; nil before it had any. It stays after the end. It may be called
// from any goroutine.
func (f *Flow) Snapshot() *dispatcher.Snapshot { return f.latest.Load() }

// Resume has a Task go on that is paused because its files failed alike.
func (f *Flow) Resume(ctx context.Context) error { return f.dispatcher.Resume(ctx) }

// over reports whether the loop has ended by itself.
func (f *Flow) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}
