// Package staging chooses which of the files that wait in a Pipeline's input directory are taken next: steps that filter,
// order or limit them, one after the other. They mean what the steps of TigerFlow's staging.steps mean.
package staging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// SortKey is what files are ordered by.
type SortKey string

// The keys of SortBy.
const (
	SortByName  SortKey = "Name"  // bytewise
	SortBySize  SortKey = "Size"  // the smallest first
	SortByMTime SortKey = "MTime" // the oldest first
)

// Step is one step: exactly one of the fields is set, Reverse aside.
type Step struct {
	MinSize       int64         // bytes
	MaxSize       int64         // bytes
	MinAge        time.Duration // since the last modification
	FilenameMatch string        // RE2, found anywhere in the name
	CompanionFile string        // extension in place of the last one
	MaxStaged     int64
	MaxBatch      int64
	SortBy        SortKey
	Reverse       bool   // of SortBy
	Callable      string // MODULE:FUNCTION
}

// Counts are of files that are not among the candidates.
type Counts struct {
	Staged    int64 // in the Pipeline, neither finished nor failed
	Completed int64 // finished
	Failed    int64 // failed in at least one task, counted once
}

// Info is what a step may have to know of a file.
type Info struct {
	Size  int64 // bytes
	MTime time.Time
}

// Folder is the input directory.
type Folder interface {
	// Stat looks at a file. What it cannot look at is not taken this time.
	Stat(name string) (Info, error)
	// IsFile reports whether there is a regular file, or a link to one, of this name.
	IsFile(name string) bool
}

// Caller runs the functions that authors wrote, in a process of their own.
type Caller interface {
	// Call has the function MODULE:FUNCTION choose among the candidates.
	Call(ctx context.Context, function string, candidates []string, counts Counts) ([]string, error)
}

// CallError is a callable that failed, or that answered with what it was not asked about. Nothing is staged then.
type CallError struct {
	Function string
	Err      error
}

func (e *CallError) Error() string { return fmt.Sprintf("the callable %s: %s", e.Function, e.Err) }

// Unwrap is what the function failed with.
func (e *CallError) Unwrap() error { return e.Err }

// View is what the steps see besides the candidates.
type View struct {
	Counts Counts
	Now    time.Time // by the clock that MTime is of
	Folder Folder
	Caller Caller          // needed by steps with a Callable only
	Young  func(time.Time) // called with the time at which a file that is too young for MinAge is old enough; nil: nobody asks
}

// Steps are what Compile made.
type Steps struct {
	steps                []run
	paced, counts, looks bool
}

// Paced reports that a round should not follow at the heels of another: each takes a part only, or runs an author's function.
func (s *Steps) Paced() bool { return s.paced }

// Counting reports that what is chosen depends on View.Counts.
func (s *Steps) Counting() bool { return s.counts }

// Looking reports that of the same candidates with the same counts others may be chosen the next time.
func (s *Steps) Looking() bool { return s.looks }

// Compile reads steps. The error names the step, counted from 0, and the mend.
func Compile(steps []Step) (*Steps, error) {
	s := new(Steps)
	for i, step := range steps {
		run, err := step.compile()
		if err != nil {
			return nil, fmt.Errorf("staging[%d]: %w", i, err)
		}
		s.steps = append(s.steps, run)
		s.paced = s.paced || step.MaxBatch > 0 || step.Callable != ""
		s.counts = s.counts || step.MaxStaged > 0 || step.Callable != ""
		s.looks = s.looks || step.FilenameMatch == "" && step.SortBy == "" && step.MaxStaged == 0
	}
	return s, nil
}

// Choose returns those of the candidates that are to be taken, in the order in which they are to be taken. The candidates
// stay as they are. The error is a *CallError, or that of ctx.
func (s *Steps) Choose(ctx context.Context, candidates []string, view View) ([]string, error) {
	files, v := slices.Clone(candidates), &lookup{View: view, seen: map[string]Info{}}
	for _, step := range s.steps {
		if len(files) == 0 {
			break
		}
		var err error
		if files, err = step(ctx, files, v); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// lookup looks at each file once in a round, so that all steps see the same.
type lookup struct {
	View
	seen map[string]Info
}

func (v *lookup) info(name string) (Info, bool) {
	info, ok := v.seen[name]
	if ok {
		return info, true
	}
	info, err := v.Folder.Stat(name)
	if err != nil {
		return Info{}, false
	}
	v.seen[name] = info
	return info, true
}

type run = func(ctx context.Context, files []string, v *lookup) ([]string, error)

func (s *Step) compile() (run, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	switch {
	case s.MinSize > 0:
		return where(func(info Info, _ *lookup) bool { return info.Size >= s.MinSize }), nil
	case s.MaxSize > 0:
		return where(func(info Info, _ *lookup) bool { return info.Size <= s.MaxSize }), nil
	case s.MinAge > 0:
		return where(s.old), nil
	case s.FilenameMatch != "":
		re, err := CompilePattern(s.FilenameMatch)
		return matching(re), err
	case s.CompanionFile != "":
		return s.companion, nil
	case s.MaxStaged > 0:
		return func(_ context.Context, files []string, v *lookup) ([]string, error) {
			return first(files, s.MaxStaged-v.Counts.Staged), nil
		}, nil
	case s.MaxBatch > 0:
		return func(_ context.Context, files []string, _ *lookup) ([]string, error) {
			return first(files, s.MaxBatch), nil
		}, nil
	case s.SortBy != "":
		return s.sort, nil
	default:
		return s.call, nil
	}
}

// check refuses a step that is none, or several at once.
func (s *Step) check() error {
	set := 0
	for _, is := range []bool{
		s.MinSize != 0, s.MaxSize != 0, s.MinAge != 0, s.FilenameMatch != "", s.CompanionFile != "", s.MaxStaged != 0, s.MaxBatch != 0,
		s.SortBy != "", s.Callable != "",
	} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("a step is exactly one of minSize, maxSize, minAge, filenameMatch, companionFile, maxStaged, maxBatch, sortBy, callable; this one has %d of them", set)
	}
	if s.MinSize < 0 || s.MaxSize < 0 || s.MinAge < 0 || s.MaxStaged < 0 || s.MaxBatch < 0 {
		return errors.New("a bound must be more than 0")
	}
	if s.SortBy != "" && !slices.Contains([]SortKey{SortByName, SortBySize, SortByMTime}, s.SortBy) {
		return fmt.Errorf("sortBy.key %q: use Name, Size or MTime", s.SortBy)
	}
	return nil
}

// where keeps the files that can be looked at and fit.
func where(fits func(info Info, v *lookup) bool) run {
	return func(_ context.Context, files []string, v *lookup) ([]string, error) {
		return slices.DeleteFunc(files, func(name string) bool {
			info, ok := v.info(name)
			return !ok || !fits(info, v)
		}), nil
	}
}

// old tells of files that will be old enough by themselves. One from ahead of the clock may never be.
func (s *Step) old(info Info, v *lookup) bool {
	age := v.Now.Sub(info.MTime)
	if age >= 0 && age < s.MinAge && v.Young != nil {
		v.Young(info.MTime.Add(s.MinAge))
	}
	return age >= s.MinAge
}

func matching(re *regexp.Regexp) run {
	return func(_ context.Context, files []string, _ *lookup) ([]string, error) {
		return slices.DeleteFunc(files, func(name string) bool { return !re.MatchString(name) }), nil
	}
}

func (s *Step) companion(_ context.Context, files []string, v *lookup) ([]string, error) {
	return slices.DeleteFunc(files, func(name string) bool { return !v.Folder.IsFile(withSuffix(name, s.CompanionFile)) }), nil
}

// withSuffix puts ext in place of the last extension, as with_suffix of Python's pathlib does: a leading or trailing dot
// begins none.
func withSuffix(name, ext string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 && i < len(name)-1 {
		name = name[:i]
	}
	return name + ext
}

func first(files []string, n int64) []string {
	return files[:min(max(n, 0), int64(len(files)))]
}

// sort orders the files. Equal ones keep their order, also in reverse.
func (s *Step) sort(_ context.Context, files []string, v *lookup) ([]string, error) {
	compare := strings.Compare
	if s.SortBy != SortByName {
		files = slices.DeleteFunc(files, func(name string) bool { _, ok := v.info(name); return !ok })
		compare = func(a, b string) int { return v.seen[a].MTime.Compare(v.seen[b].MTime) }
	}
	if s.SortBy == SortBySize {
		compare = func(a, b string) int { return cmp.Compare(v.seen[a].Size, v.seen[b].Size) }
	}
	if s.Reverse {
		ascending := compare
		compare = func(a, b string) int { return ascending(b, a) }
	}
	slices.SortStableFunc(files, compare)
	return files, nil
}

// call has the author's function choose. What it makes up, or names twice, is a mistake of it.
func (s *Step) call(ctx context.Context, files []string, v *lookup) ([]string, error) {
	if v.Caller == nil {
		return nil, &CallError{Function: s.Callable, Err: errors.New("there is nothing that could call it")}
	}
	chosen, err := v.Caller.Call(ctx, s.Callable, files, v.Counts)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &CallError{Function: s.Callable, Err: err}
	}
	left := make(map[string]bool, len(files))
	for _, name := range files {
		left[name] = true
	}
	for _, name := range chosen {
		if !left[name] {
			return nil, &CallError{Function: s.Callable, Err: fmt.Errorf("it returned %q, which was not among the candidates or twice: return a part of them", name)}
		}
		left[name] = false
	}
	return chosen, nil
}
