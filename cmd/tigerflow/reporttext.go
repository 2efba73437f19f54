package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"tigerflow.dev/tigerflow/spool"
)

// errorsMost is how many failed files are told of unless more were asked for.
const errorsMost = 5

// write writes the report for people.
func (s *survey) write(out io.Writer, o reportOptions) error {
	if o.shows(sectionStatus) {
		s.writeStatus(out, o)
	}
	if o.shows(sectionProgress) {
		s.summarize(out, o)
	}
	if o.shows(sectionProgress) || o.shows(sectionMetrics) {
		if err := s.writeTasks(out, o); err != nil {
			return err
		}
	}
	if o.shows(sectionErrors) {
		s.writeErrors(out, o)
	}
	return nil
}

// selected is the Tasks that were asked for.
func (s *survey) selected(o reportOptions) (tasks []*surveyed) {
	for _, t := range s.all() {
		if o.task == "" || t.name() == o.task {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

func (s *survey) writeStatus(out io.Writer, o reportOptions) {
	tasks := s.selected(o)
	all := holders(tasks)
	if len(all) == 0 {
		fmt.Fprintf(out, "%s: nothing works on it\n", s.dir)
	}
	for _, h := range all {
		what := s.dir
		if len(h.tasks) < len(tasks) {
			what += ": " + strings.Join(h.tasks, ", ")
		}
		fmt.Fprintf(out, "%s: %s\n", what, inUse(&h.Holder))
	}
}

// summarize writes a line for each pipeline or lone Task.
func (s *survey) summarize(out io.Writer, o reportOptions) {
	for _, f := range s.families {
		if o.task != "" && !f.has(o.task) {
			continue
		}
		if len(s.families) > 1 && len(f.tasks) == 1 {
			fmt.Fprintf(out, "%s: ", f.tasks[0].name())
		}
		counts := f.tracker.Counts()
		fmt.Fprintf(out, "%s waiting, %d in progress, %d finished, %d failed", count(f.fresh), f.begun, counts.Finished, counts.Failed)
		if f.options > 0 {
			fmt.Fprintf(out, "; %d not chosen by staging", f.options)
		}
		fmt.Fprintln(out)
	}
}

// count is a number, or that it is not known.
func count(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}

func (s *survey) writeTasks(out io.Writer, o reportOptions) error {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	heads := []string{"TASK"}
	if o.shows(sectionProgress) {
		heads = append(heads, "DONE", "FAILED", "RUNNING", "WAITING", "WORKERS")
	}
	if o.shows(sectionMetrics) {
		heads = append(heads, "AVERAGE")
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for _, t := range s.selected(o) {
		cells := []string{strings.Repeat("  ", t.depth) + t.name()}
		if o.shows(sectionProgress) {
			cells = append(cells, fmt.Sprint(t.counts.Done), fmt.Sprint(t.counts.Failed), fmt.Sprint(t.running), count(t.waiting), fmt.Sprint(t.workers))
		}
		if o.shows(sectionMetrics) {
			cells = append(cells, t.average())
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// average is how long user code takes for a file.
func (t *surveyed) average() string {
	if t.counts.Timed == 0 {
		return "-"
	}
	each := time.Duration(t.counts.Seconds / float64(t.counts.Timed) * float64(time.Second))
	for _, unit := range []time.Duration{time.Minute, time.Second, time.Millisecond} {
		if each >= unit {
			return each.Round(unit / 10).String()
		}
	}
	return each.Round(time.Microsecond).String()
}

func (s *survey) writeErrors(out io.Writer, o reportOptions) {
	tasks := s.selected(o)
	most := errorsMost
	if len(o.include) > 0 {
		most = -1
	}
	var failed int64
	for _, t := range tasks {
		failed += t.counts.Failed
	}
	if failed == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", plural(failed, "failure", "failures"))
	shown := 0
	s.eachFailed(tasks, func(t *surveyed, _ string, e *spool.ErrorFile) bool {
		if shown == most {
			return false
		}
		shown++
		line, _, _ := strings.Cut(strings.TrimSpace(e.Message), "\n")
		line = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) { // what it would do to a terminal
				return ' '
			}
			return r
		}, line)
		if e.ExceptionType != "" {
			line = e.ExceptionType + ": " + line
		}
		fmt.Fprintf(out, "  %s  %q  %s\n", t.name(), string(e.File), line)
		return true
	})
	if more := failed - int64(shown); shown == most && more > 0 {
		fmt.Fprintf(out, "  … and %d more: --include errors lists all\n", more)
	}
}

// eachFailed calls fn with the path and the content of each error file, until that returns false. Of one that cannot be read
// it tells the file, and why unless it has just gone: then the file is to run again.
func (s *survey) eachFailed(tasks []*surveyed, fn func(t *surveyed, path string, e *spool.ErrorFile) bool) {
	for _, f := range s.families {
		for _, t := range f.tasks {
			if !slices.Contains(tasks, t) {
				continue
			}
			for stem := range f.tracker.Failed(t.name()) {
				path, e, err := t.spool.ReadError(stem)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					e.Message = err.Error()
				}
				if !fn(t, path, &e) {
					return
				}
			}
		}
	}
}

func (f *family) has(task string) bool {
	return slices.ContainsFunc(f.tasks, func(t *surveyed) bool { return t.name() == task })
}
