package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const (
	listChunk = 4096 // names read at once; between chunks the first ones are fed already
	listEvery = 5 * time.Minute
	listShare = 3000 // large quiet folders are listed for a 3,000th of the time at most,
	listLast  = time.Hour
	listRest  = 10  // and one in which much happens for an eleventh
	passRest  = 100 // many folders are looked at for a hundredth of the time
	badLooks  = 100 // files of a folder that cannot be looked at before the rest is not tried
)

// discovery is what is known of the inputs.
type discovery struct {
	clock    fsClock
	local    bool
	folders  []*folder       // the input folder first; then, if the Task wants it, those in it
	names    map[string]bool // of these
	every    time.Duration   // how often they are listed although their times say that nothing has changed
	passed   time.Time       // when they were all last looked at
	passTook time.Duration
	complete bool      // nothing has come since all were listed, by the last look
	listed   bool      // all were listed once
	settleAt time.Time // when an unsettled file, or a folder, is to be looked at again
	settling []look    // files that may still be being written, those first that are to be looked at first
	links    []string  // folders that links among the inputs lead to, sorted
	fresh    bool      // what the index knows of outputs without history is as new as the listing
	err      error     // why a folder cannot be listed
	lookErr  error     // why a file that settles cannot be looked at
}

// folder is one folder of inputs.
type folder struct {
	name   string        // relative to the input folder; "" for that one
	mtime  time.Time     // before the last listing
	listed time.Time     // when the last listing began, by our clock
	took   time.Duration // of the last listing, without what was done with the names
	sure   bool          // the folder's mtime was old enough at that time to be trusted
	gone   bool
	err    error // why it cannot be listed
}

// stale has the folder listed again.
func (f *folder) stale() { f.mtime, f.sure = time.Time{}, false }

// stale has all folders listed again.
func (in *discovery) stale() {
	in.complete, in.passed = false, time.Time{}
	for _, f := range in.folders {
		f.stale()
	}
}

// discover finds new inputs. A folder is not listed while nothing can have changed in it: its mtime is the same, and was
// old already when the last listing began, for a clock that ticks coarsely gives two changes the same time.
func (d *Dispatcher) discover(ctx context.Context, now time.Time) error {
	in := &d.inputs
	d.settle(now)
	if d.welcome() {
		if err := d.feed(ctx, now); err != nil { // before anything is listed
			return err
		}
	}
	if rested := in.passed.Add(passRest * in.passTook); now.Before(rested) {
		in.settleAt = soonest(in.settleAt, rested)
		return nil
	}
	if len(in.folders) == 0 {
		in.folders, in.names = []*folder{{}}, map[string]bool{}
	}
	in.complete, in.err, in.passTook, in.every = true, nil, 0, in.fullEvery()
	for i := 0; i < len(in.folders); i++ { // listing one may find more
		f := in.folders[i]
		complete, err := d.visit(ctx, f, now)
		if err != nil {
			in.complete = false
			return err
		}
		in.complete = in.complete && complete
		if in.err == nil {
			in.err = f.err
		}
	}
	in.passed = now
	if len(in.folders) == 1 {
		in.passTook = 0
	}
	in.folders = slices.DeleteFunc(in.folders, func(f *folder) bool {
		if f.gone {
			delete(in.names, f.name)
		}
		return f.gone
	})
	if in.err == nil {
		in.fresh, in.listed = false, true
	}
	return nil
}

// visit lists a folder if that is called for, and reports whether all that it has is known.
func (d *Dispatcher) visit(ctx context.Context, f *folder, now time.Time) (complete bool, err error) {
	in := &d.inputs
	path := filepath.Join(string(d.spec.InputDir), f.name)
	asked := time.Now()
	info, err := os.Stat(path)
	in.passTook += time.Since(asked)
	switch {
	case f.name != "" && isNoFolder(info, err):
		f.gone = true
		return true, nil
	case err != nil:
		f.err = err
		return false, nil //nolint:nilerr // the Snapshot tells it; workers go on
	}
	if f.err != nil || f.listed.IsZero() {
		d.wake.AddInbox(path) // a folder that has come back is not the one that was watched
		if f.name == "" {
			in.local = isLocal(path)
		}
		f.stale()
	}
	clock, known := in.clock.on(info, in.local, now)
	// Positive until the mtime can be trusted. One far ahead, of a copied folder or from before a clock was set back, can: the
	// next change makes it another.
	young := d.settleTime(info.ModTime()) - clock.Sub(info.ModTime()).Abs()
	if complete, rests := in.rests(f, info.ModTime(), known, young, now); rests {
		return complete, nil
	}
	f.mtime, f.listed, f.sure = info.ModTime(), now, known && young <= 0
	if f.err, err = d.list(ctx, f, path, now); err != nil || f.err != nil {
		f.stale() // only a part is known
		return false, err
	}
	if known && !f.sure {
		in.settleAt = soonest(in.settleAt, now.Add(young))
	}
	return f.sure || !known, nil
}

// isNoFolder reports whether what was looked at is not there any more, or is something else by now.
func isNoFolder(info fs.FileInfo, err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir()
}

// rests reports whether a folder need not be listed now, and if so, whether all that it has is known. young is how long
// its mtime cannot be trusted yet.
func (in *discovery) rests(f *folder, mtime time.Time, known bool, young time.Duration, now time.Time) (complete, rests bool) {
	unchanged := mtime.Equal(f.mtime)
	switch rested := f.listed.Add(listRest * f.took); {
	case unchanged && f.sure && now.Sub(f.listed) < in.every:
		return true, true
	case now.Before(rested):
		in.settleAt = soonest(in.settleAt, rested)
	case unchanged && known && young > 0:
		in.settleAt = soonest(in.settleAt, now.Add(young))
	default:
		return false, false
	}
	return false, true
}

// fullEvery gives the time between two listings of folders whose times say that nothing has changed: the longer, the longer
// it takes to list them all.
func (in *discovery) fullEvery() time.Duration {
	var took time.Duration
	for _, f := range in.folders {
		took += f.took
	}
	return seldom(took)
}

// seldom is the time between two looks that nothing calls for, by how long one takes.
func seldom(took time.Duration) time.Duration { return min(max(listEvery, listShare*took), listLast) }

// list reads a folder and takes up what is new. unread is why it cannot be read, or what lies in it not be looked at.
func (d *Dispatcher) list(ctx context.Context, f *folder, path string, now time.Time) (unread, err error) {
	began := time.Now()
	f.took = 0
	dir, err := os.Open(path)
	if err != nil {
		return err, nil
	}
	defer dir.Close()
	bad := 0
	d.stager.seen = nil
	for {
		asked := time.Now()
		entries, err := dir.ReadDir(listChunk)
		f.took += time.Since(asked)
		for _, entry := range entries {
			if lookErr := d.see(f, entry, now.Add(time.Since(began))); lookErr != nil {
				unread = lookErr
				bad++
			}
		}
		if errors.Is(err, io.EOF) && unread == nil {
			d.listedCandidates(f)
		}
		if errors.Is(err, io.EOF) || bad > badLooks {
			return unread, nil
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", path, err), nil
		}
		if err := errors.Join(ctx.Err(), d.keep(now.Add(time.Since(began)))); err != nil {
			return nil, err
		}
		if err := d.feed(ctx, now); err != nil {
			return nil, err
		}
	}
}

// see takes up one entry of a folder.
func (d *Dispatcher) see(f *folder, entry fs.DirEntry, now time.Time) error {
	name := entry.Name()
	if f.name != "" {
		name = f.name + "/" + name
	}
	switch {
	case entry.IsDir():
		return d.seeFolder(name, entry)
	case !entry.Type().IsRegular() && entry.Type()&fs.ModeSymlink == 0:
		return nil
	}
	stem, ok := spool.MatchInput(name, d.spec.InputExt)
	if !ok {
		return nil
	}
	if d.at(spool.Name(name)) < placeSettling && entry.Type()&fs.ModeSymlink != 0 {
		d.inputs.follow(filepath.Join(string(d.spec.InputDir), name))
	}
	if d.at(spool.Name(name)) < placeSettling && !d.adopt(spool.Name(name), stem) {
		if err := d.look(spool.Name(name), now, 0); err != nil {
			return err
		}
	}
	if d.candidates > 0 && d.at(spool.Name(name)) == placeCandidate {
		d.stager.seen.Add(d.file(spool.Name(name)))
	}
	return nil
}

const (
	linksMost = 64 // folders that are remembered: there may be as many as inputs
	chainMost = 8  // links of one input that lead to each other
)

// follow notes the folders that a link leads to.
func (in *discovery) follow(link string) {
	for range chainMost {
		if len(in.links) >= linksMost {
			return
		}
		target, err := os.Readlink(link)
		if err != nil {
			return
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		link = filepath.Clean(target)
		if i, found := slices.BinarySearch(in.links, filepath.Dir(link)); !found {
			in.links = slices.Insert(slices.Clone(in.links), i, filepath.Dir(link)) // a Snapshot may have the old ones
		}
	}
}

// seeFolder takes up a folder in a folder of inputs. Links to folders are not followed: they may lead round in circles.
func (d *Dispatcher) seeFolder(name string, entry fs.DirEntry) error {
	in := &d.inputs
	if !d.spec.Recursive || !spool.Enters(entry.Name()) || in.names[name] {
		return nil
	}
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	output, err := os.Stat(string(d.spec.OutputDir))
	if err != nil {
		return err
	}
	if !os.SameFile(info, output) {
		in.folders = append(in.folders, &folder{name: name})
		in.names[name] = true
	}
	return nil
}

// adopt takes what an earlier run left in the output folder for the result it is.
func (d *Dispatcher) adopt(name spool.Name, stem string) bool {
	errFile, fresh := spool.ErrName(stem), d.inputs.fresh
	switch p := d.at(name); {
	case p == placeOutput && (fresh || !d.absent(spool.OutputName(stem, d.spec.OutputExt))):
		if d.adopted(name) != nil {
			return false
		}
		d.earlier++
		return true
	case p == placeError && (fresh || !d.absent(errFile)), isCut(errFile, stem) && !d.absent(errFile):
	default:
		return false
	}
	if err := d.append(spool.Entry{Kind: spool.EntryFailed, File: name, Reason: "found"}); err != nil {
		return false
	}
	d.move(name, placeFailed)
	d.earlier++
	return true
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
