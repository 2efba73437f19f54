package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// learnPoll is how soon it is looked again whether the dispatcher has recovered from a worker that has ended.
const learnPoll = 100 * time.Millisecond

// apply starts and drains workers until there are as many as desired.
func (f *Fleet) apply(ctx context.Context, now time.Time, need Need, snap *dispatcher.Snapshot, mine map[string]executor.Worker, r Report) (Report, error) {
	if snap.Ending == spool.RequestStop {
		return r, f.kill(ctx, snap, mine)
	}
	fit, surplus := f.sort(now, need, snap, mine, r.Desired)
	if err := f.stop(ctx, surplus, executor.Drain); err != nil {
		return r, err
	}
	missing := r.Desired - fit
	if missing <= 0 || need.Suspended {
		return r, nil
	}
	if f.unlearnt(mine) {
		r.Next = learnPoll
		return r, nil
	}
	if r.Stall != nil {
		missing = 1 // one tries whether a person has mended it
	}
	if wait := f.ladder.until.Sub(now); wait > 0 {
		r.Next = wait
		return r, nil
	}
	if err := f.hold.check(now); err != nil {
		return r, err
	}
	if f.isLocal() && (anyAlive(mine) || len(snap.Workers) > 0) {
		return r, nil // never two: the next one starts when the last one's end is certain and recovered from
	}
	return f.start(ctx, now, need, missing, mine, r)
}

// kill ends all workers at once. Those that drain are fenced as well, which ends them where a backend does not hasten them.
func (f *Fleet) kill(ctx context.Context, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	var alive []executor.WorkerID
	live := living(snap)
	for id, w := range mine {
		if w.Phase.Terminal() {
			continue
		}
		alive = append(alive, w.ID)
		if w.Phase == executor.Terminating && live[id] {
			if err := f.dispatcher.WorkerEnded(ctx, id, dispatcher.End{Message: "stopped"}); err != nil {
				return err
			}
		}
	}
	return f.stop(ctx, alive, executor.Kill)
}

// stop asks workers to end.
func (f *Fleet) stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	if len(ids) == 0 {
		return nil
	}
	for _, id := range ids {
		f.note(id.String(), func(k *knowledge) { k.stopping = true })
	}
	if err := f.executor.Stop(ctx, ids, mode); err != nil {
		return fmt.Errorf("ending workers: %w", err)
	}
	return nil
}

// cancelIdle has workers leave the queue that would find nothing to do, since all files are done or failed.
func (f *Fleet) cancelIdle(ctx context.Context, need Need, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	if !snap.Drained || need.Suspended {
		return nil
	}
	all := 0
	var waiting []executor.WorkerID
	for _, w := range mine {
		if w.Phase.CountsAsCapacity() || w.Phase == executor.Held {
			all++
		}
		if w.Phase == executor.Pending || w.Phase == executor.Held {
			waiting = append(waiting, w.ID)
		}
	}
	slices.SortFunc(waiting, executor.WorkerID.Compare)
	surplus := waiting[max(0, len(waiting)-max(0, all-need.Min)):]
	if err := f.stop(ctx, surplus, executor.Drain); err != nil {
		return err
	}
	for _, id := range surplus {
		w := mine[id.String()]
		w.Phase = executor.Terminating
		mine[id.String()] = w
	}
	return nil
}

// sort counts the workers that are to stay and lists those that are to drain.
func (f *Fleet) sort(now time.Time, need Need, snap *dispatcher.Snapshot, mine map[string]executor.Worker, desired int) (int, []executor.WorkerID) {
	var fit, surplus []executor.WorkerID
	for _, w := range mine {
		switch {
		case w.Phase == executor.Held && (need.Suspended || f.outOfDate(w)):
			surplus = append(surplus, w.ID)
		case !w.Phase.CountsAsCapacity():
		case f.outOfDate(w):
			surplus = append(surplus, w.ID)
		case f.leaving(now, need, snap, w): // by itself
		default:
			fit = append(fit, w.ID)
		}
	}
	if !need.Suspended && len(fit) <= need.Max {
		return len(fit), surplus
	}
	slices.SortFunc(fit, executor.WorkerID.Compare)
	keep := min(len(fit), desired)
	return keep, append(surplus, fit[keep:]...)
}

func (f *Fleet) start(ctx context.Context, now time.Time, need Need, n int, mine map[string]executor.Worker, r Report) (Report, error) {
	if err := f.refusal.check(now, f.ask); err != nil {
		return r, err
	}
	specs, err := f.specs(need, n, mine, r.Avoided)
	if err != nil {
		return r, err
	}
	if err := f.remember(specs); err != nil {
		return r, err
	}
	err = f.executor.Start(ctx, specs)
	if _, stalled := executor.Stalled(err); stalled && len(r.Avoided) > 0 { // perhaps no other nodes would do
		clear(f.nodes)
		r.Next = learnPoll
		return r, nil
	}
	if err != nil {
		f.refusal.take(ctx, now, f.ask, err)
		return r, fmt.Errorf("starting workers: %w", err)
	}
	f.refusal = refusal{}
	for _, s := range specs {
		f.use(s.ID)
		f.note(s.ID.String(), func(k *knowledge) { k.at, k.with = now, len(specs) })
	}
	r.Pending += len(specs)
	return r, nil
}

// unlearnt reports whether a worker has ended that nothing was learnt from yet: how it ended may put off the next one.
func (f *Fleet) unlearnt(mine map[string]executor.Worker) bool {
	for id, w := range mine {
		if w.Phase.Terminal() && !f.known[id].told {
			return true
		}
	}
	return false
}

func anyAlive(mine map[string]executor.Worker) bool {
	for _, w := range mine {
		if !w.Phase.Terminal() {
			return true
		}
	}
	return false
}

// outOfDate reports whether a worker was born for an earlier revision of the Task, or waits for what is no longer asked.
func (f *Fleet) outOfDate(w executor.Worker) bool {
	if waits(w) {
		asked, known := f.asked[w.ID.String()]
		return known && asked != f.ask
	}
	born := f.birth(w.ID.String())
	return born != nil && born.Revision != f.spool.Spec().Revision // else it will read the present Task
}

// birth is a worker's record of its birth; nil if there is none yet.
func (f *Fleet) birth(id string) *spool.Born {
	if f.born[id] == nil {
		born, err := f.spool.ReadBorn(id)
		if err != nil {
			return nil
		}
		f.born[id] = &born
	}
	return f.born[id]
}

// specs names the next workers: the lowest free slots, all with one restart number, by which a backend tells start-ups
// apart, and which none of the slots has had.
func (f *Fleet) specs(need Need, n int, mine map[string]executor.Worker, avoided []Avoided) ([]executor.Spec, error) {
	names, err := f.spool.Workers() // those of earlier runs among them
	if err != nil {
		return nil, fmt.Errorf("listing workers: %w", err)
	}
	for _, name := range names {
		if id, err := executor.ParseWorkerID(name); err == nil {
			f.use(id)
		}
	}
	taken := map[int]bool{}
	for _, w := range mine {
		taken[w.ID.Index] = taken[w.ID.Index] || !w.Phase.Terminal()
	}
	var slots []int
	restart := 0
	for index := 0; len(slots) < n; index++ {
		if !taken[index] {
			slots = append(slots, index)
			restart = max(restart, f.used[index]+1)
		}
	}
	var avoid []string
	for _, a := range avoided {
		avoid = append(avoid, a.Node)
	}
	specs := make([]executor.Spec, 0, n)
	for _, index := range slots {
		id := executor.WorkerID{Key: f.spool.ID(), Index: index, Restart: restart}
		s := need.Worker(id, f.spool.Path(), f.spool.LogPath(id.String()))
		s.Avoid = avoid
		specs = append(specs, s)
	}
	return specs, nil
}

// Worker describes one worker to an executor.
func (n *Need) Worker(id executor.WorkerID, spool, log string) executor.Spec {
	var args []string
	if id.Index >= n.Min && n.IdleTimeout > 0 {
		args = append(args, "--idle-timeout", n.IdleTimeout.String())
	}
	if n.WallTime > 0 {
		args = append(args, "--wall-time", n.WallTime.String())
	}
	return executor.Spec{
		ID: id, Task: n.Task, Spool: spool, Args: args, Log: log, Resources: n.Resources,
		DrainTimeout: n.DrainTimeout, WallTime: n.WallTime, Container: n.Container, Slurm: n.Slurm,
	}
}
