package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// takeOver counts what an earlier run of TigerFlow has finished, once: before anything is fed. It comes to the same end from
// wherever it was cut off, because what the ledger or the output folder has already is passed over.
func (d *Dispatcher) takeOver(ctx context.Context, _ time.Time) error {
	e := d.cfg.Earlier
	if e == nil || d.imported {
		return nil
	}
	pid, err := e.Running()
	if err == nil && pid != 0 {
		err = fmt.Errorf("a running TigerFlow, process %d, writes it: stop that one first", pid)
	}
	var outputs, errs, finished int
	if err == nil {
		outputs, errs, err = d.bringResults(ctx, e)
	}
	if err == nil {
		finished, err = d.countFinished(ctx, e)
	}
	if err == nil {
		err = d.append(spool.Entry{Kind: spool.EntryAdopted, From: e.Dir})
	}
	if err == nil {
		err = d.lock.Sync()
	}
	if err != nil {
		return fmt.Errorf("taking over the earlier run in %s: %w", e.Dir, err)
	}
	d.imported = true
	d.log.Info("an earlier run of TigerFlow is taken over", "from", e.Dir, "outputs", outputs, "failed", errs, "finished", finished)
	return nil
}

// bringResults takes the outputs and error files of the task.
func (d *Dispatcher) bringResults(ctx context.Context, e *spool.Earlier) (outputs, errs int, err error) {
	var failed []string // paths, for when all outputs are known: those win
	err = e.Results(func(folder string, names []string) error {
		done, err := d.bringOutputs(folder, names)
		if err != nil {
			return err
		}
		outputs += len(done)
		for _, n := range names {
			if strings.HasSuffix(n, spool.ErrExt) && folder != filepath.Clean(string(d.spec.OutputDir)) { // there, they are our own
				failed = append(failed, filepath.Join(folder, n))
			}
		}
		return errors.Join(ctx.Err(), d.countDone(done))
	})
	for _, path := range failed {
		if err != nil {
			return outputs, errs, err
		}
		var counted bool
		if counted, err = d.bringError(path); counted {
			errs++
		}
		err = errors.Join(err, ctx.Err())
	}
	return outputs, errs, err
}

// bringOutputs gives outputs their names in the output folder, and returns the inputs that they are of.
func (d *Dispatcher) bringOutputs(folder string, names []string) (done []spool.Name, err error) {
	for _, n := range names {
		if err := d.keep(time.Now()); err != nil {
			return nil, err
		}
		stem, ok := spool.MatchInput(n, d.spec.OutputExt)
		name, match := d.inputOf(stem)
		if !ok || !match || d.at(name).known() {
			continue
		}
		if err := d.lock.Bring(filepath.Join(folder, n), stem); err != nil {
			return nil, err
		}
		done = append(done, name)
	}
	return done, nil
}

// inputOf is the input of a stem that is not counted yet.
func (d *Dispatcher) inputOf(stem string) (spool.Name, bool) {
	name := stem + d.spec.InputExt
	_, ok := spool.MatchInput(name, d.spec.InputExt)
	return spool.Name(name), ok
}

// countDone puts down that outputs are there, when they certainly are.
func (d *Dispatcher) countDone(names []spool.Name) error {
	if len(names) == 0 {
		return nil
	}
	if d.spec.Durability == spool.Fsync {
		if err := spool.SyncDir(string(d.spec.OutputDir)); err != nil {
			return err
		}
	}
	if err := d.append(spool.Entry{Kind: spool.EntryAdopted, Done: names}); err != nil {
		return err
	}
	for _, name := range names {
		d.move(name, placeDone)
	}
	return nil
}

// bringError takes an error file for a failure, unless there is an output.
func (d *Dispatcher) bringError(path string) (bool, error) {
	stem := strings.TrimSuffix(filepath.Base(path), spool.ErrExt)
	name, ok := d.inputOf(stem)
	if !ok || d.at(name).known() {
		return false, nil
	}
	if err := d.keep(time.Now()); err != nil {
		return false, err
	}
	file, err := spool.ReadEarlierError(path)
	if err != nil {
		return false, err
	}
	file.File = name
	written, err := d.lock.WriteError(stem, file)
	if err != nil {
		return false, err
	}
	if !written {
		return false, d.adopted(name)
	}
	failure := &spool.Failure{Type: file.ExceptionType, Message: file.Message, Traceback: file.Traceback}
	err = d.append(spool.Entry{Kind: spool.EntryFailed, File: name, Failure: failure, Attempts: file.Attempts, Time: file.Timestamp, Reason: "found"})
	if err != nil {
		return false, err
	}
	d.move(name, placeFailed)
	d.remember(Failure{File: name, Type: failure.Type, Message: failure.Message, Time: file.Timestamp, Attempts: file.Attempts})
	return true, nil
}

// countFinished counts the inputs that were through all tasks. Those whose outputs were not kept are as if these had been
// deleted because nobody needs them any more.
func (d *Dispatcher) countFinished(ctx context.Context, e *spool.Earlier) (n int, err error) {
	outputs := d.chain.clear[0]
	err = e.Finished(func(stems []string) error {
		var kept, gone []spool.Name
		for _, stem := range stems {
			if err := d.keep(time.Now()); err != nil {
				return err
			}
			name, ok := d.inputOf(stem)
			switch {
			case !ok || d.at(name).known():
			case d.absent(spool.OutputName(stem, d.spec.OutputExt)):
				gone = append(gone, name)
			default:
				kept = append(kept, name)
			}
		}
		n += len(kept) + len(gone)
		if err := errors.Join(ctx.Err(), d.countDone(kept)); err != nil || len(gone) == 0 {
			return err
		}
		err := d.append(spool.Entry{Kind: spool.EntryDeleting, Done: gone, Deleted: gone})
		if err == nil {
			err = d.append(spool.Entry{Kind: spool.EntryDeleted})
		}
		for _, name := range gone {
			d.move(name, placeDone)
			outputs.gone.Add(d.file(name))
		}
		return err
	})
	return n, err
}
