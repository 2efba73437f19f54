// Package fleet keeps the right workers running for one Task: it compares what the dispatcher sees of them on disk with
// what the executor lists, tells the dispatcher of ends, decides by package scaling how many there should be, and starts
// and drains. It knows no control plane.
package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/scaling"
	"tigerflow.dev/tigerflow/spool"
)

// Need is what a Task asks of its workers.
type Need struct {
	Task                 string // the author's name
	Min, Max, MaxPending int
	DrainTarget          time.Duration // in which the backlog should be done
	IdleTimeout          time.Duration // after which a worker beyond Min leaves
	DrainTimeout         time.Duration
	WallTime             time.Duration // of one worker; 0 is no limit
	Resources            executor.Resources
	Container            executor.Container
	Slurm                executor.Slurm
	Suspended            bool // drain to none
}

// Report is what a Step found.
type Report struct {
	Pending, Running, Desired int           // workers
	Held                      int           // of Pending: not before a person acts
	Draining                  int           // of Running: they take nothing more
	Message                   string        // why so many are desired
	Stall                     *Stall        // a person must act; now and then one worker tries whether that was done
	Crashing                  *spool.Exit   // workers end badly; the next is started after a pause
	Next                      time.Duration // when to step again if nothing happens; 0 is never
}

// Stall is the end of a worker that the next one would share.
type Stall struct {
	Reason  spool.ExitReason
	Failure spool.Failure
}

// Dispatcher is what a Fleet needs of one.
type Dispatcher interface {
	WorkerEnded(ctx context.Context, id string, end dispatcher.End) error
}

// Fleet is the workers of one Task. It is not safe for use from several goroutines.
type Fleet struct {
	spool      *spool.Spool
	executor   executor.Executor
	dispatcher Dispatcher

	swept  bool
	missed map[string]int    // listings in a row without a worker that lives by its folder
	born   map[string]string // revision of each live worker
	told   map[string]bool   // ends that were learnt from
	used   map[int]int       // by slot: the highest restart number that is known to have been used
	ladder ladder
}

// New makes the Fleet of a spool whose lock this process holds.
func New(s *spool.Spool, e executor.Executor, d Dispatcher) *Fleet {
	return &Fleet{
		spool: s, executor: e, dispatcher: d,
		missed: map[string]int{}, born: map[string]string{}, told: map[string]bool{}, used: map[int]int{},
	}
}

// Step does what can be done now. all is the executor's list, whoever's the workers.
func (f *Fleet) Step(ctx context.Context, now time.Time, need Need, snap *dispatcher.Snapshot, all []executor.Worker) (Report, error) {
	if err := f.sweep(ctx); err != nil {
		return Report{}, err
	}
	mine := f.mine(all)
	if err := f.ends(ctx, snap, mine); err != nil {
		return Report{}, err
	}
	if err := f.learn(now, snap, mine); err != nil {
		return Report{}, err
	}
	if err := f.forget(ctx, snap, mine); err != nil {
		return Report{}, err
	}
	r := f.count(mine)
	r.Stall, r.Crashing = f.ladder.stall, f.ladder.last
	if snap.Recovering {
		return r, nil
	}
	plan := scaling.Desired(f.input(need, snap, r))
	r.Desired, r.Message = plan.Workers, plan.Message
	return f.apply(ctx, now, need, snap, mine, r)
}

// mine picks this Task's workers.
func (f *Fleet) mine(all []executor.Worker) map[string]executor.Worker {
	mine := map[string]executor.Worker{}
	for _, w := range all {
		if w.ID.Key == f.spool.ID() {
			mine[w.ID.String()] = w
			f.use(w.ID)
		}
	}
	return mine
}

// use notes that an id is taken for ever, also once no list and no folder tells of it.
func (f *Fleet) use(id executor.WorkerID) { f.used[id.Index] = max(f.used[id.Index], id.Restart) }

// sweep ends what a killed predecessor of this executor left, once.
func (f *Fleet) sweep(ctx context.Context) error {
	s, ok := f.executor.(executor.Sweeper)
	if !ok || f.swept {
		return nil
	}
	if err := s.Sweep(ctx, f.spool.ID()); err != nil {
		return fmt.Errorf("ending workers of an earlier run: %w", err)
	}
	f.swept = true
	return nil
}

// missesUntilLost is how many good listings in a row must lack a worker before it counts as ended. Where the executor's
// workers end with it, and an earlier one's were swept, one is enough.
func (f *Fleet) missesUntilLost() int {
	if f.swept {
		return 1
	}
	return 3
}

// ends tells the dispatcher of workers that have ended.
func (f *Fleet) ends(ctx context.Context, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	for _, state := range snap.Workers {
		end := dispatcher.End{}
		w, listed := mine[state.ID]
		switch {
		case listed && !w.Phase.Terminal():
			delete(f.missed, state.ID)
			continue
		case listed:
			end = dispatcher.End{Blame: w.Phase.Blames(), Message: describe(w)}
		default:
			if f.missed[state.ID]++; f.missed[state.ID] < f.missesUntilLost() {
				continue
			}
			end.Message = "not there any more"
		}
		if err := f.dispatcher.WorkerEnded(ctx, state.ID, end); err != nil {
			return err
		}
		delete(f.missed, state.ID)
		delete(f.born, state.ID)
	}
	return nil
}

func describe(w executor.Worker) string {
	switch {
	case w.Reason != "":
		return w.Reason
	case w.Exit != nil:
		return w.Exit.String()
	}
	return string(w.Phase)
}

// forget drops ended workers from the executor's list once nothing depends on them.
func (f *Fleet) forget(ctx context.Context, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	var ids []executor.WorkerID
	for id, w := range mine {
		live := slices.ContainsFunc(snap.Workers, func(s dispatcher.WorkerState) bool { return s.ID == id })
		if w.Phase.Terminal() && !live && f.told[id] {
			ids = append(ids, w.ID)
			delete(f.told, id)
			delete(mine, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return f.executor.Forget(ctx, ids)
}

func (f *Fleet) count(mine map[string]executor.Worker) Report {
	var r Report
	for id, w := range mine {
		switch w.Phase {
		case executor.Pending, executor.Starting:
			r.Pending++
		case executor.Held:
			r.Pending++
			r.Held++
		case executor.Running, executor.Suspended, executor.Unknown:
			r.Running++
			if f.outOfDate(id) { // it is about to be drained
				r.Draining++
			}
		case executor.Terminating:
			r.Running++
			r.Draining++
		default: // they have ended
		}
	}
	return r
}

func (f *Fleet) input(need Need, snap *dispatcher.Snapshot, r Report) scaling.Input {
	spec := f.spool.Spec()
	return scaling.Input{
		Min: need.Min, Max: need.Max, MaxPending: need.MaxPending, DrainTarget: need.DrainTarget, Suspended: need.Suspended,
		Backlog: int(snap.Pending - snap.HeldBack), InHand: int(snap.Running), PerFile: time.Duration(snap.SecondsPerFile * float64(time.Second)),
		Concurrency: spec.InHand(), Pending: r.Pending - r.Held, Running: r.Running - r.Draining, Draining: r.Draining, Held: r.Held,
	}
}
