// Package fleet keeps the right workers running for one Task: it compares what the dispatcher sees of them on disk with
// what the executor lists, tells the dispatcher of ends, decides by package scaling how many there should be, and starts
// and drains. It knows no control plane.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/scaling"
	"tigerflow.dev/tigerflow/spool"
)

// Need is what a Task asks of its workers.
type Need struct {
	Task                 string        // the author's name
	Min, Max, MaxPending int           // MaxPending of workers; 0 is no bound
	MaxQueued            int           // start-ups of which workers wait in a queue; 0 is no bound
	DrainTarget          time.Duration // in which the backlog should be done
	IdleTimeout          time.Duration // after which a worker beyond Min leaves
	DrainTimeout         time.Duration
	WallTime             time.Duration // of one worker; 0 is no limit
	Resources            executor.Resources
	Container            executor.Container
	Slurm                executor.Slurm
	Pod                  string // what else a backend of pods is asked for, in any spelling
	Suspended            bool   // drain to none
}

// Report is what a Step found.
type Report struct {
	Pending, Running, Desired int                    // workers
	Held                      int                    // of Pending: not before a person acts
	Draining                  int                    // of Running: they take nothing more
	Leaving                   int                    // of Running: their wall time is nearly up while files wait
	Queued                    int                    // start-ups of which workers are Pending
	Waits, HeldBy             Example                // of the Pending workers, and of the Held ones
	Message                   string                 // why so many are desired
	Stall                     *Stall                 // a person must act; now and then one worker tries whether that was done
	Mend                      *executor.StalledError // what the executor says a person must mend for workers to start; nil if nothing
	Unreachable               Example                // of the workers that live by the files alone; Ref is empty if there is none
	Avoided                   []Avoided              // nodes that new workers keep off
	Crashing                  *spool.Exit            // workers end badly; the next is started after a pause
	Next                      time.Duration          // when to step again if nothing happens; 0 is never
}

// Example is one worker of several.
type Example struct {
	Reason string // the backend's words for its phase; may be empty
	Ref    string // what the backend calls it; may be empty
}

// Avoided is a node on which workers failed to work.
type Avoided struct {
	Node string // as the backend calls it
	Why  string // how the last of them ended
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

	swept   bool
	missed  map[string]int         // listings in a row without a worker that lives by its folder
	born    map[string]*spool.Born // of workers that were looked at since they were born
	known   map[string]knowledge   // of each listed worker
	looked  time.Time              // when it was last looked which workers have been born
	used    map[int]int            // by slot: the highest restart number that is known to have been used
	ask     string                 // digest of what is asked of the backend for each worker now
	asked   map[string]string      // by worker: that of what was asked for it; nil is not known yet
	took    time.Duration          // from starting the last worker until it lived
	least   time.Duration          // of all that it took so far; 0 is not known yet
	begun   int                    // workers of the largest start-up of which one has lived
	ladder  ladder
	nodes   nodes
	hold    hold
	refusal refusal
}

// knowledge is what a Fleet remembers of a worker for as long as the list has it.
type knowledge struct {
	at       time.Time // when it was started by this process; zero once it lives
	with     int       // how many workers were started then
	seen     bool      // it has been born
	stopping bool      // it was asked to end
	over     bool      // it has left its last word
	told     bool      // its end was learnt from
}

// New makes the Fleet of a spool whose lock this process holds.
func New(s *spool.Spool, e executor.Executor, d Dispatcher) *Fleet {
	return &Fleet{
		spool: s, executor: e, dispatcher: d,
		missed: map[string]int{}, born: map[string]*spool.Born{}, known: map[string]knowledge{}, used: map[int]int{},
		nodes: nodes{},
	}
}

// Inherit takes over what an earlier Fleet of the same Task knows of its workers, and of those who want none.
func (f *Fleet) Inherit(earlier *Fleet) {
	f.known, f.used, f.hold, f.asked = earlier.known, earlier.used, earlier.hold, earlier.asked
	f.took, f.least, f.begun, f.nodes = earlier.took, earlier.least, earlier.begun, earlier.nodes
}

// Step does what can be done now. all is the executor's list, whoever's the workers. The error is a *executor.WaitError or
// a *executor.StalledError when no worker can be started for that reason; the Report holds then, too.
func (f *Fleet) Step(ctx context.Context, now time.Time, need Need, snap *dispatcher.Snapshot, all []executor.Worker) (Report, error) {
	if err := f.sweep(ctx); err != nil {
		return Report{}, err
	}
	if err := f.recall(); err != nil {
		return Report{}, err
	}
	f.ask = need.digest()
	mine := f.mine(all)
	if err := f.see(now, snap, mine); err != nil {
		return Report{}, err
	}
	f.doubt(now, snap, mine)
	if err := f.ends(ctx, snap, mine); err != nil {
		return Report{}, err
	}
	if err := f.learn(ctx, now, snap, mine); err != nil {
		return Report{}, err
	}
	if err := f.forget(ctx, snap, mine); err != nil {
		return Report{}, err
	}
	if err := f.cancelIdle(ctx, need, snap, mine); err != nil {
		return Report{}, err
	}
	r := f.count(now, need, snap, mine)
	r.Stall, r.Crashing = f.ladder.stall, f.ladder.last
	r.Mend = cmp.Or(r.Mend, f.ladder.mend)
	r.Avoided = f.nodes.avoided(now)
	if snap.Recovering {
		return r, nil
	}
	plan := scaling.Desired(f.input(need, snap, r))
	r.Desired, r.Message = plan.Workers, plan.Message
	return f.apply(ctx, now, need, snap, mine, r)
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

func (f *Fleet) count(now time.Time, need Need, snap *dispatcher.Snapshot, mine map[string]executor.Worker) Report {
	var r Report
	type startUp struct {
		restart int
		at      time.Time // tells those of slots that were never filled before apart
	}
	queued := map[startUp]bool{}
	for _, id := range slices.Sorted(maps.Keys(mine)) {
		w := mine[id]
		if w.Phase == executor.Unknown && w.Ref != "" && r.Unreachable == (Example{}) {
			r.Unreachable = Example{Reason: w.Reason, Ref: w.Ref}
		}
		switch {
		case w.Phase.Terminal():
		case w.Phase == executor.Terminating, f.outOfDate(w): // or it is about to be drained
			r.Running++
			r.Draining++
		case waits(w):
			r.Pending++
			r.example(w)
			if w.Phase != executor.Starting {
				queued[startUp{w.ID.Restart, f.known[id].at}] = true
			}
		default:
			r.Running++
			if f.leaving(now, need, snap, w) {
				r.Leaving++
			}
		}
	}
	r.Queued = len(queued)
	return r
}

// waits reports whether a worker has been started and does not run yet.
func waits(w executor.Worker) bool {
	return w.Phase == executor.Pending || w.Phase == executor.Held || w.Phase == executor.Starting
}

// example counts the held, and keeps the first worker that waits and the first that is held.
func (r *Report) example(w executor.Worker) {
	to := &r.Waits
	if w.Phase == executor.Held {
		to = &r.HeldBy
		r.Held++
		r.Mend = cmp.Or(r.Mend, w.Stall)
	}
	if *to == (Example{}) {
		*to = Example{Reason: w.Reason, Ref: w.Ref}
	}
}

func (f *Fleet) input(need Need, snap *dispatcher.Snapshot, r Report) scaling.Input {
	spec := f.spool.Spec()
	draining := r.Draining + r.Leaving
	return scaling.Input{
		Min: need.Min, Max: need.Max, MaxPending: need.MaxPending, MaxQueued: need.MaxQueued, DrainTarget: need.DrainTarget, Suspended: need.Suspended,
		Backlog: int(snap.Pending - snap.HeldBack), InHand: int(snap.Running), PerFile: time.Duration(snap.SecondsPerFile * float64(time.Second)),
		Concurrency: spec.InHand(), Startup: f.least, Begun: f.begun, Pending: r.Pending - r.Held, Queued: r.Queued, Running: r.Running - draining, Draining: draining, Held: r.Held,
	}
}
