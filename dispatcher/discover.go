package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const (
	listChunk = 4096            // names read at once; between chunks the first ones are fed already
	listEvery = 5 * time.Minute // at least
	listShare = 3000            // a large quiet folder is listed for a 3,000th of the time at most,
	listLast  = time.Hour       // but once in this time
	listRest  = 10              // a large folder in which much happens is listed for an eleventh of the time at most
)

// discovery is what is known of the input folder.
type discovery struct {
	clock    fsClock
	local    bool
	mtime    time.Time     // of the folder, before the last listing
	listed   time.Time     // when the last listing began, by our clock
	took     time.Duration // of the last listing, without what was done with the names
	sure     bool          // the folder's mtime was old enough at that time to be trusted
	complete bool          // nothing has come since the last listing, by a look in this round
	settleAt time.Time     // when an unsettled file, or the folder, is to be looked at again
	settling []look        // files that may still be being written, those first that are to be looked at first
	err      error         // why the folder cannot be listed
	fresh    bool          // what the index knows of outputs without history is as new as the listing
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
	young := d.settleTime(info.ModTime()) - clock.Sub(info.ModTime()) // positive until the mtime can be trusted
	if in.rests(info.ModTime(), known, young, now) {
		return nil
	}
	in.mtime, in.listed, in.sure = info.ModTime(), now, known && young <= 0
	if in.err, err = d.list(ctx, now); err != nil || in.err != nil {
		in.stale() // only a part is known
		return err
	}
	in.fresh = false
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
	case unchanged && in.sure && now.Sub(in.listed) < in.fullEvery():
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

// fullEvery is how often the folder is listed although its time says that nothing has changed.
func (in *discovery) fullEvery() time.Duration {
	return min(max(listEvery, listShare*in.took), listLast)
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
	if !ok || d.at(name) >= placeSettling || (!entry.Type().IsRegular() && entry.Type()&fs.ModeSymlink == 0) {
		return
	}
	if !d.adopt(name, stem) {
		d.look(name, now, 0)
	}
}

// adopt takes what an earlier run left in the output folder for the result it is.
func (d *Dispatcher) adopt(name spool.Name, stem string) bool {
	errFile, fresh := spool.ErrName(stem), d.inputs.fresh
	switch p := d.at(name); {
	case p == placeOutput && (fresh || !d.absent(spool.OutputName(stem, d.spec.OutputExt))):
		return d.adopted(name) == nil
	case p == placeError && (fresh || !d.absent(errFile)), isCut(errFile, stem) && !d.absent(errFile):
	default:
		return false
	}
	if err := d.append(spool.Entry{Kind: spool.EntryFailed, File: name, Reason: "found"}); err != nil {
		return false
	}
	d.move(name, placeFailed)
	return true
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
