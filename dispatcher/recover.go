package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

// requeueChunk is how many names stand in one ledger entry: a record has a bound.
const requeueChunk = 1000

// recover builds the index from disk alone: the ledgers of all earlier epochs, the journals of workers that live or whose
// end is not recorded, what they hold, and the output folder, which has the last word.
func (d *Dispatcher) recover(ctx context.Context) error {
	failpoint.Reach(failpoint.DispatcherLocked)
	now := time.Now()
	info, err := os.Stat(d.spool.Path())
	if err != nil {
		return err
	}
	d.inputs.clock.device = deviceOf(info)
	if err := d.renew(now); err != nil {
		return err
	}
	offsets, err := d.replay(ctx)
	if err != nil {
		return err
	}
	failpoint.Reach(failpoint.DispatcherReplayed)
	if err := d.lock.Withdraw(); err != nil {
		return err
	}
	if err := d.meetAgain(offsets, now); err != nil {
		return err
	}
	if err := d.fold(ctx, now); err != nil {
		return err
	}
	d.judgeAgain(now)
	if err := d.checkOutputs(now); err != nil {
		return err
	}
	d.dateFailures(now)
	d.earlier = d.done + d.failed
	if d.failed > 0 || d.done > 0 {
		d.log.Info("taking up earlier work", "done", d.done, "failed", d.failed, "epoch", d.lock.Epoch())
	}
	return nil // the first round writes what there is to write, or tells why it cannot
}

// replay folds the ledgers of earlier epochs. It returns how far each worker's journal is folded; -1 for ended ones.
func (d *Dispatcher) replay(ctx context.Context) (map[string]int64, error) {
	offsets := map[string]int64{}
	epochs, err := d.spool.Epochs()
	if err != nil {
		return nil, err
	}
	bounds, err := d.spool.Bounds(d.lock.Epoch())
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	for _, epoch := range epochs {
		if epoch >= d.lock.Epoch() {
			break
		}
		bound, bounded := bounds[epoch]
		if !bounded {
			bound = math.MaxInt64
		}
		end, err := d.spool.ReadLedgerTo(epoch, bound, func(e spool.Entry) error {
			d.replayEntry(e)
			if now := time.Now(); !now.Before(d.renewAt) {
				if err := d.keep(now); err != nil {
					return err
				}
			}
			switch e.Kind {
			case spool.EntryFold:
				offsets[e.Worker] = e.Offset
			case spool.EntryEnded:
				offsets[e.Worker] = -1
				d.roll.ended = append(d.roll.ended, ended{id: e.Worker})
			default: // nothing of a journal
			}
			return ctx.Err()
		})
		if err == nil && !bounded { // what a zombie adds from now on does not count
			err = d.append(spool.Entry{Kind: spool.EntryTook, Epoch: epoch, Offset: end})
		}
		if err != nil {
			return nil, fmt.Errorf("reading the history: %w", err)
		}
	}
	return offsets, nil
}

// replayEntry takes over what an entry says of done and failed files. All others are found again by discovery, or with
// the workers that hold them.
func (d *Dispatcher) replayEntry(e spool.Entry) {
	for _, name := range e.Done {
		d.move(name, placeDone)
	}
	for _, t := range e.Tried {
		d.tried(t, e.Worker)
	}
	for _, name := range e.Suspect {
		d.suspect(name)
	}
	for _, name := range e.Gone {
		d.forget(name)
		d.stager.unstage(d.file(name))
	}
	switch e.Kind {
	case spool.EntryFailed:
		d.move(e.File, placeFailed)
		if f := e.Failure; f != nil {
			d.remember(Failure{File: e.File, Type: f.Type, Message: f.Message, Time: e.Time, Attempts: e.Attempts, ExitCode: f.ExitCode})
		}
	case spool.EntryRequeued:
		for _, name := range e.Back {
			d.forget(name)
			d.stager.keep(d.file(name))
		}
		d.unremember(e.Back)
		d.replayDeletions(e)
	case spool.EntryStaged:
		for _, name := range e.Staged {
			d.stager.keep(d.file(name))
			d.stager.order = append(d.stager.order, d.file(name))
		}
	default: // said by the lists above
		d.replayRequest(e)
	}
}

// meetAgain takes up the workers whose end no ledger tells, with what they hold.
func (d *Dispatcher) meetAgain(offsets map[string]int64, now time.Time) error {
	ids, err := d.spool.Workers()
	if err != nil {
		return err
	}
	for _, id := range ids {
		offset := offsets[id]
		if offset < 0 {
			d.workers[id] = nil
			continue
		}
		d.meet(id, offset, now)
		if err := d.takeUp(id, offset); err != nil {
			return err
		}
	}
	d.wake.Add(d.spool.WorkersDir())
	d.roll.ended = slices.DeleteFunc(d.roll.ended, func(e ended) bool {
		w, there := d.workers[e.id]
		return !there || w != nil
	})
	for i := range d.roll.ended { // when that was does not matter much
		d.roll.ended[i].at = now
	}
	return nil
}

// takeUp puts the files that a worker holds into their batches, but for those whose outcome is folded already: the worker
// keeps a batch until its last file is through, and the others may have been fed again.
func (d *Dispatcher) takeUp(id string, offset int64) error {
	held, err := d.spool.Holding(id)
	if err != nil || len(held) == 0 {
		return err
	}
	told := map[string]map[spool.Name]bool{} // by batch
	for _, h := range held {
		told[h.ID.String()] = map[spool.Name]bool{}
	}
	if err := d.outcomes(id, offset, told); err != nil {
		return err
	}
	for _, h := range held {
		var open []spool.Name
		for _, name := range h.Files {
			if p := d.at(name); !told[h.ID.String()][name] && p != placeDone && p != placeFailed {
				open = append(open, name)
			}
		}
		d.batch(h.ID, open)
	}
	return nil
}

// outcomes notes the files of some batches that a journal tells of up to an offset.
func (d *Dispatcher) outcomes(id string, offset int64, told map[string]map[spool.Name]bool) error {
	err := d.spool.JournalTail(id, 0).Read(func(payload []byte, end int64) error {
		if end > offset {
			return errFull
		}
		var e spool.Event
		if err := json.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("an event: %w", err)
		}
		if names := told[e.Batch]; names != nil {
			for _, name := range e.Files {
				names[name] = true
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return fmt.Errorf("reading the journal of %s: %w", id, err)
	}
	return nil
}

// judgeAgain takes up verdicts that were due when the last dispatcher died.
func (d *Dispatcher) judgeAgain(now time.Time) {
	for f := range d.tries {
		if !d.places[f].known() && d.lost(f) {
			d.again(d.name(f), now)
		}
	}
}

// dateFailures says when the failures of earlier epochs were, which their ledgers do not tell but the error files do.
func (d *Dispatcher) dateFailures(now time.Time) {
	for i := range d.recent {
		f := &d.recent[i]
		stem, _ := spool.MatchInput(string(f.File), d.spec.InputExt)
		f.Time = now
		if info, err := os.Lstat(filepath.Join(string(d.spec.OutputDir), spool.ErrName(stem))); err == nil {
			f.Time = info.ModTime()
		}
	}
}

// requeue has files run anew, as if they had never been.
func (d *Dispatcher) requeue(names []spool.Name, why string) error {
	if len(names) == 0 {
		return nil
	}
	for some := range slices.Chunk(names, requeueChunk) {
		if err := d.append(spool.Entry{Kind: spool.EntryRequeued, Back: some, Reason: why}); err != nil {
			return err
		}
		for _, name := range some {
			d.forget(name)
			d.stager.keep(d.file(name))
			d.miss(name, time.Now())
		}
	}
	d.earlier = min(d.earlier, d.done+d.failed)
	d.log.Info("files are run again", "files", len(names), "reason", why)
	d.inputs.stale() // the next listing finds them
	return nil
}
