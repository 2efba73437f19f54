package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/spool"
)

const settle = 2 * time.Second

// stall is a reason why nothing goes on until a person acts.
type stall struct {
	reason  v1alpha1.Reason
	message string
}

func (s *stall) Error() string { return s.message }

func stalled(reason v1alpha1.Reason, format string, args ...any) error {
	return &stall{reason: reason, message: fmt.Sprintf(format, args...)}
}

// flow is a Task that this process dispatches: its spool, the loop behind it, and its workers.
type flow struct {
	contender *spool.Contender
	lock      *spool.Lock
	spec      spool.Spec

	dispatcher *dispatcher.Dispatcher
	executor   executor.Executor
	fleet      *fleet.Fleet
	cancel     context.CancelFunc
	ended      chan struct{} // closed when the dispatcher's loop has ended
	err        error         // why; valid then

	completed int64     // the generation that came to its end
	idleSince time.Time // when the Task was first seen drained
	wrote     time.Time // when the counters were last written
	reported  *dispatcher.Snapshot
	seen      *dispatcher.Snapshot // the last that called for a reconcile; guarded by the Reconciler's mutex
	latest    atomic.Pointer[dispatcher.Snapshot]
}

// open sees to it that the dispatcher of the Task, as it is now, runs.
func (f *flow) open(t *v1alpha1.Task, owner spool.Owner, takeOver bool, e executor.Executor, log *slog.Logger, changed func(*dispatcher.Snapshot)) error {
	spec, err := spoolSpec(t)
	if err != nil {
		return err
	}
	if f.dispatcher != nil && (f.over() || !reflect.DeepEqual(f.spec, spec)) {
		if err := f.close(); err != nil && !errors.Is(err, spool.ErrSuperseded) {
			return err
		}
	}
	if f.dispatcher != nil {
		return nil
	}
	if err := f.lockSpool(spec, owner, takeOver); err != nil {
		return err
	}
	f.spec = spec
	f.begin(e, log, changed)
	return nil
}

// lockSpool makes the Task's spool, or opens it, and becomes its dispatcher.
func (f *flow) lockSpool(spec spool.Spec, owner spool.Owner, takeOver bool) error {
	if err := checkDirectories(&spec); err != nil {
		return err
	}
	if err := checkNeighbours(&spec); err != nil {
		return err
	}
	dir := spool.Dir(string(spec.OutputDir), spec.Task)
	s, err := spool.Create(dir, owner, spec)
	if err != nil {
		return storageStall("making the spool", err)
	}
	if f.contender == nil || f.contender.Spool.Path() != dir {
		f.contender = &spool.Contender{Spool: s, Owner: owner, TakeOver: takeOver}
	}
	if f.lock, err = f.contender.Try(); err != nil {
		if held, ok := errors.AsType[*spool.HeldError](err); ok {
			return inUse(held.Holder)
		}
		return storageStall("taking the spool's lock", err)
	}
	f.contender = nil
	if err := f.lock.Update(owner, spec); err != nil {
		return errors.Join(storageStall("writing the spool", err), f.lock.Close())
	}
	return nil
}

// inUse names the one who works on the output. It does not say when that one would count as dead: a status that says the
// same stays as it is.
func inUse(h spool.Holder) error {
	return stalled(v1alpha1.ReasonOutputInUse,
		"output.directory is in use by %s for %s: end that one first, or choose another directory; if it has died, it is taken over %s after its last sign of life",
		h.Process, h.Owner, spool.LeasePatience)
}

// begin starts the loop.
func (f *flow) begin(e executor.Executor, log *slog.Logger, changed func(*dispatcher.Snapshot)) {
	ctx, cancel := context.WithCancel(context.Background())
	var d *dispatcher.Dispatcher
	d = dispatcher.New(f.lock, dispatcher.Config{Settle: settle, Log: log, OnChange: func() { f.latest.Store(d.Snapshot()); changed(d.Snapshot()) }})
	f.dispatcher, f.executor, f.fleet = d, e, fleet.New(f.lock.Spool(), e, d)
	f.cancel, f.ended, f.err = cancel, make(chan struct{}), nil
	f.idleSince = time.Time{}
	go func() {
		f.err = d.Run(ctx)
		close(f.ended)
		changed(d.Snapshot())
	}()
}

// over reports whether the loop has ended by itself.
func (f *flow) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// close ends the loop and lets go of the spool.
func (f *flow) close() error {
	if f.dispatcher == nil {
		return nil
	}
	f.cancel()
	<-f.ended
	err := f.lock.Close()
	if f.err != nil && !errors.Is(f.err, context.Canceled) {
		err = errors.Join(f.err, err)
	}
	f.dispatcher, f.fleet, f.lock = nil, nil, nil
	return err
}
