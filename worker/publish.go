package worker

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// syncers is how many files are synced at once: the disk serves them in one commit.
const syncers = 16

var errFenced = errors.New("this worker was declared dead")

// pending is a file that user code has returned from.
type pending struct {
	file    *file
	seconds float64
	info    fs.FileInfo
	settled bool // published, or recorded as failed
	failed  bool
}

// publishGroup publishes the outputs that wait, as durable as the Task wants them. After an error it can be repeated.
func (r *recorder) publishGroup() error {
	if len(r.group) == 0 {
		return nil
	}
	if err := r.each(r.inspect); err != nil {
		return err
	}
	if r.spec.Durability == spool.Fsync {
		if err := r.syncGroup(); err != nil {
			return err
		}
	}
	if err := r.each(r.publish); err != nil {
		return err
	}
	if r.spec.Durability == spool.Fsync {
		if err := spool.SyncDir(string(r.spec.OutputDir)); err != nil {
			return r.explain(err)
		}
	}
	for _, p := range r.group {
		if !p.failed {
			r.done(p)
		}
	}
	r.group = r.group[:0]
	return nil
}

// each calls fn with what is not settled yet.
func (r *recorder) each(fn func(*pending) error) error {
	for _, p := range r.group {
		if p.settled {
			continue
		}
		if err := fn(p); err != nil {
			return r.explain(err)
		}
	}
	return nil
}

// inspect looks at what user code left.
func (r *recorder) inspect(p *pending) error {
	info, failure, err := r.w.Inspect(p.file.tmp)
	if failure != nil {
		r.fail(p, failure)
	}
	p.info = info
	return err
}

// syncGroup brings the data of the group onto the disk.
func (r *recorder) syncGroup() error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, len(r.group))
	for range min(syncers, len(r.group)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(r.group); i = int(next.Add(1)) - 1 {
				if p := r.group[i]; !p.settled {
					errs[i] = spool.SyncFile(p.file.tmp)
				}
			}
		})
	}
	wg.Wait()
	return r.explain(errors.Join(errs...))
}

// publish gives one output its name. One that is there already is as good, whoever made it.
func (r *recorder) publish(p *pending) error {
	mine, err := r.w.Publish(p.file.tmp, p.file.output, p.info)
	switch {
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		r.fail(p, &spool.Failure{Type: spool.FailureOutputName,
			Message: "no file here can have the output's name " + filepath.Base(p.file.output) + ": " + err.Error()})
		return nil
	case err != nil:
		return err
	case !mine:
		r.discard(p.file)
	}
	p.settled = true
	return nil
}

// fail settles a file as a failed one.
func (r *recorder) fail(p *pending, failure *spool.Failure) {
	r.discard(p.file)
	r.event(failedEvent(p.file, p.seconds, failure))
	r.settle(p.file.batch, 1)
	p.settled, p.failed = true, true
}

func (r *recorder) discard(f *file) {
	if err := r.w.Discard(f.tmp); err != nil {
		r.log.Warn("removing a temporary", "error", err) // it goes with the folder
	}
}

// explain tells the trace of a fence from a failing storage.
func (r *recorder) explain(err error) error {
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !r.w.Fenced() {
		return err
	}
	select {
	case <-r.fenced:
	default:
		close(r.fenced)
	}
	return errFenced
}

func failedEvent(f *file, seconds float64, failure *spool.Failure) spool.Event {
	now := time.Now().UTC()
	return spool.Event{Kind: spool.EventFailed, Batch: f.batch.id.String(), Files: []spool.Name{f.name},
		Seconds: []float64{seconds}, Failure: failure, Time: &now}
}
