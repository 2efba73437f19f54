package dispatcher

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// lookAgain is how long a file that cannot be looked at is left alone.
const lookAgain = 5 * time.Second

// look is what an input was like when it was looked at. There may be a million of them at once.
type look struct {
	f    file
	mark uint64        // of size and time, see markOf
	due  time.Duration // when to look again, from the index's start on
}

// markOf sums size and time up in a number; it is not 0.
func markOf(info fs.FileInfo) uint64 {
	const prime = 0x9e3779b97f4a7c15 // the golden ratio, which spreads bits well
	mark := (uint64(info.Size())*prime ^ uint64(info.ModTime().UnixNano())) * prime
	return max(1, mark)
}

// settleTime is how long a file or folder with this time must have been left alone. A file system that keeps whole seconds
// shows a change as up to a second older than it is, and two changes in one second as one.
func (d *Dispatcher) settleTime(mtime time.Time) time.Duration {
	if mtime.Nanosecond() == 0 {
		return d.cfg.Settle + time.Second
	}
	return d.cfg.Settle
}

// look takes a file if it is certain that nobody writes it any more: its mtime is old by the clock that made it, or it is
// what it was at the last look, of which was is the mark.
func (d *Dispatcher) look(name spool.Name, now time.Time, was uint64) error {
	in := &d.inputs
	info, err := os.Stat(filepath.Join(string(d.spec.InputDir), string(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP), err == nil && !info.Mode().IsRegular():
		if f, ok := d.names.Find(name); ok { // gone again, or a link to nothing: a later listing sees it if it comes
			d.put(f, placeUnseen)
		}
		return nil
	case err != nil:
		return err
	}
	need, f := d.settleTime(info.ModTime()), d.file(name)
	clock, known := in.clock.on(info, in.local, now)
	mark := markOf(info)
	if mark == was || known && clock.Sub(info.ModTime()) >= need {
		d.admit(f)
		return nil
	}
	d.put(f, placeSettling)
	in.settling = append(in.settling, look{f: f, mark: mark, due: now.Add(need).Sub(d.start)})
	in.settleAt = soonest(in.settleAt, now.Add(need))
	return nil
}

// welcome takes files that were moved in or closed by their writers, by the word of this host's kernel, and reports whether
// there were any. An empty one may have been made to be written yet: it waits as others do.
func (d *Dispatcher) welcome() bool {
	root, came := filepath.Clean(string(d.spec.InputDir))+"/", false
	for _, path := range d.wake.Arrived() {
		rel, ok := strings.CutPrefix(path, root)
		stem, match := spool.MatchInput(rel, d.spec.InputExt)
		name := spool.Name(rel)
		if !ok || !match || !d.inputs.local || d.at(name) > placeSettling || d.adopt(name, stem) {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Size() > 0 { // others are seen by the listing
			d.admit(d.file(name))
			came = true
		}
	}
	return came
}

// settle looks again at the files that were still being written.
func (d *Dispatcher) settle(now time.Time) {
	in := &d.inputs
	if in.settleAt.IsZero() || now.Before(in.settleAt) {
		return
	}
	in.settleAt = time.Time{}
	for n := len(in.settling); n > 0; n-- {
		l := in.settling[0]
		if l.due > now.Sub(d.start) {
			in.settleAt = d.start.Add(l.due)
			break
		}
		in.settling = in.settling[1:]
		if d.places[l.f] != placeSettling { // it has moved on
			continue
		}
		if err := d.look(d.name(l.f), now, l.mark); err != nil {
			in.lookErr = err
			l.due = now.Add(lookAgain).Sub(d.start)
			in.settling = append(in.settling, l)
			in.settleAt = d.start.Add(in.settling[0].due)
			return // the others may fail alike
		}
	}
	if len(in.settling) == 0 {
		in.settling, in.lookErr = nil, nil
	}
}
