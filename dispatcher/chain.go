package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

// absentFor is how long an input that a worker did not find is looked for again: clients of a network file system may take
// a minute to see a file.
const absentFor = 2 * time.Minute

// Chain says how a Task hangs together with others of its pipeline. All are spools, named by their folders; one that is
// not there yet has nothing to say.
type Chain struct {
	Parent        string   // its outputs are the inputs: they are taken from its history, and the input folder is not listed
	Children      []string // what consumes the outputs
	Siblings      []string // what consumes the same inputs
	DeleteOutputs bool     // an output goes when all Children are done with it
	DeleteInputs  bool     // an input goes when this Task and all Siblings are done with it

	Lead             *Lead  // what this Task does for all of its pipeline; nil if another one does
	StagedBy         string // the lead, which chooses the inputs; they are taken from its history. "": this Task finds them
	MaxIntermediates int64  // outputs that may wait for any one of the Children; 0 is no limit
}

// Lead is what one root of a pipeline does for all of it: it counts its files, chooses which are taken next, and is
// drained when all of it is.
type Lead struct {
	Tasks   []Member
	Staging *staging.Steps // nil: all files are taken as they come
	Caller  staging.Caller // runs the functions of Staging; nil if it has none
}

// Member is a Task of a pipeline.
type Member struct {
	Name   string
	Dir    string // its spool
	Parent string // the name of the one whose outputs it takes; "": it takes the inputs of the pipeline
}

// mostConsumers is how many Tasks can decide together whether a file goes: one bit each.
const mostConsumers = 64

// Fault tells what cannot be of a chain; empty if all can.
func (c *Chain) Fault() string {
	if n := len(c.Children); c.DeleteOutputs && n > mostConsumers {
		return fmt.Sprintf("%d tasks take the outputs, and at most %d can where outputs are deleted: keep the outputs", n, mostConsumers)
	}
	if n := len(c.Siblings) + 1; c.DeleteInputs && n > mostConsumers {
		return fmt.Sprintf("%d tasks take the inputs, and at most %d can where inputs are deleted: keep the inputs", n, mostConsumers)
	}
	if c.Lead != nil {
		if _, err := c.Lead.track(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// source is another Task of the pipeline, or this one, as its history tells.
type source struct {
	dir     string
	gives   func(e spool.Entry) []spool.Name                          // the files of theirs that an entry has this Task take
	name    func(s *spool.Spec, theirs spool.Name) (spool.Name, bool) // what this Task calls a file of theirs
	history *spool.History
	spec    *spool.Spec
	watched string
}

// chain is what a Task knows of those around it.
type chain struct {
	parent *source                  // what has the inputs: the parent, or the lead that stages them; nil if they are looked for
	absent map[spool.Name]time.Time // inputs that a worker did not find, and until when they are looked for
	clear  []*clearing
	eaters []*eater
}

func newChain(c Chain, spec *spool.Spec, self string) chain {
	ch := chain{absent: map[spool.Name]time.Time{}}
	if c.Parent != "" {
		ch.parent = &source{dir: c.Parent, gives: published, name: func(p *spool.Spec, theirs spool.Name) (spool.Name, bool) {
			stem, ok := spool.MatchInput(string(theirs), p.InputExt)
			name := spool.OutputName(stem, p.OutputExt)
			_, match := spool.MatchInput(name, spec.InputExt)
			return spool.Name(name), ok && match
		}}
	} else if c.StagedBy != "" {
		ch.parent = &source{dir: c.StagedBy, gives: staged, name: func(_ *spool.Spec, theirs spool.Name) (spool.Name, bool) {
			_, match := spool.MatchInput(string(theirs), spec.InputExt)
			return theirs, match
		}}
	}
	if c.MaxIntermediates > 0 {
		for _, dir := range c.Children {
			ch.eaters = append(ch.eaters, &eater{source: source{dir: dir, name: ofChild(spec)}})
		}
	}
	outputs := &clearing{kind: spool.EntryDeleting, done: spool.EntryDeleted, path: func(name spool.Name) string {
		stem, _ := spool.MatchInput(string(name), spec.InputExt)
		return filepath.Join(string(spec.OutputDir), spool.OutputName(stem, spec.OutputExt))
	}}
	if c.DeleteOutputs {
		outputs.from(c.Children, ofChild(spec))
		outputs.missed = map[file]uint64{}
	}
	inputs := &clearing{kind: spool.EntryDeletingInputs, done: spool.EntryDeletedInputs, path: func(name spool.Name) string {
		return filepath.Join(string(spec.InputDir), string(name))
	}}
	if c.DeleteInputs {
		inputs.from(append([]string{self}, c.Siblings...), func(_ *spool.Spec, theirs spool.Name) (spool.Name, bool) { return theirs, true })
	}
	ch.clear = []*clearing{outputs, inputs}
	return ch
}

// ofChild names the input of this Task that a file of a child was made from.
func ofChild(spec *spool.Spec) func(*spool.Spec, spool.Name) (spool.Name, bool) {
	return func(child *spool.Spec, theirs spool.Name) (spool.Name, bool) {
		stem, ok := spool.MatchInput(string(theirs), child.InputExt)
		_, ours := spool.MatchInput(stem+child.InputExt, spec.OutputExt)
		return spool.Name(stem + spec.InputExt), ok && ours
	}
}

// published are the files whose outputs an entry tells of.
func published(e spool.Entry) []spool.Name { return e.Done }

// staged are the inputs of a pipeline that an entry of the lead has all roots take: those chosen, and those that were through
// already when the lead found them.
func staged(e spool.Entry) []spool.Name {
	names := slices.Concat(e.Staged, e.Done)
	if e.Kind == spool.EntryFailed {
		names = append(names, e.File)
	}
	return names
}

// read calls fn with what is new.
func (s *source) read(d *Dispatcher, fn func(e spool.Entry) error) error {
	if s.history == nil {
		other, err := spool.Open(s.dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		s.history, s.spec = other.History(), other.Spec()
	}
	if err := s.history.Read(fn); err != nil {
		return err
	}
	if path := s.history.Path(); path != s.watched {
		d.wake.Remove(s.watched)
		d.wake.Add(path)
		d.wake.Add(filepath.Dir(filepath.Dir(path))) // the next epoch comes there
		s.watched = path
	}
	return nil
}

// seek takes up new inputs: from the history of the parent or the lead if there is one, else from the input folder.
func (d *Dispatcher) seek(ctx context.Context, now time.Time) error {
	p := d.chain.parent
	if p == nil {
		return d.discover(ctx, now)
	}
	in := &d.inputs
	err := p.read(d, func(e spool.Entry) error {
		for _, theirs := range p.gives(e) {
			if name, ok := p.name(p.spec, theirs); ok {
				d.hear(name)
			}
		}
		return errors.Join(ctx.Err(), d.keep(time.Now()))
	})
	if errors.Is(err, spool.ErrSuperseded) {
		return err
	}
	if in.err = err; err != nil {
		return nil //nolint:nilerr // the Snapshot tells it; workers go on
	}
	in.listed, in.complete, in.fresh = true, true, false
	d.lookForAbsent(now)
	return nil
}

// hear takes up an input that is whole.
func (d *Dispatcher) hear(name spool.Name) {
	delete(d.chain.absent, name)
	stem, _ := spool.MatchInput(string(name), d.spec.InputExt)
	if d.at(name) >= placeSettling || d.adopt(name, stem) {
		return
	}
	d.move(name, placeWaiting)
}

// miss notes that a worker did not find an input of which the parent's history may say nothing more.
func (d *Dispatcher) miss(name spool.Name, now time.Time) {
	if d.chain.parent != nil {
		d.chain.absent[name] = now.Add(absentFor)
	}
}

// lookForAbsent takes inputs up again that have come after all.
func (d *Dispatcher) lookForAbsent(now time.Time) {
	for name, until := range d.chain.absent {
		if _, err := os.Lstat(filepath.Join(string(d.spec.InputDir), string(name))); err == nil {
			d.hear(name)
		} else if now.After(until) {
			delete(d.chain.absent, name)
		}
	}
}
