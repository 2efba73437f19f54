package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

// End is what is known of a worker's end by those who started it.
type End struct {
	Blame   bool   // it died with its handler, of itself: the file in hand may be the cause
	Message string // in the backend's own words
}

// WorkerEnded tells that a worker has certainly ended, or is to be treated so: it is fenced before anything of it is given
// to others, and before it is born if it never was. Telling it again does nothing.
func (d *Dispatcher) WorkerEnded(ctx context.Context, id string, end End) error {
	return d.call(ctx, func() {
		if _, known := d.workers[id]; !known {
			d.meet(id, 0, time.Now())
		}
		if w := d.workers[id]; w != nil && w.ended == nil {
			w.ended = &end
			d.quiet = 0
		}
	})
}

// endWorkers recovers what ended workers held.
func (d *Dispatcher) endWorkers(_ context.Context, now time.Time) error {
	for id, w := range d.workers {
		if w == nil || w.exit == nil && w.ended == nil {
			continue
		}
		if err := d.endWorker(w, now); err != nil {
			return err
		}
		d.wake.Remove(d.spool.JournalPath(id))
		d.retire(id, now)
	}
	d.prune(now)
	return nil
}

func (d *Dispatcher) endWorker(w *worker, now time.Time) error {
	held, err := d.lock.Fence(w.id)
	if err != nil {
		return err
	}
	failpoint.Reach(failpoint.DispatcherFenced)
	if err := d.foldWorker(w, now); err != nil { // its last words
		return err
	}
	end := End{}
	if w.ended != nil {
		end = *w.ended
	}
	if w.exit != nil { // its own word says that no file was to blame
		end = End{Message: string(w.exit.Reason)}
	}
	entry := spool.Entry{Kind: spool.EntryEnded, Worker: w.id, Offset: w.tail.Offset(), Reason: end.Message}
	var blamed []spool.Name
	for _, h := range held {
		files, begun, err := d.recoverBatch(h, &entry)
		if err != nil {
			return err
		}
		if end.Blame {
			blamed = append(blamed, begun...)
		}
		entry.Back = append(entry.Back, files...)
	}
	d.blame(blamed, &entry, end)
	if err := d.append(entry); err != nil {
		return err
	}
	d.log.Info("worker ended", "worker", w.id, "reason", end.Message, "fedAgain", len(entry.Back)+len(entry.Suspect), "adopted", len(entry.Done))
	d.settleEnded(entry, now)
	return nil
}

// recoverBatch sorts the files of a batch that nobody holds any more: outputs that are published are adopted, those in
// hand are told apart from the rest.
func (d *Dispatcher) recoverBatch(h spool.Held, entry *spool.Entry) (files, begun []spool.Name, err error) {
	b := d.byID[h.ID]
	if b == nil {
		return nil, nil, nil
	}
	inHand := map[spool.Name]bool{}
	for _, name := range h.Begun {
		inHand[name] = true
	}
	for _, name := range d.rest(b) {
		stem, _ := spool.MatchInput(string(name), d.spec.InputExt)
		_, err := os.Lstat(filepath.Join(string(d.spec.OutputDir), spool.OutputName(stem, d.spec.OutputExt)))
		switch {
		case err == nil:
			entry.Done = append(entry.Done, name)
		case !errors.Is(err, fs.ErrNotExist) && !isNameTooLong(err):
			return nil, nil, fmt.Errorf("looking for the output of %q: %w", name, err)
		case inHand[name]:
			begun = append(begun, name)
			files = append(files, name)
		default:
			files = append(files, name)
		}
	}
	return files, begun, nil
}

// blame counts a crash for the one file that was in hand. Of several none is counted: each runs again alone.
func (d *Dispatcher) blame(files []spool.Name, entry *spool.Entry, end End) {
	if len(files) == 0 {
		return
	}
	if len(files) == 1 {
		entry.Tried = append(entry.Tried, spool.Try{
			File: files[0], Crashed: true,
			Failure: &spool.Failure{Type: "Crashed", Message: "the worker died with this file in hand: " + end.Message},
		})
	} else {
		entry.Suspect = append(entry.Suspect, files...)
	}
	out := map[spool.Name]bool{}
	for _, f := range files {
		out[f] = true
	}
	kept := entry.Back[:0]
	for _, f := range entry.Back {
		if !out[f] {
			kept = append(kept, f)
		}
	}
	entry.Back = kept
}

// settleEnded moves the files of an Ended entry.
func (d *Dispatcher) settleEnded(e spool.Entry, now time.Time) {
	for _, f := range e.Done {
		d.move(f, placeDone)
	}
	for _, f := range e.Suspect {
		d.suspect(f)
		d.move(f, placeWaiting)
	}
	for _, t := range e.Tried {
		d.tried(t, e.Worker)
		d.again(t.File, now)
	}
	for _, f := range e.Back {
		d.move(f, placeWaiting)
	}
}
