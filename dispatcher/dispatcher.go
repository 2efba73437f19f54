// Package dispatcher is the loop behind one Task: it finds the inputs, feeds them to the workers through the spool, folds
// what the workers' journals say into the ledger, recovers what dead workers held, and counts. It is the sole writer of
// queue, ledger and error files. It knows files and the spool, and neither who starts workers nor any control plane.
package dispatcher

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
)

const (
	pollFirst = 200 * time.Millisecond
	pollLast  = 5 * time.Second
	// roundGap keeps hints, which come with every write, from making rounds of nothing. After a rest the first ones may
	// follow each other sooner, so that a single file goes through at once.
	roundGap  = 10 * time.Millisecond
	firstGap  = time.Millisecond
	roundRest = 100 * time.Millisecond
	// syncGap is how long the ledger may be ahead of the disk: the outputs themselves tell what it would lose.
	syncGap = time.Second
	// syncRest is syncGap for a Task without durability. Only a sync tells of data that the storage refused behind a write that
	// succeeded: the hole that it leaves hides all later entries from children and from the next dispatcher.
	syncRest = 5 * time.Second
)

// Config is what a dispatcher is told.
type Config struct {
	Chain    Chain          // the Tasks around it; none if empty
	Earlier  *spool.Earlier // what it finished counts as done; nil if there is none
	Settle   time.Duration  // how long an input must not have changed before it is taken
	Rest     time.Duration  // least time between two rounds while the workers have enough to do; 0 is none
	Log      *slog.Logger
	OnChange func() // called by the loop after each round that changed the Snapshot; it must not block
}

// Dispatcher is the loop of one Task.
type Dispatcher struct {
	cfg   Config
	lock  *spool.Lock
	spool *spool.Spool
	spec  *spool.Spec
	log   *slog.Logger
	wake  *wake.Watcher
	calls chan func()
	over  chan struct{} // closed when Run returns

	*index
	workers  map[string]*worker // nil if it has ended
	roll     roll
	inputs   discovery
	verdicts []spool.Name // given up, the error file not yet written
	recent   []Failure
	storage  *Trouble // the dispatcher's own
	asked    requests
	breaker  breaker
	chain    chain
	stager   stager
	lead     lead
	imported bool // all of cfg.Earlier is taken over, says the ledger

	pace    float64 // seconds of user code per file, smoothed; 0 before the first
	size    int     // of the last batch
	quiet   int     // rounds in a row without news
	renewAt time.Time
	syncAt  time.Time
	auditAt time.Time // when batches are next looked for on disk
	dirty   bool      // entries since the last sync

	earlier     int64 // files that were done or had failed when they were found
	queuedFiles int64 // in batches that no worker has claimed
	checked     bool  // the output folder was looked at since the last file was done
	checkedAt   time.Time
	checkTook   time.Duration

	snapshot atomic.Pointer[Snapshot]
}

// New makes the dispatcher of a spool whose lock is held.
func New(lock *spool.Lock, cfg Config) *Dispatcher {
	d := &Dispatcher{
		cfg: cfg, lock: lock, spool: lock.Spool(), spec: lock.Spool().Spec(), log: cfg.Log,
		calls: make(chan func()), over: make(chan struct{}), index: newIndex(), workers: map[string]*worker{}, size: 1,
	}
	d.asked = requests{answered: map[string]bool{}, odd: map[string]bool{}, heeded: map[string]bool{}}
	d.chain = newChain(cfg.Chain, d.spec, d.spool.Path())
	d.stager, d.lead = newStager(cfg.Chain.Lead), newLead(cfg.Chain.Lead, d.spec)
	d.breaker.limits = d.spec.Breaker
	d.snapshot.Store(&Snapshot{Recovering: true})
	return d
}

// Run dispatches until ctx ends or another dispatcher takes over (spool.ErrSuperseded). It does not close the lock.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer close(d.over)
	d.wake = wake.New()
	defer d.wake.Close()
	d.wake.Add(d.spool.RequestsDir())
	defer d.stager.stop()
	if err := d.recover(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time
	gap := firstGap
	for {
		began := time.Now()
		if gap = min(2*gap, roundGap); began.Sub(last) > roundRest {
			gap = firstGap
		}
		last = began
		next, err := d.round(ctx, began)
		if err != nil {
			return err
		}
		select { // hints that came during the round are worth one more, but not at once
		case <-ctx.Done():
			return d.settleLedger()
		case call := <-d.calls:
			call()
			continue
		case <-time.After(max(gap, together(began, d.respite(), d.cfg.Rest)) - time.Since(began)):
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return d.settleLedger()
		case call := <-d.calls:
			call()
		case <-d.wake.C():
		case d.stager.choice = <-d.stager.answers:
		case <-timer.C:
		}
	}
}

// respite is how long nothing needs to be looked at: half of the time for which what is queued keeps the workers busy, at most.
func (d *Dispatcher) respite() time.Duration {
	if d.cfg.Rest == 0 || d.queuedFiles == 0 {
		return 0
	}
	busy := d.pace * float64(d.queuedFiles) / float64(max(1, d.live())*d.spec.InHand())
	return min(d.cfg.Rest, time.Duration(busy/2*float64(time.Second)))
}

// together shortens a respite so that those of all dispatchers of this process end at the same times, a longest one apart or a
// half, a quarter and so on of that: to wake a process up that sleeps costs about as much as one of them then does.
func together(began time.Time, respite, longest time.Duration) time.Duration {
	if respite <= 0 {
		return 0
	}
	step := longest
	for step > respite {
		step /= 2
	}
	end := began.Round(0).Add(respite)
	return respite - end.Sub(end.Truncate(step))
}

// settleLedger brings the ledger onto the disk before the loop ends.
func (d *Dispatcher) settleLedger() error {
	if err := d.lock.Check(); err != nil {
		return err
	}
	return d.lock.Sync()
}

// round does all there is to do once and returns when to look again. Only what must end the loop is an error: a storage
// that fails is waited for.
func (d *Dispatcher) round(ctx context.Context, now time.Time) (time.Time, error) {
	before := *d.snapshot.Load()
	err := d.work(ctx, now)
	switch {
	case errors.Is(err, spool.ErrSuperseded):
		return now, err
	case ctx.Err() != nil:
		return now, nil //nolint:nilerr // Run ends in good order
	case err != nil:
		if d.storage == nil || d.storage.Message != err.Error() {
			d.log.Info("waiting for the storage", "error", err)
		}
		d.storage = &Trouble{Full: spool.IsFull(err), Message: err.Error()}
	default:
		d.storage = nil
	}
	after := d.survey()
	d.snapshot.Store(after)
	d.quiet++
	if !after.same(&before) {
		d.quiet = 0
		if d.cfg.OnChange != nil {
			d.cfg.OnChange()
		}
	}
	return d.nextTime(now), nil
}

// work is one round: fold, recover, discover, feed. It stops at the first thing that the storage refuses and goes on
// from there in the next round.
func (d *Dispatcher) work(ctx context.Context, now time.Time) error {
	if err := d.keep(now); err != nil {
		return err
	}
	for _, step := range d.steps() {
		if err := step(ctx, now); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dispatcher) steps() []func(context.Context, time.Time) error {
	return []func(context.Context, time.Time) error{
		d.fold, d.endWorkers, d.judge, d.takeOver, d.attend, d.guard, d.restage, d.seek, d.follow, d.stage, d.audit, d.watchEaters, d.feed, d.save, d.clearUp,
	}
}

// keep sees to it that the right to write is still there, and is seen to be used. Steps that may take long call it, too.
func (d *Dispatcher) keep(now time.Time) error {
	if err := d.lock.Check(); err != nil || now.Before(d.renewAt) {
		return err
	}
	return d.renew(now)
}

// renew shows that the dispatcher lives, and reads the file system's clock by the way.
func (d *Dispatcher) renew(now time.Time) error {
	at, err := d.lock.Renew()
	if err != nil {
		return err
	}
	d.inputs.clock.set(at, now)
	d.renewAt = now.Add(spool.LeasePeriod)
	return nil
}

// append adds an entry to the ledger.
func (d *Dispatcher) append(e spool.Entry) error {
	d.dirty, d.lead.behind = true, true
	return d.lock.Append(e)
}

// save writes the ledger, and syncs it now and then.
func (d *Dispatcher) save(_ context.Context, now time.Time) error {
	if !d.dirty {
		return nil
	}
	if now.Before(d.syncAt) {
		if err := d.lock.Flush(); err != nil {
			return err
		}
		failpoint.Reach(failpoint.DispatcherSaved)
		return nil
	}
	if err := d.lock.Sync(); err != nil {
		return err
	}
	failpoint.Reach(failpoint.DispatcherSaved)
	d.dirty = false
	if d.syncAt = now.Add(syncGap); d.spec.Durability == spool.None {
		d.syncAt = now.Add(syncRest)
	}
	return nil
}

// nextTime is when the next round is due if no hint comes.
func (d *Dispatcher) nextTime(now time.Time) time.Time {
	next := now.Add(min(pollFirst<<min(d.quiet, 10), pollLast))
	due := d.dueAt()
	if soon := now.Add(dueGap); due.After(now) && due.Before(soon) {
		due = soon
	}
	for _, t := range []time.Time{d.renewAt, due, d.inputs.settleAt, d.stager.due} {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	return next
}

// ErrOver means that the dispatcher's loop has ended.
var ErrOver = errors.New("the dispatcher has ended")

// call has the loop run fn, unless ctx or the loop ends first.
func (d *Dispatcher) call(ctx context.Context, fn func()) error {
	done := make(chan struct{})
	select {
	case d.calls <- func() { fn(); close(done) }:
	case <-d.over:
		return ErrOver
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}
