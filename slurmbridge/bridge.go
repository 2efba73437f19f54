package slurmbridge

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

var (
	_ executor.Executor = (*Executor)(nil)
	_ executor.Notifier = (*Executor)(nil)
	_ executor.Adopter  = (*Executor)(nil)
	_ executor.Doubter  = (*Executor)(nil)
)

// Config is what an Executor is told.
type Config struct {
	// Install puts the worker program into a folder that the compute nodes see, once, and returns its path.
	Install func(dir string) (string, error)
	// Env is the environment of sbatch, which the jobs inherit; see Environment. Nil is that of this process.
	Env []string
	// Apptainer is the program that runs images on the nodes; empty is apptainer.
	Apptainer string
	// Observe is called after each call of a command of Slurm; nil observes nothing. It must not block.
	Observe func(tool string, took time.Duration, err error)
	Log     *slog.Logger

	timing timing
}

// timing is how often the cluster is asked.
type timing struct {
	list     time.Duration // between two listings: 120 an hour
	soon     time.Duration // from a submission until it is looked what came of it
	stopped  time.Duration // from a cancellation until then
	retry    time.Duration // after a listing that failed; doubled each time, up to list
	absent   time.Duration // between two listings while a worker is missing from them
	signals  time.Duration // for which a worker that goes on is signaled with each listing
	messages time.Duration // how long slurmctld may sit on a request; 0 is the cluster's MessageTimeout
}

var usual = timing{list: 30 * time.Second, soon: 2 * time.Second, stopped: time.Second, retry: 2 * time.Second, absent: 10 * time.Second, signals: 45 * time.Second}

// missesUntilLost is how many good listings in a row must lack a worker that nothing else is known of.
const missesUntilLost = 3

// Executor runs workers as elements of Slurm's job arrays. They outlive it: another one of the same user goes on with them.
// It must be closed.
type Executor struct {
	cfg   Config
	tools *tools

	open    context.Context // ends when Close begins
	shut    context.CancelFunc
	ended   chan struct{} // closed when the follower has ended
	changes chan struct{}
	kicked  chan struct{} // the follower is to look when the next listing is due

	submitting chan struct{}   // holds a token while jobs are being submitted
	listing    chan struct{}   // holds a token while the cluster is asked
	limits     *limits         // of the cluster; guarded by submitting
	found      map[string]bool // spools whose records were read; guarded by submitting

	mu         sync.Mutex
	workers    map[executor.WorkerID]*worker
	forgotten  map[executor.WorkerID]bool // until a listing lacks them
	doubts     map[string]*record         // by name of the job
	listed     time.Time                  // when the last good listing began; zero is never
	failed     error                      // why the last listing is not a good one
	failures   int                        // in a row
	due        time.Time                  // when the next listing is to begin; zero is not before something happens
	noAccounts time.Time                  // when it was last found that sacct knows nothing
}

// New returns an executor that submits jobs as the user who runs this process.
func New(c Config) (*Executor, error) {
	if err := find("sbatch", "squeue", "scancel", "scontrol"); err != nil {
		return nil, err
	}
	if c.timing == (timing{}) {
		c.timing = usual
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	e := &Executor{
		cfg: c, tools: &tools{env: c.Env, observe: c.Observe},
		ended: make(chan struct{}), changes: make(chan struct{}, 1), kicked: make(chan struct{}, 1),
		submitting: make(chan struct{}, 1), listing: make(chan struct{}, 1), found: map[string]bool{},
		workers: map[executor.WorkerID]*worker{}, forgotten: map[executor.WorkerID]bool{}, doubts: map[string]*record{},
	}
	e.open, e.shut = context.WithCancel(context.Background())
	go e.follow() // ends with Close
	return e, nil
}

// Close lets go of the workers, which go on. Calls that are under way end with an error.
func (e *Executor) Close() {
	e.shut()
	<-e.ended
}

// List answers from the last listing of the cluster, which is at most half a minute old, and from what was asked for since.
// It fails while the cluster does not answer.
func (e *Executor) List(ctx context.Context) ([]executor.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	never := e.listed.IsZero() && e.failed == nil
	e.mu.Unlock()
	if never {
		if err := e.refresh(ctx); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failed != nil {
		return nil, e.failed
	}
	list := make([]executor.Worker, 0, len(e.workers))
	for _, w := range e.workers {
		list = append(list, w.Worker)
	}
	slices.SortFunc(list, func(a, b executor.Worker) int { return a.ID.Compare(b.ID) })
	return list, nil
}

// Forget drops ended workers. Listings may show them for some minutes more.
func (e *Executor) Forget(ctx context.Context, ids []executor.WorkerID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if w := e.workers[id]; w != nil && w.Phase.Terminal() {
			delete(e.workers, id)
			e.forgotten[id] = true
		}
	}
	return nil
}

// Adopt follows a worker that lives by its folder, as those do that the cluster has dropped from its list while no bridge
// was there: it is Unknown until its end is found.
func (e *Executor) Adopt(id executor.WorkerID, ref string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.workers[id] != nil {
		return
	}
	delete(e.forgotten, id)
	w := &worker{Worker: executor.Worker{ID: id, Phase: executor.Unknown}, from: time.Now()}
	array, element, _ := strings.Cut(ref, "_")
	if n, err := strconv.Atoi(element); err == nil {
		w.array, w.element, w.Ref = array, n, ref
	}
	e.workers[id] = w
	e.lookIn(e.cfg.timing.soon)
}

// Changes receives after any change of the list since the last receive.
func (e *Executor) Changes() <-chan struct{} { return e.changes }

func (e *Executor) notify() {
	select {
	case e.changes <- struct{}{}:
	default:
	}
}

// lookIn has the cluster listed after d, or sooner; e.mu is held.
func (e *Executor) lookIn(d time.Duration) {
	at := time.Now().Add(d)
	if e.due.IsZero() || at.Before(e.due) {
		e.due = at
		select {
		case e.kicked <- struct{}{}:
		default:
		}
	}
}

// jittered keeps bridges of one site from asking all at once.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration(rand.Float64()*float64(d)/5)
}

// bound drops the oldest ends that nobody has asked to be forgotten; e.mu is held.
func (e *Executor) bound() {
	var ended []*worker
	for _, w := range e.workers {
		if w.Phase.Terminal() {
			ended = append(ended, w)
		}
	}
	if len(ended) <= executor.MaxEnded {
		return
	}
	slices.SortFunc(ended, func(a, b *worker) int { return a.EndedAt.Compare(b.EndedAt) })
	for _, w := range ended[:len(ended)-executor.MaxEnded] {
		delete(e.workers, w.ID)
		e.forgotten[w.ID] = true
	}
}

// clone is a copy of what is known, for decisions outside the lock.
func (e *Executor) clone() map[executor.WorkerID]worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make(map[executor.WorkerID]worker, len(e.workers))
	for id, w := range maps.All(e.workers) {
		all[id] = *w
	}
	return all
}
