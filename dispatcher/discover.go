package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const (
	listChunk = 4096 // names read at once; between chunks the first ones are fed already
	listEvery = 5 * time.Minute
)

// discovery is what is known of the input folder.
type discovery struct {
	clock     fsClock
	local     bool
	mtime     time.Time     // of the folder, before the last listing
	listed    time.Time     // when the last listing began, by our clock
	took      time.Duration // of the last listing
	sure      bool          // the folder's mtime was old enough at that time to be trusted
	settleAt  time.Time     // when an unsettled file is to be looked at again
	unsettled map[spool.Name]look
	err       error               // why the folder cannot be listed
	found     map[string]struct{} // output folder at start: outputs and error files that no ledger knows of
}

// look is what an input was like when it was last looked at.
type look struct {
	size  int64
	mtime time.Time
	at    time.Time
}

// discover finds new inputs. The folder is not listed while nothing can have changed in it: its mtime is the same, and
// was old already when the last listing began, for a clock that ticks coarsely gives two changes the same time.
func (d *Dispatcher) discover(ctx context.Context, now time.Time) error {
	in := &d.inputs
	d.settle(now)
	info, err := os.Stat(string(d.spec.InputDir))
	if err != nil {
		in.err = err
		return nil
	}
	if in.err == nil && now.Sub(in.listed) < 10*in.took { // a large folder in which much happens
		in.settleAt = soonest(in.settleAt, in.listed.Add(10*in.took))
		return nil
	}
	if in.err == nil && in.sure && info.ModTime().Equal(in.mtime) && now.Sub(in.listed) < listEvery {
		return nil
	}
	in.local = isLocal(string(d.spec.InputDir))
	clock, known := in.clock.now(info, in.local)
	in.mtime, in.listed = info.ModTime(), now
	in.sure = known && clock.Sub(info.ModTime()) >= d.cfg.Settle
	if !in.sure && d.quiet > 0 && known { // look again when it is old enough
		in.settleAt = soonest(in.settleAt, now.Add(d.cfg.Settle))
	}
	in.err = d.list(ctx)
	in.took = time.Since(now)
	in.found = nil
	return ctx.Err()
}

// list reads the folder and takes up what is new.
func (d *Dispatcher) list(ctx context.Context) error {
	dir, err := os.Open(string(d.spec.InputDir))
	if err != nil {
		return err
	}
	defer dir.Close()
	for ctx.Err() == nil {
		entries, err := dir.ReadDir(listChunk)
		for _, entry := range entries {
			d.see(entry)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", d.spec.InputDir, err)
		}
		if err := d.feed(ctx, time.Now()); err != nil {
			d.log.Debug("feeding while listing", "error", err) // the round's own feed says it
		}
	}
	return nil
}

// see takes up one entry of the input folder.
func (d *Dispatcher) see(entry fs.DirEntry) {
	stem, ok := spool.MatchInput(entry.Name(), d.spec.InputExt)
	name := spool.Name(entry.Name())
	if _, known := d.at[name]; !ok || known || !(entry.Type().IsRegular() || entry.Type()&fs.ModeSymlink != 0) {
		return
	}
	if !d.adopt(name, stem) {
		d.look(name, time.Now())
	}
}

// adopt takes what an earlier run left in the output folder for the result it is.
func (d *Dispatcher) adopt(name spool.Name, stem string) bool {
	in := &d.inputs
	if _, ok := in.found[spool.OutputName(stem, d.spec.OutputExt)]; ok {
		return d.adopted(name) == nil
	}
	if _, ok := in.found[spool.ErrName(stem)]; !ok {
		return false
	}
	if err := d.append(spool.Entry{Kind: spool.EntryFailed, File: name, Reason: "found"}); err != nil {
		return false
	}
	d.move(name, placeFailed)
	return true
}

// look takes a file if it is certain that nobody writes it any more: its mtime is old by the clock that made it, or it
// has been the same in two looks.
func (d *Dispatcher) look(name spool.Name, now time.Time) {
	in := &d.inputs
	info, err := os.Stat(filepath.Join(string(d.spec.InputDir), string(name)))
	if err != nil || !info.Mode().IsRegular() { // gone again, or a link to nothing: a later listing sees it if it comes
		delete(in.unsettled, name)
		return
	}
	if clock, ok := in.clock.now(info, in.local); ok && clock.Sub(info.ModTime()) >= d.cfg.Settle {
		delete(in.unsettled, name)
		d.move(name, placeWaiting)
		return
	}
	was, seen := in.unsettled[name]
	switch {
	case !seen || was.size != info.Size() || !was.mtime.Equal(info.ModTime()):
		in.unsettled[name] = look{size: info.Size(), mtime: info.ModTime(), at: now}
	case now.Sub(was.at) >= d.cfg.Settle:
		delete(in.unsettled, name)
		d.move(name, placeWaiting)
		return
	}
	in.settleAt = soonest(in.settleAt, in.unsettled[name].at.Add(d.cfg.Settle))
}

// settle looks again at the files that were still being written.
func (d *Dispatcher) settle(now time.Time) {
	in := &d.inputs
	if in.settleAt.IsZero() || now.Before(in.settleAt) {
		return
	}
	in.settleAt = time.Time{}
	for name := range in.unsettled {
		d.look(name, now)
	}
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
