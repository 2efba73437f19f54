// Package progress tells how far each file of a pipeline is, from what the dispatchers of all its tasks have put down. It
// needs nothing but their spools, so it works while they run, afterwards, and from another host.
package progress

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"

	"tigerflow.dev/tigerflow/internal/names"
	"tigerflow.dev/tigerflow/spool"
)

// MostTasks is how many tasks a pipeline can have: one bit each.
const MostTasks = 64

// Task is a task of a pipeline.
type Task struct {
	Name   string
	Dir    string // its spool, which may be made later
	Parent string // the Name of the task whose outputs it takes; empty for a root
}

// Counts is how far the files of a pipeline are that at least one task is through with. They are counted once each, in
// InProgress, Finished or Failed, but for those whose inputs were deleted before each root had done them.
type Counts struct {
	InProgress int64
	Finished   int64 // every task without children has succeeded
	Failed     int64 // likewise not, and some task has failed
	Settled    int64 // nothing is left to be done; these are among the others
}

// TaskCounts is how far one task is, in files.
type TaskCounts struct {
	Done, Failed int64
	Ready        int64   // the parent is done with them and this task is not through; 0 for a root
	Timed        int64   // those whose durations are known, whatever became of them later
	Seconds      float64 // of user code, summed over Timed
}

// Tracker folds histories. All names of a file along a pipeline have the same stem, and by that it is asked for: its path
// relative to the folder that it lies in, less the task's extension. A Tracker is not safe for use from several goroutines.
type Tracker struct {
	tasks  []*task
	stems  names.Table
	states states
	staged names.Set  // files that the lead has chosen
	asked  names.File // where Forsake goes on
}

// task is a Task with what is derived from all of them.
type task struct {
	Task
	index   int
	parent  int // -1 for a root
	below   mask
	history *spool.History
	ext     string // of its inputs
	stages  bool   // it has chosen files
	timed   int64
	seconds float64
}

// New begins to track tasks, whose order does not matter. It fails if they are no pipeline.
func New(tasks []Task) (*Tracker, error) {
	if len(tasks) > MostTasks {
		return nil, fmt.Errorf("%d tasks: a pipeline has at most %d", len(tasks), MostTasks)
	}
	t := &Tracker{stems: names.NewTable()}
	index := map[string]int{}
	for i, task := range tasks {
		if _, twice := index[task.Name]; twice {
			return nil, fmt.Errorf("two tasks are called %s", task.Name)
		}
		index[task.Name] = i
	}
	for i, own := range tasks {
		parent, known := index[own.Parent]
		if own.Parent == "" {
			parent = -1
		} else if !known {
			return nil, fmt.Errorf("task %s takes the outputs of %s, which is no task of the pipeline", own.Name, own.Parent)
		}
		t.tasks = append(t.tasks, &task{Task: own, index: i, parent: parent})
	}
	if err := t.connect(); err != nil {
		return nil, err
	}
	return t, nil
}

// connect tells each task which ones depend on it.
func (t *Tracker) connect() error {
	var leaves, roots mask
	for i, own := range t.tasks {
		if own.parent < 0 {
			roots |= 1 << i
		}
		steps := 0
		for up := own.parent; up >= 0; up = t.tasks[up].parent {
			if t.tasks[up].below |= 1 << i; steps > len(t.tasks) {
				return fmt.Errorf("task %s depends on itself, by way of %s", own.Name, own.Parent)
			}
			steps++
		}
	}
	below := make([]mask, len(t.tasks))
	for i, own := range t.tasks {
		if below[i] = own.below; own.below == 0 {
			leaves |= 1 << i
		}
	}
	t.states = newStates(below, leaves, roots)
	return nil
}

// Read takes up what is new, if anything, which is all that it costs. Before each entry of a history it calls keep, if that
// is given, and ends with its error. A history that cannot be read does not keep it from the others.
func (t *Tracker) Read(keep func() error) error {
	var errs []error
	for _, own := range t.tasks {
		var stop error
		err := t.readTask(own, func() error {
			if keep != nil {
				stop = keep()
			}
			return stop
		})
		if stop != nil {
			return stop
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the history of task %s: %w", own.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (t *Tracker) readTask(own *task, keep func() error) error {
	if own.history == nil {
		s, err := spool.Open(own.Dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		own.history, own.ext = s.History(), s.Spec().InputExt
	}
	return own.history.Read(func(e spool.Entry) error {
		if err := keep(); err != nil {
			return err // the entry comes again
		}
		t.fold(own, e)
		return nil
	})
}

// fold takes over what an entry says, as the task's next dispatcher will.
func (t *Tracker) fold(own *task, e spool.Entry) {
	bit := mask(1) << own.index
	for _, name := range e.Done {
		t.change(own, name, func(s state) state { return s.without(bit).and(state{done: bit}) })
	}
	if e.Seconds > 0 {
		own.timed += int64(len(e.Done))
		own.seconds += e.Seconds
	}
	for _, name := range e.Staged {
		if stem, ok := spool.MatchInput(string(name), own.ext); ok {
			own.stages = true
			t.staged.Add(t.stems.Number(spool.Name(stem)))
		}
	}
	for _, name := range e.Gone {
		t.change(own, name, func(s state) state { return s.without(bit).and(state{gone: bit}) })
		if stem, ok := spool.MatchInput(string(name), own.ext); ok && own.stages {
			t.staged.Remove(t.stems.Number(spool.Name(stem)))
		}
	}
	switch e.Kind {
	case spool.EntryFailed:
		t.change(own, e.File, func(s state) state {
			if s.done&bit != 0 { // the word of a dispatcher that was superseded: an output wins
				return s
			}
			return s.without(bit).and(state{failed: bit})
		})
	case spool.EntryRequeued:
		for _, name := range e.Back {
			t.change(own, name, func(s state) state { return s.without(bit) })
		}
	default: // said by the lists above
	}
}

func (t *Tracker) change(own *task, name spool.Name, to func(state) state) {
	if stem, ok := spool.MatchInput(string(name), own.ext); ok {
		t.states.change(t.stems.Number(spool.Name(stem)), to)
	}
}

// Paths is what is written when there is news: the ledgers, and the folders in which the next ones are made. Those of tasks
// that have no spool yet are not among them.
func (t *Tracker) Paths() []string {
	var paths []string
	for _, own := range t.tasks {
		if own.history != nil {
			ledger := own.history.Path()
			paths = append(paths, ledger, filepath.Dir(filepath.Dir(ledger)))
		}
	}
	return paths
}

// Counts tells how far the pipeline is.
func (t *Tracker) Counts() Counts {
	var c Counts
	for s, n := range t.states.all() {
		switch {
		case !s.begun():
			continue
		case t.states.finished(s):
			c.Finished += n
		case s.failed != 0:
			c.Failed += n
		case t.states.settled(s): // its input was deleted before each root had done it
			continue
		default:
			c.InProgress += n
		}
		if t.states.settled(s) {
			c.Settled += n
		}
	}
	return c
}

// Task tells how far one of the tasks is.
func (t *Tracker) Task(name string) TaskCounts {
	own := t.named(name)
	bit := mask(1) << own.index
	c := TaskCounts{Timed: own.timed, Seconds: own.seconds}
	for s, n := range t.states.all() {
		switch {
		case s.done&bit != 0:
			c.Done += n
		case s.failed&bit != 0:
			c.Failed += n
		case own.parent >= 0 && s.done&(1<<own.parent) != 0:
			c.Ready += n
		}
	}
	return c
}

// Unsettled is how many files one of the tasks is through with that are not settled: some task is still to succeed or fail
// on them, and none that it depends on has failed.
func (t *Tracker) Unsettled(name string) int64 {
	bit := mask(1) << t.named(name).index
	var open int64
	for s, n := range t.states.all() {
		if (s.done|s.failed)&bit != 0 && !t.states.settled(s) {
			open += n
		}
	}
	return open
}

// Ahead is how many files a root has yet to do that another task is through with.
func (t *Tracker) Ahead(root string) int64 {
	bit := mask(1) << t.named(root).index
	var ahead int64
	for s, n := range t.states.all() {
		if s.begun() && (s.done|s.failed|s.gone)&bit == 0 {
			ahead += n
		}
	}
	return ahead
}

// Forsake asks of files that some root has not begun, though another task has, whether their inputs are gone, and then counts
// them as gone at that root, which may never have seen them. When it has found so many still there it stops, and the next time goes on
// from there.
// What the root says after all holds.
func (t *Tracker) Forsake(most int, gone func(stem string) bool) {
	for range t.states.files {
		if most == 0 {
			break
		}
		f := t.asked
		if t.asked++; int(t.asked) >= len(t.states.files) {
			t.asked = 0
		}
		s := t.states.of(f)
		unbegun := t.states.roots &^ (s.done | s.failed | s.gone)
		if unbegun == 0 || !s.begun() {
			continue
		}
		if !gone(string(t.stems.Name(f))) {
			most--
		} else {
			t.states.change(f, func(s state) state { return s.and(state{gone: unbegun}) })
		}
	}
}

func (t *Tracker) named(name string) *task {
	for _, own := range t.tasks {
		if own.Name == name {
			return own
		}
	}
	panic("progress: no task " + name)
}

// File is what became of one file. The tasks are in the order that New got.
type File struct {
	Staged            bool     // if steps of staging choose: it has been chosen; else false
	Done, Failed      []string // tasks
	Finished, Settled bool
}

// Stages reports whether steps of staging have chosen any file.
func (t *Tracker) Stages() bool {
	return slices.ContainsFunc(t.tasks, func(own *task) bool { return own.stages })
}

// File looks a file up by its stem. The zero File is of one with which no task is through, and that was not chosen.
func (t *Tracker) File(stem string) File {
	f, known := t.stems.Find(spool.Name(stem))
	if !known {
		return File{}
	}
	s := t.states.of(f)
	if !s.begun() {
		return File{Staged: t.staged.Has(f)}
	}
	return File{Staged: t.staged.Has(f), Done: t.namesOf(s.done), Failed: t.namesOf(s.failed), Finished: t.states.finished(s), Settled: t.states.settled(s)}
}

func (t *Tracker) namesOf(m mask) (list []string) {
	for i, own := range t.tasks {
		if m&(1<<i) != 0 {
			list = append(list, own.Name)
		}
	}
	return list
}

// Failed gives the stems of the files on which one of the tasks has failed, those first that were met first.
func (t *Tracker) Failed(name string) iter.Seq[string] {
	bit := mask(1) << t.named(name).index
	return func(yield func(string) bool) {
		for f := range names.File(t.stems.Len()) {
			if t.states.of(f).failed&bit != 0 && !yield(string(t.stems.Name(f))) {
				return
			}
		}
	}
}
