package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// fullRetry is when it is looked again whether there is room for more workers.
const fullRetry = 30 * time.Second

// workers is the executor of this bridge as its Tasks see it: it remembers whose workers it starts, keeps to the limit of all
// workers, and counts them.
type workers struct {
	executor.Executor
	keys  *keys
	plane string
	trees trees
	most  int // workers at once; 0 is no limit

	starting chan struct{} // holds a token while it is looked whether there is room
	phases   atomic.Pointer[map[executor.Phase]int]
}

var (
	_ executor.Notifier = (*workers)(nil)
	_ executor.Adopter  = (*workers)(nil)
)

func newWorkers(e executor.Executor, k *keys, plane string, l *limits, all trees) *workers {
	w := &workers{Executor: e, keys: k, plane: plane, trees: all, starting: make(chan struct{}, 1)}
	if l.MaxWorkersInAll != nil {
		w.most = *l.MaxWorkersInAll
	}
	return w
}

// Start starts as many of the workers as there is room for, and says when to ask for the others.
func (w *workers) Start(ctx context.Context, specs []executor.Spec) error {
	specs = slices.Clone(specs)
	for i, s := range specs {
		if err := w.keys.add(w.plane, s.ID.Key, s.Spool); err != nil {
			return err
		}
		specs[i] = w.trees.bind(s)
	}
	if w.most == 0 {
		return w.Executor.Start(ctx, specs)
	}
	select {
	case w.starting <- struct{}{}:
		defer func() { <-w.starting }()
	case <-ctx.Done():
		return ctx.Err()
	}
	all, err := w.List(ctx)
	if err != nil {
		return err
	}
	fit := w.fitting(specs, all)
	if err := w.Executor.Start(ctx, fit); err != nil || len(fit) == len(specs) {
		return err
	}
	return &executor.WaitError{
		Reason: "BridgeFull", Until: time.Now().Add(fullRetry),
		Message: fmt.Sprintf("this bridge allows %d workers of all Tasks together (maxWorkersInAll of its limits file): more start as others end", w.most),
	}
}

// fitting is the workers that may be started. Those that are in the list already take no more room.
func (w *workers) fitting(specs []executor.Spec, all []executor.Worker) (fit []executor.Spec) {
	known, room := map[executor.WorkerID]bool{}, w.most
	for _, worker := range all {
		known[worker.ID] = true
		if w.keys.has(worker.ID.Key) && !worker.Phase.Terminal() {
			room--
		}
	}
	for _, s := range specs {
		if !known[s.ID] {
			if room <= 0 {
				continue
			}
			room--
		}
		fit = append(fit, s)
	}
	return fit
}

// List lists all workers of the user, and counts those of this bridge.
func (w *workers) List(ctx context.Context) ([]executor.Worker, error) {
	all, err := w.Executor.List(ctx)
	if err != nil {
		return nil, err
	}
	phases := map[executor.Phase]int{}
	for _, worker := range all {
		if w.keys.has(worker.ID.Key) {
			phases[worker.Phase]++
		}
	}
	w.phases.Store(&phases)
	return all, nil
}

// counts is how many workers of each phase the last listing had.
func (w *workers) counts() map[executor.Phase]int {
	if phases := w.phases.Load(); phases != nil {
		return maps.Clone(*phases)
	}
	return nil
}

// Changes passes on what the executor has to say, if it does.
func (w *workers) Changes() <-chan struct{} {
	if n, ok := w.Executor.(executor.Notifier); ok {
		return n.Changes()
	}
	return nil
}

// Adopt has the executor follow a worker, if it may forget some.
func (w *workers) Adopt(id executor.WorkerID, spool string) {
	if a, ok := w.Executor.(executor.Adopter); ok {
		a.Adopt(id, spool)
	}
}
