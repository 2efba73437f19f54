// Package process runs workers as child processes on the local machine. They never outlive it: not a drained or crashed
// worker's children, not the workers of a process that was itself killed.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/tether"
)

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Notifier = (*Executor)(nil)
	_ executor.Sweeper  = (*Executor)(nil)
)

var errClosed = errors.New("the executor is closed")

// Executor starts workers as processes and is the witness of their ends. It must be closed.
type Executor struct {
	binary   string
	stdout   *os.File // of workers; nil is their log
	env      []string // more of the environment of workers
	maxEnded int
	changes  chan struct{}

	// Each worker reads the one end, which ends with this process: nobody else has the other.
	lifelineRead, lifelineWrite *os.File

	open    context.Context // ends when Close begins: nothing is started any more
	shut    context.CancelFunc
	reaping context.Context // ends when Close does: what cannot be killed is left
	leave   context.CancelFunc
	reapers sync.WaitGroup

	starting chan struct{}   // holds a token while workers are being started
	swept    map[string]bool // keys; guarded by starting

	mu      sync.Mutex
	workers map[executor.WorkerID]*worker
	ended   []executor.WorkerID // the oldest first
}

// Option changes what workers are given.
type Option func(*Executor)

// WithStdout has workers write their stdout to f, with variables in their environment that ask them for something to
// write. Their stderr still goes to their logs.
func WithStdout(f *os.File, env ...string) Option {
	return func(e *Executor) { e.stdout, e.env = f, env }
}

// New returns an executor that runs the given worker program.
func New(binary string, options ...Option) (*Executor, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making the workers' lifeline: %w", err)
	}
	e := &Executor{
		binary:        binary,
		maxEnded:      executor.MaxEnded,
		changes:       make(chan struct{}, 1),
		lifelineRead:  read,
		lifelineWrite: write,
		starting:      make(chan struct{}, 1),
		swept:         map[string]bool{},
		workers:       map[executor.WorkerID]*worker{},
	}
	e.open, e.shut = context.WithCancel(context.Background())
	e.reaping, e.leave = context.WithCancel(context.Background())
	for _, option := range options {
		option(e)
	}
	return e, nil
}

// Start starts the workers one after the other and stops at the first that fails.
func (e *Executor) Start(ctx context.Context, specs []executor.Spec) error {
	ctx, done, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, s := range specs {
		if err := e.start(ctx, s); err != nil {
			return fmt.Errorf("starting worker %s: %w", s.ID, err)
		}
	}
	return nil
}

// Sweep ends the workers of the key that a killed predecessor left on this machine.
func (e *Executor) Sweep(ctx context.Context, key string) error {
	ctx, done, err := e.acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	return e.sweep(ctx, key)
}

// acquire waits for the right to start or sweep. The context it returns ends when Close begins, too.
func (e *Executor) acquire(ctx context.Context) (context.Context, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(e.open, cancel)
	select {
	case <-ctx.Done():
	case e.starting <- struct{}{}:
		if e.over(ctx) == nil {
			return ctx, func() { <-e.starting; unlink(); cancel() }, nil
		}
		<-e.starting
	}
	defer cancel()
	defer unlink()
	return nil, nil, e.over(ctx)
}

// over says why nothing is to be started any more, if so.
func (e *Executor) over(ctx context.Context) error {
	if e.open.Err() != nil {
		return errClosed
	}
	return ctx.Err()
}

func (e *Executor) sweep(ctx context.Context, key string) error {
	if e.swept[key] {
		return nil
	}
	if err := tether.EndKey(ctx, key); err != nil {
		return err
	}
	e.swept[key] = true
	return nil
}

func (e *Executor) start(ctx context.Context, s executor.Spec) error {
	if err := e.over(ctx); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return &executor.StalledError{Reason: ReasonInvalidWorker, Message: err.Error(), Err: err}
	}
	if e.find(s.ID) != nil {
		return nil
	}
	if err := e.sweep(ctx, s.ID.Key); err != nil {
		return err
	}
	cmd, err := e.spawn(ctx, s)
	if err != nil {
		return err
	}
	w := newWorker(s, cmd)
	e.mu.Lock()
	e.workers[s.ID] = w
	e.mu.Unlock()
	e.reapers.Go(func() { e.reap(w) })
	e.notify()
	return nil
}

// List tells what is known; it asks nobody.
func (e *Executor) List(ctx context.Context) ([]executor.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]executor.Worker, 0, len(e.workers))
	for _, w := range e.workers {
		all = append(all, w.Worker)
	}
	slices.SortFunc(all, func(a, b executor.Worker) int { return a.ID.Compare(b.ID) })
	return all, nil
}

// Stop signals the workers: SIGTERM to drain, SIGKILL to kill and when the time to drain is over.
func (e *Executor) Stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if w := e.workers[id]; w != nil {
			e.stop(w, mode)
		}
	}
	return nil
}

// Forget drops ended workers.
func (e *Executor) Forget(ctx context.Context, ids []executor.WorkerID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if w := e.workers[id]; w != nil && w.Phase.Terminal() {
			e.drop(id)
			e.notify()
		}
	}
	return nil
}

// Changes receives after any change of the list.
func (e *Executor) Changes() <-chan struct{} { return e.changes }

func (e *Executor) notify() {
	select {
	case e.changes <- struct{}{}:
	default: // the reader has yet to take the last one, which covers this
	}
}

func (e *Executor) find(id executor.WorkerID) *worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.workers[id]
}

// drop removes an ended worker; e.mu is held.
func (e *Executor) drop(id executor.WorkerID) {
	delete(e.workers, id)
	e.ended = slices.DeleteFunc(e.ended, func(old executor.WorkerID) bool { return old == id })
}

// killPatience is how long Close waits for killed workers to be gone.
const killPatience = 5 * time.Second

// Close starts no more workers, lets the running ones drain for as long as ctx and their own time allow, kills what is
// left then, and returns when no process is left. It fails if some cannot be killed, as a process that hangs in a
// network file system cannot. Afterwards List still tells how they ended.
func (e *Executor) Close(ctx context.Context) error {
	e.shut()
	e.starting <- struct{}{} // whoever was starting has done so, and nobody will again
	<-e.starting
	defer e.leave()
	defer e.lifelineRead.Close()
	defer e.lifelineWrite.Close()

	gone := make(chan struct{})
	go func() { // ends with the last reaper, at the latest after e.leave
		e.reapers.Wait()
		close(gone)
	}()
	e.stopAll(executor.Drain)
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	e.stopAll(executor.Kill)
	select {
	case <-gone:
		return nil
	case <-time.After(killPatience):
		return fmt.Errorf("%d workers do not end although they were killed", e.alive())
	}
}
