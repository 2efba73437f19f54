package main

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/progress"
	"tigerflow.dev/tigerflow/spool"
)

// survey is what the disk tells of the Tasks below an output directory. It is read again for as little as has changed.
type survey struct {
	dir      string
	names    []string // of the spools there are
	families []*family
}

// family is Tasks that hang together: a pipeline, or a lone Task.
type family struct {
	tracker *progress.Tracker
	tasks   []*surveyed // each behind its parent
	listing listing
	fresh   int64 // inputs with which no task is through and on which none works; -1 if the input folder cannot be read
	options int64 // likewise, from which the steps of staging are yet to choose
	begun   int64 // the other files that are neither finished nor failed
}

// surveyed is one Task.
type surveyed struct {
	spool   *spool.Spool
	depth   int // below a root
	holder  *spool.Holder
	counts  progress.TaskCounts
	workers int   // that live
	running int64 // files that they have in hand
	waiting int64 // -1 if the input folder cannot be read
}

func (t *surveyed) name() string { return t.spool.Spec().Task }

func newSurvey(dir string) (*survey, error) {
	spools, err := openSpools(dir, "")
	if err != nil {
		return nil, err
	}
	s := &survey{dir: dir}
	var pipeline []*spool.Spool
	for _, sp := range spools {
		s.names = append(s.names, filepath.Base(sp.Path()))
		if isLone(sp, dir) {
			f, err := newFamily(dir, []*spool.Spool{sp})
			if err != nil {
				return nil, err
			}
			s.families = append(s.families, f)
		} else {
			pipeline = append(pipeline, sp)
		}
	}
	if len(pipeline) > 0 {
		f, err := newFamily(dir, pipeline)
		if err != nil {
			return nil, err
		}
		s.families = append(s.families, f)
	}
	return s, nil
}

// isLone reports whether a Task is one by itself: then its outputs lie where its records do.
func isLone(s *spool.Spool, dir string) bool {
	if s.Spec().Parent != "" {
		return false
	}
	here, err := os.Stat(dir)
	outputs, err2 := os.Stat(string(s.Spec().OutputDir))
	return err == nil && err2 == nil && os.SameFile(here, outputs)
}

func newFamily(dir string, spools []*spool.Spool) (*family, error) {
	f := &family{}
	var tasks []progress.Task
	known := map[string]bool{}
	for _, s := range spools {
		known[s.Spec().Task] = true
		tasks = append(tasks, progress.Task{Name: s.Spec().Task, Dir: s.Path(), Parent: s.Spec().Parent})
	}
	var add func(parent string, depth int)
	add = func(parent string, depth int) {
		for _, s := range spools {
			if s.Spec().Parent == parent {
				f.tasks = append(f.tasks, &surveyed{spool: s, depth: depth})
				add(s.Spec().Task, depth+1)
			}
		}
	}
	add("", 0)
	for _, s := range spools {
		if p := s.Spec().Parent; p != "" && !known[p] { // its own is yet to be made
			known[p] = true
			tasks = append(tasks, progress.Task{Name: p, Dir: spool.Dir(dir, p)})
			add(p, 1)
		}
	}
	var err error
	f.tracker, err = progress.New(tasks)
	return f, err
}

// read brings the survey up to date as far as the sections of a report need it.
func (s *survey) read(o reportOptions) error {
	names, err := spool.Tasks(s.dir)
	if err != nil {
		return err
	}
	if !slices.Equal(names, s.names) {
		again, err := newSurvey(s.dir)
		if err != nil {
			return err
		}
		*s = *again
	}
	for _, f := range s.families {
		if err := f.read(o); err != nil {
			return err
		}
	}
	return nil
}

func (f *family) read(o reportOptions) (err error) {
	for _, t := range f.tasks {
		if t.holder, err = t.spool.Dispatching(); err != nil {
			return err
		}
	}
	if !o.shows(sectionProgress) && !o.shows(sectionMetrics) && !o.shows(sectionErrors) {
		return nil
	}
	if err := f.tracker.Read(nil); err != nil {
		return err
	}
	for _, t := range f.tasks {
		t.counts = f.tracker.Task(t.name())
	}
	if o.shows(sectionProgress) {
		return f.count()
	}
	return nil
}

// count tells what is in hand and what waits, which no history does.
func (f *family) count() error {
	var first int64 // files that roots have in hand
	for _, t := range f.tasks {
		if err := t.count(f.tracker); err != nil {
			return err
		}
		if t.depth == 0 {
			first = max(first, t.running)
		}
	}
	f.listing.read(f)
	counts, begun := f.counted()
	for _, t := range f.tasks {
		switch own := t.spool.Spec(); {
		case own.Parent != "":
			t.waiting = max(0, t.counts.Ready-t.running)
		case f.listing.err != nil:
			t.waiting = -1
		default:
			t.waiting = f.listing.left(own.Task, t.counts.Done+t.counts.Failed, t.running)
		}
	}
	f.begun, f.fresh, f.options = counts.InProgress+first, -1, -1
	if f.listing.err == nil {
		f.fresh, f.options = f.listing.left("", begun, first), f.listing.options
	}
	return nil
}

// counted is how far the files are, and how many of them there are.
func (f *family) counted() (c progress.Counts, begun int64) {
	c = f.tracker.Counts()
	return c, c.InProgress + c.Finished + c.Failed
}

func (t *surveyed) count(tracker *progress.Tracker) error {
	workers, err := t.spool.Living()
	if err != nil {
		return err
	}
	t.workers, t.running = len(workers), 0
	for _, id := range workers {
		n, err := t.inHand(tracker, id)
		if err != nil {
			return err
		}
		t.running += min(n, int64(t.spool.Spec().InHand()))
	}
	return nil
}

// inHand counts the files of a worker's batches with which it is not through.
func (t *surveyed) inHand(tracker *progress.Tracker, id string) (n int64, err error) {
	held, err := t.spool.Holding(id)
	for _, h := range held {
		for _, name := range h.Files {
			stem, _ := spool.MatchInput(string(name), t.spool.Spec().InputExt)
			if file := tracker.File(stem); !slices.Contains(file.Done, t.name()) && !slices.Contains(file.Failed, t.name()) {
				n++
			}
		}
	}
	return n, err
}

// listing is the input folder of a family, as it was when it was last listed.
type listing struct {
	err     error
	at      time.Time
	took    time.Duration
	tasks   map[string]remainder // by root; "" is all tasks together
	options int64                // inputs not among these, which are yet to be chosen
}

// remainder is how many of the inputs that were listed a task was not through with, and how many files it was.
type remainder struct{ left, through int64 }

// listAgain is how many times as long as a listing took it is not repeated.
const listAgain = 20

// left is how many of the inputs still wait, now that a task is through with some more and has others in hand.
func (l *listing) left(task string, through, running int64) int64 {
	r := l.tasks[task]
	return max(0, r.left-(through-r.through)-running)
}

// read lists the folder, unless that was done a short while ago.
func (l *listing) read(f *family) {
	root := slices.IndexFunc(f.tasks, func(t *surveyed) bool { return t.spool.Spec().Parent == "" })
	if root < 0 { // its spool is yet to be made
		l.err = fs.ErrNotExist
		return
	}
	if !l.at.IsZero() && time.Since(l.at) < listAgain*l.took {
		return
	}
	start, stages := time.Now(), f.tracker.Stages()
	l.options, l.tasks = 0, f.roots()
	l.tasks[""] = remainder{}
	spec, halfway := f.tasks[root].spool.Spec(), map[string]bool{}
	l.err = eachFile(string(spec.InputDir), spec.InputExt, spec.Recursive, func(stem string) {
		file := f.tracker.File(stem)
		started := len(file.Done)+len(file.Failed) > 0
		if stages && !started && !file.Staged {
			l.options++
			return
		}
		for task, r := range l.tasks {
			over := slices.Contains(file.Done, task) || slices.Contains(file.Failed, task)
			if task == "" {
				over = started
			}
			if !over {
				r.left++
				l.tasks[task] = r
				if started {
					halfway[stem] = true // it is there for the others
				}
			}
		}
	})
	if l.err == nil {
		f.forsake(spec, halfway)
	}
	_, begun := f.counted()
	l.tasks[""] = remainder{left: l.tasks[""].left, through: begun}
	l.at = time.Now()
	l.took = l.at.Sub(start)
}

// forsake has those files count as gone that a root has yet to do and whose inputs are not there any more.
func (f *family) forsake(spec *spool.Spec, there map[string]bool) {
	f.tracker.Forsake(math.MaxInt, func(stem string) bool {
		if there[stem] {
			return false
		}
		_, err := os.Lstat(filepath.Join(string(spec.InputDir), stem+spec.InputExt))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// roots is how many files each root is through with.
func (f *family) roots() map[string]remainder {
	roots := map[string]remainder{}
	for _, t := range f.tasks {
		if t.spool.Spec().Parent == "" {
			roots[t.name()] = remainder{through: t.counts.Done + t.counts.Failed}
		}
	}
	return roots
}

// eachFile calls fn with the stem of each file below a folder that ends in ext, also of those in its folders if it is recursive.
// Folders that cannot be read are left out, but for the first.
func eachFile(top string, ext string, recursive bool, fn func(stem string)) error {
	folders := []string{""}
	for len(folders) > 0 {
		folder := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		err := eachEntry(filepath.Join(top, folder), func(e fs.DirEntry) {
			name := filepath.Join(folder, e.Name())
			stem, match := spool.MatchInput(name, ext)
			switch {
			case !e.IsDir():
				if match {
					fn(stem)
				}
			case recursive && spool.Enters(e.Name()):
				folders = append(folders, name)
			}
		})
		if err != nil && (folder == "" || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	return nil
}

func eachEntry(folder string, fn func(fs.DirEntry)) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(4096)
		for _, e := range entries {
			fn(e)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// all is the Tasks of a survey, those of each family together.
func (s *survey) all() (tasks []*surveyed) {
	for _, f := range s.families {
		tasks = append(tasks, f.tasks...)
	}
	return tasks
}

// holding is a process that works on Tasks, as the first of them tells.
type holding struct {
	spool.Holder
	tasks []string
}

// holders tells who works on the Tasks, each once, in the order of the Tasks.
func holders(tasks []*surveyed) (list []*holding) {
	for _, t := range tasks {
		if t.holder == nil {
			continue
		}
		i := slices.IndexFunc(list, func(h *holding) bool { return h.Process == t.holder.Process })
		if i < 0 {
			list = append(list, &holding{Holder: *t.holder})
			i = len(list) - 1
		}
		list[i].tasks = append(list[i].tasks, t.name())
		if list[i].Seen.Before(t.holder.Seen) {
			list[i].Seen = t.holder.Seen
		}
	}
	slices.SortStableFunc(list, func(a, b *holding) int { return cmp.Compare(len(b.tasks), len(a.tasks)) })
	return list
}
