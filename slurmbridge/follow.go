package slurmbridge

import (
	"context"
	"fmt"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// follow lists the cluster whenever that is due, until Close.
func (e *Executor) follow() {
	defer close(e.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		e.mu.Lock()
		due := e.due
		e.mu.Unlock()
		wait := time.Hour
		if !due.IsZero() {
			wait = time.Until(due)
		}
		timer.Reset(max(0, wait))
		select {
		case <-e.open.Done():
			return
		case <-e.kicked:
			continue
		case <-timer.C:
		}
		if due.IsZero() {
			continue
		}
		if err := e.refresh(e.open); err == nil {
			e.insist(e.open)
		}
	}
}

// refresh asks the cluster once and takes in what it says. When several ask at the same time, one question serves all.
func (e *Executor) refresh(ctx context.Context) error {
	asked := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.open.Done():
		return errClosed
	case e.listing <- struct{}{}:
	}
	defer func() { <-e.listing }()
	e.mu.Lock()
	served := e.listed.After(asked)
	e.mu.Unlock()
	if served {
		return nil
	}
	began := time.Now()
	jobs, err := e.queue(ctx)
	if err != nil && (ctx.Err() != nil || e.open.Err() != nil) {
		return err
	}
	var ends map[executor.WorkerID]job
	if err == nil {
		ends, err = e.account(ctx, jobs)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.fail(err)
		return err
	}
	e.take(began, jobs, ends)
	return nil
}

// fail notes a listing that brought nothing; e.mu is held.
func (e *Executor) fail(err error) {
	if e.failed == nil {
		e.notify()
	}
	e.failed = fmt.Errorf("asking Slurm for its jobs: %w", err)
	pause := min(e.cfg.timing.retry<<min(e.failures, 10), e.cfg.timing.list)
	e.failures++
	e.due = time.Now().Add(jittered(pause))
}

// queue lists the jobs of workers, whoever's, by their ids. Of several jobs that claim one worker the one counts that lives.
func (e *Executor) queue(ctx context.Context) (map[executor.WorkerID]job, error) {
	out, err := e.tools.run(ctx, "", "squeue", queueArgs()...)
	if err != nil {
		return nil, err
	}
	all, err := parseQueue(out)
	if err != nil {
		return nil, err
	}
	jobs := map[executor.WorkerID]job{}
	rests := map[string]job{}
	for _, j := range all {
		if j.element < 0 && namePattern.MatchString(j.name) {
			rests[j.array] = j
		}
		id, ours := workerOf(j.name, j.element)
		if !ours {
			continue
		}
		if other, twice := jobs[id]; twice && standing(other) >= standing(j) {
			continue
		}
		jobs[id] = j
	}
	e.addRests(jobs, rests)
	return jobs, nil
}

// addRests tells apart the elements that one row stands for: those that were canceled before they began.
func (e *Executor) addRests(jobs map[executor.WorkerID]job, rests map[string]job) {
	if len(rests) == 0 {
		return
	}
	for id, w := range e.clone() {
		j, ended := rests[w.array]
		if _, listed := jobs[id]; ended && !listed && w.StartedAt.IsZero() {
			j.element = w.element
			jobs[id] = j
		}
	}
}

// standing orders jobs that claim the same worker: only one of them was the first to make the worker's folder, and that
// one runs the longest.
func standing(j job) int {
	phase, _ := phaseOf(j)
	switch {
	case phase.Terminal():
		return 0
	case phase == executor.Pending, phase == executor.Held:
		return 1
	}
	return 2
}

// account asks for the ends of workers that the queue lacks, at the cost of one call for all.
func (e *Executor) account(ctx context.Context, jobs map[executor.WorkerID]job) (map[executor.WorkerID]job, error) {
	const again = time.Hour // until it is looked whether there is an accounting database now
	var ids []string
	byRef := map[string]executor.WorkerID{}
	for id, w := range e.clone() {
		if _, listed := jobs[id]; !listed && !w.Phase.Terminal() && w.array != "" {
			ids = append(ids, w.ref())
			byRef[w.ref()] = id
		}
	}
	e.mu.Lock()
	known := !e.noAccounts.IsZero() && time.Since(e.noAccounts) < again
	e.mu.Unlock()
	if len(ids) == 0 || known {
		return nil, nil
	}
	ended, err := e.accounts(ctx, ids)
	if err != nil {
		return nil, err
	}
	ends := map[executor.WorkerID]job{}
	for _, j := range ended {
		if id, ours := byRef[fmt.Sprintf("%s_%d", j.array, j.element)]; ours {
			ends[id] = j
		}
	}
	return ends, nil
}

// accounts is what sacct says of jobs. That it says nothing, because it is absent or its database is down, is no failure: the
// queue has been listed, and will be again.
func (e *Executor) accounts(ctx context.Context, ids []string) ([]job, error) {
	out, err := e.tools.run(ctx, "", "sacct", accountingArgs(ids)...)
	if err == nil {
		return parseAccounting(out)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	e.cfg.Log.Debug("no accounting", "error", err)
	if noAccounting(err) {
		e.mu.Lock()
		e.noAccounts = time.Now()
		e.mu.Unlock()
	}
	return nil, nil
}

// take brings the list up to date with a good listing; e.mu is held.
func (e *Executor) take(began time.Time, jobs, ends map[executor.WorkerID]job) {
	e.listed, e.failed, e.failures = began, nil, 0
	for id, j := range jobs {
		if e.forgotten[id] {
			continue
		}
		w := e.workers[id]
		if w == nil {
			w = &worker{Worker: executor.Worker{ID: id}, from: began}
			e.workers[id] = w
		}
		w.take(j)
	}
	for id := range e.forgotten {
		if _, listed := jobs[id]; !listed {
			delete(e.forgotten, id)
		}
	}
	absent := false
	for id, w := range e.workers {
		if _, listed := jobs[id]; listed || w.Phase.Terminal() || w.from.After(began) {
			continue
		}
		if end, known := ends[id]; known {
			if phase, _ := phaseOf(end); phase.Terminal() {
				w.take(end)
				continue
			}
		}
		absent = w.lacks(began) || absent
	}
	e.resolve(began, jobs)
	e.bound()
	e.schedule(absent)
	e.notify()
}

// resolve settles submissions in doubt: their job is there, or can no longer come; e.mu is held.
func (e *Executor) resolve(began time.Time, jobs map[executor.WorkerID]job) {
	if len(e.doubts) == 0 {
		return
	}
	names := map[string]bool{}
	for _, j := range jobs {
		names[j.name] = true
	}
	for name, r := range e.doubts {
		if !names[name] {
			if began.After(r.since.Add(e.cfg.timing.messages)) {
				r.without++
			}
			if r.without < 2 {
				continue
			}
		}
		delete(e.doubts, name)
		if err := r.remove(); err != nil {
			e.cfg.Log.Warn("a note stays behind", "error", err)
		}
	}
}

// schedule says when to list next; e.mu is held.
func (e *Executor) schedule(absent bool) {
	e.due = time.Time{}
	switch {
	case absent || len(e.doubts) > 0:
		e.due = time.Now().Add(jittered(e.cfg.timing.absent))
	case e.anyAlive():
		e.due = time.Now().Add(jittered(e.cfg.timing.list))
	}
}

func (e *Executor) anyAlive() bool {
	for _, w := range e.workers {
		if !w.Phase.Terminal() {
			return true
		}
	}
	return false
}
