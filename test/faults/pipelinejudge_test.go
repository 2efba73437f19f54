package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/progress"
	"tigerflow.dev/tigerflow/spool"
)

// What became of a file in a task.
const (
	fileAbsent = iota // an earlier task failed on it
	fileFailed
	fileDone
)

// expect tells what is to become of a file in each task.
func (c *pipelineConfig) expect(stem string) map[string]int {
	all := map[string]int{"": fileDone} // parents come first
	for _, m := range graph {
		switch {
		case all[m.parent] != fileDone:
			all[m.name] = fileAbsent
		case fate(c.Seed, m.name, stem) == fateFail:
			all[m.name] = fileFailed
		default:
			all[m.name] = fileDone
		}
	}
	return all
}

// content is what a task makes of a file.
func content(stem, task string) string {
	for _, m := range graph {
		if m.name == task {
			return content(stem, m.parent) + task + "\n"
		}
	}
	return stem + "\n"
}

// judge compares disk, history and counters with what is to be.
func (r *pipelineRun) judge() (findings []string) {
	say := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	done, failed := map[string]int64{}, map[string]int64{}
	var finished, lost int64
	for i := range *pipelineFiles {
		all := r.expect(stemOf(i))
		ends := fileDone
		for _, m := range graph {
			switch all[m.name] {
			case fileDone:
				done[m.name]++
			case fileFailed:
				failed[m.name]++
			}
			if len(childrenOf(m.name)) == 0 {
				ends = min(ends, all[m.name])
			}
			r.judgeOutput(m, stemOf(i), all, say)
		}
		if finished++; ends != fileDone {
			finished--
			lost++
		}
		r.judgeInput(stemOf(i), all, say)
	}
	text := pipelineText(&dispatcher.PipelineCounts{Finished: finished, Failed: lost})
	for _, m := range graph {
		text += fmt.Sprintf(" %s %d/%d", m.name, done[m.name], failed[m.name])
		r.judgeSpool(m, say)
	}
	if s := readStatus(r.Status); s.Text != text {
		say("the dispatchers count %s, want %s", s.Text, text)
	}
	r.judgeProgress(finished, lost, done, failed, say)
	r.judgePublished(say)
	slices.Sort(findings)
	return findings[:min(len(findings), 50)]
}

// judgeInput: it goes once all roots are done with it.
func (r *pipelineRun) judgeInput(stem string, all map[string]int, say func(string, ...any)) {
	_, err := os.Lstat(r.tree("in", stem+rootExt))
	deleted := r.DeleteInputs && all["a"] == fileDone && all["b"] == fileDone
	if (err == nil) == deleted || err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("input %s is there %t, it is to be deleted %t: %v", stem, err == nil, deleted, err)
	}
}

func (r *pipelineRun) judgePublished(say func(string, ...any)) {
	for name, events := range r.published {
		if len(events) > 1 {
			say("%s was published %d times: %+v", name, len(events), events)
		}
	}
}

// judgeOutput looks at what a task left of a file: its output, unless that is deleted, or an error file, or nothing.
func (r *pipelineRun) judgeOutput(m member, stem string, all map[string]int, say func(string, ...any)) {
	through := r.deletes(m)
	for _, child := range childrenOf(m.name) {
		through = through && all[child.name] == fileDone
	}
	data, err := os.ReadFile(filepath.Join(r.outputs(m), stem+"."+m.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("%v", err)
	}
	switch wants := all[m.name] == fileDone && !through; {
	case wants != (err == nil):
		say("output of %s for %s is there %t, want %t; %v", m.name, stem, err == nil, wants, all)
	case wants && string(data) != content(stem, m.name):
		say("output of %s for %s is %q, want %q", m.name, stem, data, content(stem, m.name))
	}
	_, err = os.Lstat(filepath.Join(r.outputs(m), spool.ErrName(stem)))
	if wants := all[m.name] == fileFailed; wants != (err == nil) {
		say("error file of %s for %s is there %t, want %t", m.name, stem, err == nil, wants)
	}
}

func (r *pipelineRun) judgeSpool(m member, say func(string, ...any)) {
	report, err := spool.Check(r.pipelineConfig.spool(m))
	if err != nil {
		say("task %s: %v", m.name, err)
		return
	}
	for _, p := range report.Problems {
		say("task %s: %s", m.name, p)
	}
	for _, n := range report.Notes {
		say("task %s: note: %s", m.name, n)
	}
}

// judgeProgress asks for the counts from the histories alone, as report does.
func (r *pipelineRun) judgeProgress(finished, lost int64, done, failed map[string]int64, say func(string, ...any)) {
	var tasks []progress.Task
	for _, m := range graph {
		tasks = append(tasks, progress.Task{Name: m.name, Dir: r.pipelineConfig.spool(m), Parent: m.parent})
	}
	tracker, err := progress.New(tasks)
	if err == nil {
		err = tracker.Read(nil)
	}
	if err != nil {
		say("%v", err)
		return
	}
	want := progress.Counts{Finished: finished, Failed: lost, Settled: int64(*pipelineFiles)}
	if got := tracker.Counts(); got != want {
		say("the histories count %+v, want %+v", got, want)
	}
	for _, m := range graph {
		if got := tracker.Task(m.name); got.Done != done[m.name] || got.Failed != failed[m.name] || got.Ready != 0 {
			say("task %s counts %+v, want %d done and %d failed", m.name, got, done[m.name], failed[m.name])
		}
	}
}
