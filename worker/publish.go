package worker

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// syncers is how many files are synced at once: the disk serves them in one commit.
const syncers = 16

const failureOutputPermission = "OutputPermission"

// pending is a file that user code has returned from.
type pending struct {
	file    *file
	seconds float64
	info    fs.FileInfo
	synced  bool // its data is on disk
	settled bool // published, or recorded as not done
	lost    bool // recorded as not done
}

// publishGroup publishes the outputs that wait, as durable as the Task wants them. After an error it can be repeated.
func (r *recorder) publishGroup() error {
	if len(r.group) == 0 {
		return nil
	}
	look := r.w.Inspection()
	if err := r.each(func(p *pending) error { return r.inspect(p, look) }); err != nil {
		return err
	}
	if r.spec.Durability == spool.Fsync {
		if err := r.syncGroup(); err != nil {
			return err
		}
		failpoint.Reach(failpoint.WorkerSynced)
	}
	if err := r.each(r.publish); err != nil {
		return err
	}
	if r.spec.Durability == spool.Fsync {
		if err := r.syncFolders(); err != nil {
			return r.explain(err)
		}
	}
	for i := range r.group {
		if p := &r.group[i]; !p.lost {
			r.done(p)
			r.tell(protocol.OpPublished, p.file.name)
		}
	}
	clear(r.group)
	r.group = r.group[:0]
	return nil
}

// syncFolders makes the names of the group's outputs survive a power cut.
func (r *recorder) syncFolders() error {
	synced := map[string]bool{}
	for _, p := range r.group {
		folder := filepath.Dir(p.file.output)
		if p.lost || synced[folder] {
			continue
		}
		if err := spool.SyncDir(folder); err != nil {
			return err
		}
		synced[folder] = true
	}
	return nil
}

// each calls fn with what is not settled yet.
func (r *recorder) each(fn func(*pending) error) error {
	for i := range r.group {
		p := &r.group[i]
		if p.settled {
			continue
		}
		if err := fn(p); err != nil {
			return r.explain(err)
		}
	}
	return nil
}

// inspect looks at what user code left, once: when it is tried again, it may have its name and only the answer was lost.
func (r *recorder) inspect(p *pending, look *spool.Inspection) error {
	if p.info != nil {
		return nil
	}
	info, failure, err := look.Look(p.file.tmp)
	if failure != nil {
		r.lose(p, failedEvent(p.file, p.seconds, failure))
	}
	p.info = info
	return err
}

// syncGroup brings the data of the group onto the disk, and the records of the last one beside it. Data that did not get
// there may be lost, whatever a second try says: such a file is to be run again.
func (r *recorder) syncGroup() error {
	r.flushNames()
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, len(r.group))
	for range min(syncers, len(r.group)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(r.group); i = int(next.Add(1)) - 1 {
				if p := &r.group[i]; !p.settled && !p.synced {
					errs[i] = spool.SyncFile(p.file.tmp)
					p.synced = errs[i] == nil
				}
			}
		})
	}
	synced := make(chan struct{})
	go func() { defer close(synced); wg.Wait() }()
	journalErr := r.syncJournal()
	r.beatUntil(synced)
	for i, err := range errs {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !r.removed(&r.group[i]) {
				return r.explain(err)
			}
		case errors.Is(err, fs.ErrPermission):
			r.lose(&r.group[i], failedEvent(r.group[i].file, r.group[i].seconds, &spool.Failure{
				Type:    failureOutputPermission,
				Message: "user code left an output_file that its own user may not read: leave it readable",
			}))
		case err != nil:
			f := r.group[i].file
			r.lose(&r.group[i], &spool.Event{
				Kind: spool.EventStorage, Batch: f.batch.id.String(), Files: []spool.Name{f.name},
				Failure: &spool.Failure{Type: "StorageError", Message: "syncing the output: " + err.Error()},
			})
			r.complain(err)
		}
	}
	return journalErr
}

// beatUntil shows that the worker lives while data is being synced, which may take longer than a worker may be silent.
func (r *recorder) beatUntil(synced <-chan struct{}) {
	tick := time.NewTicker(r.time.beat)
	defer tick.Stop()
	for {
		select {
		case <-synced:
			return
		case <-tick.C:
			r.event(r.beat)
			if r.w.Journal.Flush() == nil { // else the next persist says so
				r.recorded(0)
			}
		}
	}
}

// publish gives one output its name. One that is there already is as good, whoever made it.
func (r *recorder) publish(p *pending) error {
	mine, err := r.w.Publish(p.file.tmp, p.file.output, p.info)
	switch {
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		r.lose(p, failedEvent(p.file, p.seconds, &spool.Failure{
			Type:    spool.FailureOutputName,
			Message: "no file here can have the output's name " + filepath.Base(p.file.output) + ": " + err.Error(),
		}))
		return nil
	case errors.Is(err, fs.ErrNotExist) && r.removed(p):
		return nil
	case err != nil:
		return err
	case !mine:
		r.discard(p.file)
	}
	failpoint.Reach(failpoint.WorkerPublished)
	p.settled = true
	return nil
}

// removed settles a file whose output what user code left running has removed since the inspection, and reports whether it
// did: no second try would find it.
func (r *recorder) removed(p *pending) bool {
	_, failure, err := r.w.Inspect(p.file.tmp)
	if err != nil || failure == nil || failure.Type != spool.FailureOutputRemoved {
		return false
	}
	r.lose(p, failedEvent(p.file, p.seconds, failure))
	return true
}

// lose settles a file as one that is not done.
func (r *recorder) lose(p *pending, e *spool.Event) {
	r.discard(p.file)
	r.event(*e)
	r.tellOf(e)
	r.settle(p.file.batch, 1)
	p.settled, p.lost = true, true
}

func (r *recorder) discard(f *file) {
	if err := r.w.Discard(f.tmp); err != nil {
		r.log.Warn("removing a temporary", "error", err) // it goes with the folder
	}
}

// explain tells the trace of a fence, which ends everything, from a failing storage.
func (r *recorder) explain(err error) error {
	if !errors.Is(err, fs.ErrNotExist) || !r.w.Fenced() {
		return err
	}
	fenced := &ending{reason: spool.ExitFenced}
	r.stop(fenced)
	return fenced
}
