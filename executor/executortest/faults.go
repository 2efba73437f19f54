package executortest

import (
	"context"
	"sync"

	"tigerflow.dev/tigerflow/executor"
)

// Method names a method of executor.Executor.
type Method string

// The methods that can be made to fail.
const (
	Start  Method = "Start"
	List   Method = "List"
	Stop   Method = "Stop"
	Forget Method = "Forget"
)

// Faults passes calls on to a real executor, and makes them fail as backends do: to test what callers do then.
type Faults struct {
	inner executor.Executor

	mu      sync.Mutex
	before  map[Method][]error
	after   map[Method][]error
	rewrite func([]executor.Worker) []executor.Worker
}

var (
	_ executor.Executor = (*Faults)(nil)
	_ executor.Notifier = (*Faults)(nil)
)

// NewFaults wraps an executor; it injects nothing yet.
func NewFaults(e executor.Executor) *Faults {
	return &Faults{inner: e, before: map[Method][]error{}, after: map[Method][]error{}}
}

// Refuse makes the next call of the method that has no fault yet fail before it reaches the executor.
func (f *Faults) Refuse(m Method, err error) { f.inject(f.before, m, err) }

// LoseAnswer makes the next call of the method that has no fault yet fail after the executor has done it, as when a
// connection breaks.
func (f *Faults) LoseAnswer(m Method, err error) { f.inject(f.after, m, err) }

func (f *Faults) inject(into map[Method][]error, m Method, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	into[m] = append(into[m], err)
}

// Rewrite changes every list from now on, to show phases that the real executor does not have, or to hide workers. Nil
// ends it.
func (f *Faults) Rewrite(change func([]executor.Worker) []executor.Worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rewrite = change
}

func (f *Faults) call(m Method, do func() error) error {
	if err := f.take(f.before, m); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return f.take(f.after, m)
}

func (f *Faults) take(from map[Method][]error, m Method) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(from[m]) == 0 {
		return nil
	}
	err := from[m][0]
	from[m] = from[m][1:]
	return err
}

// Start starts workers unless it is made to fail.
func (f *Faults) Start(ctx context.Context, specs []executor.Spec) error {
	return f.call(Start, func() error { return f.inner.Start(ctx, specs) })
}

// List lists workers unless it is made to fail.
func (f *Faults) List(ctx context.Context) (workers []executor.Worker, err error) {
	err = f.call(List, func() (err error) {
		workers, err = f.inner.List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rewrite != nil {
		workers = f.rewrite(workers)
	}
	return workers, nil
}

// Stop stops workers unless it is made to fail.
func (f *Faults) Stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	return f.call(Stop, func() error { return f.inner.Stop(ctx, ids, mode) })
}

// Forget drops ended workers unless it is made to fail.
func (f *Faults) Forget(ctx context.Context, ids []executor.WorkerID) error {
	return f.call(Forget, func() error { return f.inner.Forget(ctx, ids) })
}

// Changes is the executor's own; one that cannot notify never does.
func (f *Faults) Changes() <-chan struct{} {
	if n, ok := f.inner.(executor.Notifier); ok {
		return n.Changes()
	}
	return nil
}
