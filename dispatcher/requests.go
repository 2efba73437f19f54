package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// requests is what people ask of the Task.
type requests struct {
	answered map[string]bool // says the ledger; their files may be there still
	odd      map[string]bool // cannot be understood, which was logged
	heeded   map[string]bool // a drain or a stop that was seen: what is seen later was asked later, whatever the clocks say
	ending   spool.RequestKind

	seen   fs.FileInfo // the folder, before it was last listed
	listed time.Time
	rests  bool // nothing was in it, and its time could be trusted
}

// attend does what people ask for. A request is answered in the ledger, on disk, before its file is removed, so a crash
// at any point neither loses nor repeats it.
func (d *Dispatcher) attend(_ context.Context, now time.Time) error {
	if err := d.resumeChanged(); err != nil {
		return err
	}
	asked, err := d.requests(now)
	if err != nil {
		return fmt.Errorf("reading requests: %w", err)
	}
	d.asked.ending = ""
	for _, r := range asked {
		if d.asked.answered[r.ID] {
			if err := d.lock.Answer(r.ID); err != nil {
				return err
			}
			continue
		}
		if err := d.attendTo(r, asked); err != nil {
			return err
		}
	}
	return nil
}

// requests lists what is asked. While the folder shows no change since nothing was in it, it is not listed.
func (d *Dispatcher) requests(now time.Time) ([]spool.Request, error) {
	q := &d.asked
	info, err := os.Stat(d.spool.RequestsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if q.rests && now.Sub(q.listed) < auditEvery && sameFolder(info, q.seen) {
		return nil, nil
	}
	list, err := d.spool.Requests()
	clock, known := d.inputs.clock.on(info, false, now)
	q.rests = err == nil && len(list) == 0 && known && clock.Sub(info.ModTime()) >= d.settleTime(info.ModTime())
	q.seen, q.listed = info, now
	return list, err
}

func (d *Dispatcher) attendTo(r spool.Request, all []spool.Request) error {
	switch r.Kind {
	case spool.RequestRetry:
		if err := d.retry(r); err != nil {
			return err
		}
		if err := d.resume("a retry was asked"); err != nil {
			return err
		}
		return d.answer(r)
	case spool.RequestResume:
		return d.attendToResume(r, all)
	case spool.RequestDrain, spool.RequestStop:
		if r.Epoch < d.lock.Epoch() { // the one that was to end has
			return d.answer(r)
		}
		if d.asked.ending != spool.RequestStop && !d.asked.answered[r.ID] {
			d.asked.ending = r.Kind
		}
		d.asked.heeded[r.ID] = true
		return nil
	}
	if !d.asked.odd[r.ID] {
		d.asked.odd[r.ID] = true
		d.log.Warn("a request cannot be understood: a newer tigerflow may have made it", "request", r.ID, "kind", r.Kind)
	}
	return nil
}

func (d *Dispatcher) attendToResume(r spool.Request, all []spool.Request) error {
	if err := d.resume("it was asked"); err != nil {
		return err
	}
	for _, other := range all { // asked before, so they are over
		if ends(other) && (d.asked.heeded[other.ID] || other.Time.Before(r.Time)) {
			if err := d.answer(other); err != nil {
				return err
			}
		}
	}
	d.asked.ending = ""
	return d.answer(r)
}

func ends(r spool.Request) bool { return r.Kind == spool.RequestDrain || r.Kind == spool.RequestStop }

// answer puts down that a request is done with, and takes it away.
func (d *Dispatcher) answer(r spool.Request) error {
	if err := d.append(spool.Entry{Kind: spool.EntryAnswered, Request: r.ID}); err != nil {
		return err
	}
	if err := d.lock.Sync(); err != nil {
		return err
	}
	d.asked.answered[r.ID] = true
	return d.lock.Answer(r.ID)
}

// retry runs the failed files again that a request means. The error file goes first: without it a file that the ledger
// says has failed is run again in any case.
func (d *Dispatcher) retry(r spool.Request) error {
	var files []spool.Name
	for f, p := range d.places {
		if p != placeFailed {
			continue
		}
		if name := d.name(file(f)); r.Matches(name) {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	d.log.Info("a retry is asked", "match", r.Match, "files", len(files), "by", r.By.String())
	for chunk := range slices.Chunk(files, requeueChunk) {
		if err := d.keep(time.Now()); err != nil {
			return err
		}
		for _, name := range chunk {
			stem, _ := spool.MatchInput(string(name), d.spec.InputExt)
			if err := d.lock.RemoveError(stem); err != nil {
				return err
			}
		}
		if err := d.requeue(chunk, "a retry was asked"); err != nil {
			return err
		}
	}
	d.unremember(files)
	if len(files) == 0 || d.spec.Durability != spool.Fsync {
		return nil
	}
	return spool.SyncDir(string(d.spec.OutputDir)) // an error file that came back would be taken for a new failure
}

// unremember drops files that are run again from the latest failures.
func (d *Dispatcher) unremember(files []spool.Name) {
	d.recent = slices.DeleteFunc(slices.Clone(d.recent), func(f Failure) bool { return slices.Contains(files, f.File) })
}

// replayRequest takes up what an earlier ledger says of requests and of pauses.
func (d *Dispatcher) replayRequest(e spool.Entry) {
	switch e.Kind {
	case spool.EntryAnswered:
		d.asked.answered[e.Request] = true
	case spool.EntryPaused:
		d.breaker.pause = &Pause{Files: e.Attempts, Why: e.Reason, spec: e.Spec}
		if e.Failure != nil {
			d.breaker.pause.Failure = *e.Failure
		}
	case spool.EntryResumed:
		d.breaker.pause = nil
	case spool.EntryAdopted:
		d.imported = d.imported || e.From != ""
	default: // of neither
		d.replayDeletions(e)
	}
}
