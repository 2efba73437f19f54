package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/progress"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

const (
	// forsakeEvery is how often it is looked, while the pipeline waits for other tasks, whether inputs are gone
	// that those have yet to begin, and forsakeMost at how many that are still there.
	forsakeEvery = 30 * time.Second
	forsakeMost  = 100
)

// lead is what the lead of a pipeline knows of all its tasks.
type lead struct {
	tracker *progress.Tracker // nil unless this Task is the lead
	name    string            // of this Task
	counts  progress.Counts
	earlier int64 // finished and failed when it was first counted; -1 before
	open    int64 // files that this Task is through with, and the pipeline is not
	ahead   int64 // files that another task is through with, and this one is not
	behind  bool  // the ledger has more than was read
	err     error // why a history cannot be read
	askAt   time.Time
	watched []string
}

func newLead(l *Lead, self *spool.Spec) lead {
	if l == nil {
		return lead{}
	}
	tracker, err := l.track()
	if !slices.ContainsFunc(l.Tasks, func(m Member) bool { return m.Name == self.Task }) {
		tracker, err = nil, fmt.Errorf("the pipeline that task %s leads has no such task", self.Task)
	}
	return lead{tracker: tracker, name: self.Task, err: err, behind: true, earlier: -1}
}

// track begins to follow the histories of all tasks.
func (l *Lead) track() (*progress.Tracker, error) {
	tasks := make([]progress.Task, len(l.Tasks))
	for i, m := range l.Tasks {
		tasks[i] = progress.Task(m)
	}
	return progress.New(tasks)
}

// follow reads how far the pipeline is.
func (d *Dispatcher) follow(ctx context.Context, now time.Time) error {
	l := &d.lead
	if l.tracker == nil {
		return nil
	}
	if l.behind {
		if err := d.lock.Flush(); err != nil {
			return err
		}
	}
	err := l.tracker.Read(func() error { return errors.Join(ctx.Err(), d.keep(time.Now())) })
	if ctx.Err() != nil || errors.Is(err, spool.ErrSuperseded) {
		return err
	}
	l.err = err
	l.behind = false
	if l.count(); l.open+l.counts.InProgress > 0 && now.After(l.askAt) {
		l.askAt = now.Add(forsakeEvery)
		l.tracker.Forsake(forsakeMost, d.inputGone)
		l.count()
	}
	if l.earlier < 0 && err == nil {
		l.earlier = l.counts.Finished + l.counts.Failed
	}
	l.earlier = min(l.earlier, l.counts.Finished+l.counts.Failed) // some may be run again
	d.watchHistories()
	return nil
}

// count takes from the histories how many files are how far.
func (l *lead) count() {
	l.counts, l.open, l.ahead = l.tracker.Counts(), l.tracker.Unsettled(l.name), l.tracker.Ahead(l.name)
}

// inputGone reports whether an input is not there any more, which nobody can tell while the folder of inputs is not there either.
func (d *Dispatcher) inputGone(stem string) bool {
	dir := string(d.spec.InputDir)
	if _, err := os.Stat(filepath.Join(dir, stem+d.spec.InputExt)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err := os.Stat(dir)
	return err == nil
}

// watchHistories has hints come of what the other tasks put down.
func (d *Dispatcher) watchHistories() {
	paths := slices.DeleteFunc(d.lead.tracker.Paths(), func(p string) bool { return strings.HasPrefix(p, d.spool.Path()+"/") })
	if slices.Equal(paths, d.lead.watched) {
		return
	}
	for _, p := range d.lead.watched {
		if !slices.Contains(paths, p) {
			d.wake.Remove(p)
		}
	}
	for _, p := range paths {
		d.wake.Add(p)
	}
	d.lead.watched = paths
}

// settled reports that there is nothing to do any more, in any task, for the files that this one knows.
func (l *lead) settled() bool { return l.err == nil && (l.tracker == nil || !l.behind && l.open == 0) }

// unbegun is how many of the files that this Task knows no task is through with.
func (d *Dispatcher) unbegun() int64 { return max(0, d.waiting+d.inBatches-d.lead.ahead) }

// pipelineCounts counts the files of the pipeline; nil unless this Task is the lead. running are in hand here.
func (d *Dispatcher) pipelineCounts(running int64) *PipelineCounts {
	if d.lead.tracker == nil {
		return nil
	}
	c, unbegun := d.lead.counts, d.unbegun()
	running = min(running, unbegun)
	return &PipelineCounts{
		Staged: unbegun - running, InProgress: c.InProgress + running, Finished: c.Finished, Failed: c.Failed, Earlier: max(0, d.lead.earlier),
	}
}

// stagingCounts is what the steps are told of the files that are no candidates.
func (d *Dispatcher) stagingCounts() staging.Counts {
	c := d.lead.counts
	return staging.Counts{Staged: d.unbegun() + c.InProgress, Completed: c.Finished, Failed: c.Failed}
}
