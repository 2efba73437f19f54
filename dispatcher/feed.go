package dispatcher

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

const (
	batchTarget = 1.0  // seconds of user code in a batch, aimed at
	batchMost   = 1000 // files in a batch
	batchAhead  = 2    // batches that wait for each worker,
	aheadMost   = 16   // and at most where they are to keep it busy while the dispatcher rests
	auditEvery  = 30 * time.Second
	checkRest   = 5 // a large output folder is looked at for a sixth of the time at most
)

// judge writes the error files of the files that are given up.
func (d *Dispatcher) judge(context.Context, time.Time) error {
	if len(d.verdicts) == 0 {
		return nil
	}
	if err := d.lock.Flush(); err != nil { // the attempts stand in the ledger before the verdict on them
		return err
	}
	for len(d.verdicts) > 0 {
		if err := d.keep(time.Now()); err != nil {
			return err
		}
		if err := d.giveUp(d.verdicts[0]); err != nil {
			return err
		}
		d.verdicts = d.verdicts[1:]
	}
	return nil
}

func (d *Dispatcher) giveUp(name spool.Name) error {
	f := d.file(name)
	t, failure := d.tries[f], d.causes[f].failure
	if failure == nil {
		failure = &spool.Failure{Type: "Crashed"}
	}
	stem, _ := spool.MatchInput(string(name), d.spec.InputExt)
	now := time.Now().UTC()
	attempts := int(t.attempts) + int(t.crashes) + int(t.storage)
	written, err := d.lock.WriteError(stem, spool.ErrorFile{
		File: name, Timestamp: now, ExceptionType: failure.Type, Message: failure.Message, Traceback: failure.Traceback,
		Attempts: attempts, Crashes: int(t.crashes), Worker: d.causes[f].worker, ExitCode: failure.ExitCode, Stderr: failure.Stderr,
	})
	if err != nil {
		return err
	}
	failpoint.Reach(failpoint.DispatcherJudged)
	if !written { // there is an output, whoever made it
		return d.adopted(name)
	}
	if err := d.append(spool.Entry{Kind: spool.EntryFailed, File: name, Failure: failure, Attempts: attempts, Time: now}); err != nil {
		return err
	}
	d.move(name, placeFailed)
	d.breaker.failed(name, failure)
	d.remember(Failure{File: name, Type: failure.Type, Message: failure.Message, Time: now, Attempts: attempts, ExitCode: failure.ExitCode})
	return nil
}

// feed keeps the queue a little ahead of the workers. It is kept short so that batches can follow what is learnt of the
// files, and so that what comes first is begun first.
func (d *Dispatcher) feed(_ context.Context, now time.Time) error {
	d.queuedFiles = 0
	if d.waiting == 0 && d.inBatches == 0 {
		return nil
	}
	d.due(now)
	if d.breaker.pause != nil || d.asked.ending != "" {
		return d.recall()
	}
	if err := d.lock.Flush(); err != nil { // why a file is fed again stands in the ledger before it is
		return err
	}
	ids, err := d.spool.Queue()
	if err != nil {
		return err
	}
	queued := 0
	for _, id := range ids {
		if b := d.byID[id]; b != nil { // else a zombie fed it
			d.queuedFiles += int64(b.left)
			queued++
		}
	}
	live := max(1, d.live())
	for ahead := d.ahead(); queued < ahead*live+1; queued++ {
		files, alone := d.take(int(min(int64(d.batchSize(live)), d.room())))
		if len(files) == 0 {
			return nil
		}
		id, err := d.lock.Feed(spool.Batch{Files: files, Alone: alone})
		if err != nil {
			for _, f := range files {
				d.move(f, placeWaiting)
			}
			return err
		}
		failpoint.Reach(failpoint.DispatcherFed)
		d.batch(id, files)
		d.queuedFiles += int64(len(files))
	}
	return nil
}

// ahead is how many batches are to wait for each worker: what lasts for two rests.
func (d *Dispatcher) ahead() int {
	batch := d.pace * float64(d.size) / float64(d.spec.InHand()) // seconds of a worker
	if d.cfg.Rest == 0 || batch == 0 {
		return batchAhead
	}
	return max(batchAhead, int(min(aheadMost, math.Ceil(2*d.cfg.Rest.Seconds()/batch))))
}

// batchSize is one file until a duration is known; then batches grow to the target time, and shrink again with the
// backlog so that all workers end together.
func (d *Dispatcher) batchSize(live int) int {
	if d.pace == 0 {
		return 1
	}
	rate := float64(d.spec.InHand()) / max(d.pace, 1e-6) // files a second of one worker
	if limit := d.spec.RateLimit; limit != nil {
		rate = min(rate, limit.Share())
	}
	n := min(batchMost, 4*d.size, int(batchTarget*rate))
	d.size = max(1, n)
	return max(1, min(n, len(d.ready)/(2*live)))
}

func (d *Dispatcher) live() int {
	n := 0
	for _, w := range d.workers {
		if w != nil {
			n++
		}
	}
	return n
}

// audit compares the index with the disk: batches now and then; outputs before the Task counts as drained, and again while other
// Tasks may be waiting for one that somebody has removed.
func (d *Dispatcher) audit(_ context.Context, now time.Time) error {
	rested := now.Sub(d.checkedAt)
	due := !d.checked && d.idle() && rested > checkRest*d.checkTook
	if d.checked = d.checked && d.idle(); due || d.isAwaited() && rested >= seldom(d.checkTook) {
		if err := d.checkOutputs(now); err != nil {
			return err
		}
	}
	if now.Before(d.auditAt) {
		return nil
	}
	d.auditAt = now.Add(auditEvery)
	return d.findLost()
}

// isAwaited reports that nothing more comes of this Task before Tasks that depend on it have gone on, or new inputs have come.
func (d *Dispatcher) isAwaited() bool {
	return len(d.cfg.Chain.Children) > 0 && (d.idle() || d.inBatches == 0 && d.room() == 0)
}

// findLost feeds batches again that are neither in the queue nor with a live worker, twice in a row: a person may have
// removed one, or a file system lost it.
func (d *Dispatcher) findLost() error {
	if len(d.byID) == 0 {
		return nil
	}
	there := map[spool.BatchID]bool{}
	note := func(ids []spool.BatchID, err error) error {
		for _, id := range ids {
			there[id] = true
		}
		return err
	}
	if err := note(d.spool.Queue()); err != nil {
		return err
	}
	for id, w := range d.workers {
		if w == nil {
			continue
		}
		if err := note(d.spool.Claims(id)); err != nil {
			return err
		}
	}
	for id, b := range d.byID {
		if there[id] {
			b.missed = 0
			continue
		}
		if b.missed++; b.missed < 2 {
			continue
		}
		files := d.rest(b)
		d.log.Warn("a batch was lost", "batch", id.String(), "files", len(files))
		for _, f := range files {
			d.move(f, placeWaiting)
		}
	}
	return nil
}

func isNameTooLong(err error) bool {
	return errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, fs.ErrInvalid)
}
