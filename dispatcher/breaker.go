package dispatcher

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"tigerflow.dev/tigerflow/spool"
)

// alikeBytes is how much of a message is compared: what follows is data more often than a cause.
const alikeBytes = 1000

// Pause is why no file is tried: so many failed alike that the rest would too.
type Pause struct {
	Files   int           // that failed alike
	Why     string        // which ones these were
	Failure spool.Failure // of the last of them
	spec    string        // fingerprint of the Task that they failed with
}

// breaker notices that files fail alike. It begins anew with each dispatcher; a pause outlives it, in the ledger.
type breaker struct {
	limits  spool.Breaker
	mixed   bool   // not all have failed alike since it began
	row     int    // files in a row that failed alike
	kind    string // how
	failure spool.Failure
	pause   *Pause
}

func (b *breaker) succeeded() { b.mixed, b.row = true, 0 }

func (b *breaker) failed(name spool.Name, f *spool.Failure) {
	kind := alike(name, f)
	if kind != b.kind {
		b.mixed = b.mixed || b.row > 0
		b.kind, b.row = kind, 0
	}
	b.row++
	b.failure = *f
}

// due tells why work is to pause; empty if it is not. done is how many files ever were.
func (b *breaker) due(done int64) string {
	switch {
	case b.limits.First > 0 && done == 0 && !b.mixed && b.row >= b.limits.First:
		return fmt.Sprintf("the first %d files failed alike", b.row)
	case b.limits.InARow > 0 && b.row >= b.limits.InARow:
		return fmt.Sprintf("%d files in a row failed alike", b.row)
	}
	return ""
}

func (b *breaker) reset() { *b = breaker{limits: b.limits} }

// alike is what failures of one cause have in common: type and message, less the file's own name and words with digits,
// which tell of times, sizes and addresses.
func alike(name spool.Name, f *spool.Failure) string {
	message := f.Message
	if len(message) > alikeBytes {
		message = message[:alikeBytes]
	}
	base := path.Base(string(name))
	stem := strings.TrimSuffix(base, path.Ext(base))
	for _, own := range []string{string(name), base, stem} {
		if len(own) > 1 { // a letter is in every word
			message = strings.ReplaceAll(message, own, "")
		}
	}
	words := strings.Fields(message)
	kept := words[:0]
	for _, w := range words {
		if w != stem && !strings.ContainsFunc(w, unicode.IsDigit) {
			kept = append(kept, w)
		}
	}
	return f.Type + " " + strings.Join(kept, " ")
}

// guard pauses the Task if files fail alike and there are others to save from it.
func (d *Dispatcher) guard(context.Context, time.Time) error {
	b := &d.breaker
	why := b.due(d.done)
	if b.pause != nil || why == "" || d.waiting+d.inBatches == 0 {
		return nil
	}
	p := &Pause{Files: b.row, Why: why, Failure: b.failure, spec: d.spec.Fingerprint()}
	err := d.append(spool.Entry{Kind: spool.EntryPaused, Attempts: p.Files, Failure: &p.Failure, Reason: p.Why, Spec: p.spec})
	if err != nil {
		return err
	}
	b.pause = p
	d.log.Warn("no more files are tried", "reason", why, "type", p.Failure.Type, "message", p.Failure.Message)
	return d.lock.Flush()
}

// recall takes back what waits in the queue: files that nobody has begun are not to fail like the others.
func (d *Dispatcher) recall() error {
	ids, err := d.spool.Queue()
	if err != nil {
		return err
	}
	for _, id := range ids {
		b := d.byID[id]
		if b == nil { // a zombie fed it
			continue
		}
		mine, err := d.lock.Recall(id)
		if err != nil {
			return err
		}
		if !mine {
			continue
		}
		for _, f := range d.rest(b) {
			d.move(f, placeWaiting)
		}
	}
	return nil
}

// resume has a Task go on that is paused, and the breaker begin anew.
func (d *Dispatcher) resume(why string) error {
	if d.breaker.pause != nil {
		if err := d.append(spool.Entry{Kind: spool.EntryResumed, Reason: why}); err != nil {
			return err
		}
		d.log.Info("files are tried again", "reason", why)
	}
	d.breaker.reset()
	d.quiet = 0
	return nil
}

// resumeChanged has a Task go on that was changed since it was paused.
func (d *Dispatcher) resumeChanged() error {
	if p := d.breaker.pause; p == nil || p.spec == d.spec.Fingerprint() {
		return nil
	}
	return d.resume("the Task was changed")
}

// Resume has a Task go on that is paused because its files failed alike. Others ask by the spool.
func (d *Dispatcher) Resume(ctx context.Context) error {
	var failed error
	if err := d.call(ctx, func() { failed = d.resume("it was asked") }); err != nil {
		return err
	}
	return failed
}
