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
	listRest  = 10 // a large folder in which much happens is listed for an eleventh of the time at most
)

// discovery is what is known of the input folder.
type discovery struct {
	clock     fsClock
	local     bool
	mtime     time.Time     // of the folder, before the last listing
	listed    time.Time     // when the last listing began, by our clock
	took      time.Duration // of the last listing, without what was done with the names
	sure      bool          // the folder's mtime was old enough at that time to be trusted
	complete  bool          // nothing has come since the last listing, by a look in this round
	settleAt  time.Time     // when an unsettled file, or the folder, is to be looked at again
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

// stale has the folder listed again.
func (in *discovery) stale() { in.mtime, in.sure, in.complete = time.Time{}, false, false }

// discover finds new inputs. The folder is not listed while nothing can have changed in it: its mtime is the same, and
// was old already when the last listing began, for a clock that ticks coarsely gives two changes the same time.
func (d *Dispatcher) discover(ctx context.Context, now time.Time) error {
	in := &d.inputs
	d.settle(now)
	in.complete = false
	info, err := os.Stat(string(d.spec.InputDir))
	if err != nil {
		in.err = err
		return nil //nolint:nilerr // the Snapshot tells it; workers go on
	}
	if in.err != nil || in.listed.IsZero() {
		d.wake.Add(string(d.spec.InputDir)) // a folder that has come back is not the one that was watched
		in.local = isLocal(string(d.spec.InputDir))
		in.stale()
		in.err = nil
	}
	clock, known := in.clock.on(info, in.local, now)
	young := d.cfg.Settle - clock.Sub(info.ModTime()) // positive until the mtime can be trusted
	if in.rests(info.ModTime(), known, young, now) {
		return nil
	}
	in.mtime, in.listed, in.sure = info.ModTime(), now, known && young <= 0
	if in.err, err = d.list(ctx, now); err != nil || in.err != nil {
		in.stale() // only a part is known
		return err
	}
	in.found = nil
	in.complete = in.sure || !known
	if known && !in.sure {
		in.settleAt = soonest(in.settleAt, now.Add(young))
	}
	return nil
}

// rests reports whether the folder need not be listed now. young is how long its mtime cannot be trusted yet.
func (in *discovery) rests(mtime time.Time, known bool, young time.Duration, now time.Time) bool {
	unchanged := mtime.Equal(in.mtime)
	switch rested := in.listed.Add(listRest * in.took); {
	case unchanged && in.sure && now.Sub(in.listed) < listEvery:
		in.complete = true
	case now.Before(rested):
		in.settleAt = soonest(in.settleAt, rested)
	case unchanged && known && young > 0:
		in.settleAt = soonest(in.settleAt, now.Add(young))
	default:
		return false
	}
	return true
}

// list reads the folder and takes up what is new. unread is why the folder cannot be read.
func (d *Dispatcher) list(ctx context.Context, now time.Time) (unread, err error) {
	began := time.Now()
	d.inputs.took = 0
	dir, err := os.Open(string(d.spec.InputDir))
	if err != nil {
		return err, nil
	}
	defer dir.Close()
	for {
		asked := time.Now()
		entries, err := dir.ReadDir(listChunk)
		d.inputs.took += time.Since(asked)
		for _, entry := range entries {
			d.see(entry, now.Add(time.Since(began)))
		}
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", d.spec.InputDir, err), nil
		}
		if err := errors.Join(ctx.Err(), d.keep(now.Add(time.Since(began)))); err != nil {
			return nil, err
		}
		if err := d.feed(ctx, now); err != nil {
			return nil, err
		}
	}
}

// see takes up one entry of the input folder.
func (d *Dispatcher) see(entry fs.DirEntry, now time.Time) {
	stem, ok := spool.MatchInput(entry.Name(), d.spec.InputExt)
	name := spool.Name(entry.Name())
	if _, known := d.at[name]; !ok || known || (!entry.Type().IsRegular() && entry.Type()&fs.ModeSymlink == 0) {
		return
	}
	if !d.adopt(name, stem) {
		d.look(name, now)
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
	if clock, ok := in.clock.on(info, in.local, now); ok && clock.Sub(info.ModTime()) >= d.cfg.Settle {
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
	for name, was := range in.unsettled {
		if due := was.at.Add(d.cfg.Settle); now.Before(due) {
			in.settleAt = soonest(in.settleAt, due)
		} else {
			d.look(name, now)
		}
	}
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
