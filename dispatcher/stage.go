package dispatcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

const (
	stageEvery = 10 * time.Second // from one round of staging to the next where nothing else calls for one; as TigerFlow
	stageRest  = 10               // rounds that news call for take an eleventh of the time at most,
	stageQuiet = 100              // and those that nothing calls for a hundredth
)

// stager is what the lead of a pipeline knows of staging. Rounds, which may have to look at very many files or run an
// author's function, are made beside the loop, one at a time.
type stager struct {
	steps  *staging.Steps // nil: there is no staging
	caller staging.Caller
	staged fileSet // have been chosen, or are wanted again: they are not asked about
	order  []file  // chosen under earlier dispatchers, as they were, until restage

	answers chan *choice // of the round that is being made; it holds one
	choice  *choice      // the answer to take up; nil if there is none
	making  bool
	cancel  context.CancelFunc

	news   bool           // since the last round began something came that may make it choose otherwise
	rests  bool           // the last round chose nothing, and nothing has come since that may change that
	began  time.Time      // the last round
	rested time.Time      // when one that news call for may begin, for the sake of all else
	quiet  time.Time      // likewise, one that nothing calls for
	young  time.Time      // when one of the candidates will be old enough, or is to be looked at again; zero if none is
	due    time.Time      // when the next round is, unless something comes before
	counts staging.Counts // that the last round was told
	fault  string
	blind  error   // why one of the candidates could not be looked at in the last round
	seen   fileSet // candidates that the listing of a folder has shown so far
}

// choice is what a round of staging came to.
type choice struct {
	names []string
	gone  []spool.Name // candidates that are not there any more
	young time.Time
	took  time.Duration
	blind error // why something could not be looked at
	err   error
}

func newStager(lead *Lead) stager {
	s := stager{answers: make(chan *choice, 1), cancel: func() {}}
	if lead != nil {
		s.steps, s.caller = lead.Staging, lead.Caller
	}
	return s
}

// stop ends the round that is being made, if there is one.
func (s *stager) stop() {
	s.cancel()
	if s.making && s.choice == nil {
		<-s.answers
	}
	s.making = false
}

// keep has a file taken whenever it is found.
func (s *stager) keep(f file) {
	if s.steps != nil {
		s.staged.Add(f)
	}
}

// unstage makes a file that has gone one that is chosen anew if it comes back.
func (s *stager) unstage(f file) { s.staged.Remove(f) }

// tell notes what may make the next round choose otherwise than the last one.
func (s *stager) tell() { s.news, s.rests = true, false }

// unseen is why one of so many candidates could not be looked at.
func (s *stager) unseen(candidates int64) error {
	if candidates == 0 {
		return nil
	}
	return s.blind
}

// admit takes up an input that is whole.
func (d *Dispatcher) admit(f file) {
	if d.stager.steps == nil || d.stager.staged.Has(f) {
		d.put(f, placeWaiting)
		return
	}
	d.put(f, placeCandidate)
	d.stager.tell()
}

// listedCandidates forgets those of a folder that its listing has not shown. What has come beside them may be what a step waits
// for.
func (d *Dispatcher) listedCandidates(in *folder) {
	s := &d.stager
	if d.candidates == 0 {
		return
	}
	s.news = s.news || s.steps.Looking()
	for _, f := range d.wished {
		folder := path.Dir(string(d.name(f)))
		if folder == "." {
			folder = ""
		}
		if d.places[f] == placeCandidate && folder == in.name && !s.seen.Has(f) {
			d.put(f, placeUnseen)
		}
	}
}

// restage takes up what earlier dispatchers have chosen and nothing more is known of.
func (d *Dispatcher) restage(context.Context, time.Time) error {
	s := &d.stager
	for i, f := range s.order {
		if d.places[f] > placeCandidate || !s.staged.Has(f) {
			continue
		}
		if stem, ok := spool.MatchInput(string(d.name(f)), d.spec.InputExt); ok && !d.adopt(d.name(f), stem) {
			d.put(f, placeWaiting)
		}
		if i%requeueChunk == 0 {
			if err := d.keep(time.Now()); err != nil {
				return err
			}
		}
	}
	s.order = nil
	return nil
}

// stage takes up what a round of staging has chosen, and begins the next one when it is due.
func (d *Dispatcher) stage(ctx context.Context, now time.Time) error {
	s := &d.stager
	if s.steps == nil {
		return nil
	}
	if s.choice == nil {
		select {
		case s.choice = <-s.answers:
		default:
		}
	}
	if s.choice != nil {
		if err := d.takeChosen(now); err != nil {
			return err
		}
	}
	counts := d.stagingCounts()
	if s.steps.Counting() && counts != s.counts {
		s.tell()
	}
	due, wanted := d.stageAt()
	if s.due = due; wanted && !now.Before(due) {
		s.counts = counts
		d.beginStaging(ctx, now)
	}
	return nil
}

// stageAt is when the next round is due, if one is before something comes.
func (d *Dispatcher) stageAt() (at time.Time, wanted bool) {
	s := &d.stager
	if d.candidates == 0 || s.making || !d.inputs.listed || d.asked.ending != "" {
		return time.Time{}, false
	}
	paced := s.began.Add(stageEvery)
	switch {
	case s.news && s.steps.Paced():
		return later(s.rested, paced), true
	case s.news:
		return s.rested, true
	}
	if s.steps.Looking() {
		at = later(s.quiet, paced)
	}
	if !s.young.IsZero() {
		at = soonest(at, later(s.rested, s.young))
	}
	return at, !at.IsZero()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// beginStaging has the steps choose among the candidates.
func (d *Dispatcher) beginStaging(ctx context.Context, now time.Time) {
	s := &d.stager
	d.wished = slices.DeleteFunc(d.wished, func(f file) bool { return d.places[f] != placeCandidate })
	names := make([]string, len(d.wished))
	for i, f := range d.wished {
		names[i] = string(d.name(f))
	}
	s.making, s.news, s.began, s.due = true, false, now, time.Time{}
	ctx, s.cancel = context.WithCancel(ctx)
	clock := now
	if info, err := os.Stat(string(d.spec.InputDir)); err == nil {
		if at, known := d.inputs.clock.on(info, d.inputs.local, now); known {
			clock = at
		}
	}
	steps, answers, dir := s.steps, s.answers, string(d.spec.InputDir)
	view := staging.View{Counts: s.counts, Now: clock, Caller: s.caller}
	go func() { // stop waits for its answer
		began, c := time.Now(), &choice{}
		in := &stagingFolder{dir: dir, over: ctx.Err}
		view.Folder, view.Young = in, func(at time.Time) { c.young = soonest(c.young, at.Add(now.Sub(clock))) }
		slices.Sort(names)
		c.names, c.err = steps.Choose(ctx, slices.Compact(names), view)
		c.gone, c.blind, c.took = in.gone, in.blind, time.Since(began)
		answers <- c
	}()
}

// takeChosen has what a round has chosen wait to be fed, in that order. The ledger says so first.
func (d *Dispatcher) takeChosen(now time.Time) error {
	s, c := &d.stager, d.stager.choice
	s.cancel()
	s.making, s.choice, s.blind = false, nil, c.blind
	if c.blind != nil { // what it hides may be chosen yet
		c.young = soonest(c.young, now.Add(stageEvery))
	}
	s.rested, s.quiet, s.young = now.Add(max(roundGap, stageRest*c.took)), now.Add(stageQuiet*c.took), c.young
	for _, name := range c.gone {
		if d.at(name) == placeCandidate {
			d.move(name, placeUnseen)
		}
	}
	s.fault, s.rests = "", !s.news && len(c.names) == 0 && c.young.IsZero()
	if c.err != nil {
		s.fault, s.rests = strings.Join(strings.Fields(c.err.Error()), " "), false
		return nil
	}
	if len(c.names) > 0 { // only a round that chooses nothing tells that there is no more to choose
		s.tell()
	}
	var chosen []spool.Name
	for _, name := range c.names {
		if d.at(spool.Name(name)) == placeCandidate { // it has not moved on
			chosen = append(chosen, spool.Name(name))
		}
	}
	for some := range slices.Chunk(chosen, requeueChunk) {
		if err := d.append(spool.Entry{Kind: spool.EntryStaged, Staged: some}); err != nil {
			return err
		}
		for _, name := range some {
			f := d.file(name)
			s.staged.Add(f)
			d.put(f, placeWaiting)
		}
	}
	return nil
}

// stagingFolder is the input folder as the steps see it.
type stagingFolder struct {
	dir   string
	over  func() error // why nobody waits for the choice any more; there may be very many files to look at yet
	gone  []spool.Name
	blind error // why something could not be looked at that may be there
}

func (in *stagingFolder) Stat(name string) (staging.Info, error) {
	if err := in.over(); err != nil {
		return staging.Info{}, err
	}
	info, err := os.Stat(filepath.Join(in.dir, name))
	switch {
	case isAbsent(err):
		in.gone = append(in.gone, spool.Name(name))
	case err != nil:
		in.blind = err
	default:
		return staging.Info{Size: info.Size(), MTime: info.ModTime()}, nil
	}
	return staging.Info{}, err
}

func (in *stagingFolder) IsFile(name string) bool {
	if in.over() != nil {
		return false
	}
	info, err := os.Stat(filepath.Join(in.dir, name))
	if err != nil && !isAbsent(err) && !errors.Is(err, syscall.ENAMETOOLONG) { // a longer name than can be is no file's
		in.blind = err
	}
	return err == nil && info.Mode().IsRegular()
}

// isAbsent reports whether an error says that there is no such file: not even at the end of a link.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}
