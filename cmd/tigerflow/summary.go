package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
)

// summarize prints what became of the files: the tables of kubectl, and a line or more for each object. The lines need no API
// server, and come if it is too slow for the tables.
func (f *follower) summarize(ctx context.Context, out io.Writer) error {
	var err error
	if len(f.pipelines) > 0 {
		err = printTable(ctx, f.plane.control.RESTConfig(), "pipelines", out)
		fmt.Fprintln(out)
	}
	err = errors.Join(err, printTable(ctx, f.plane.control.RESTConfig(), "tasks", out))
	for _, t := range f.tasks {
		if t.pipeline == nil {
			summarizeFiles(out, t.name, t.fresh(), t.took, directory(&t.object.Spec.Workspace, t.object.Spec.Output.Directory))
			t.summarizeFailures(out, "")
			summarizeLeft(out, t.last.Pending+t.last.Running+t.last.Settling)
		}
	}
	for _, p := range f.pipelines {
		p.summarize(out)
	}
	return err
}

func summarizeFiles(out io.Writer, name string, n int64, took time.Duration, results string) {
	fmt.Fprintf(out, "%s: %s in %.1fs (%.0f a second), results in %s\n", name, plural(n, "file", "files"),
		took.Seconds(), float64(n)/took.Seconds(), results)
}

func summarizeLeft(out io.Writer, n int64) {
	if n > 0 {
		fmt.Fprintf(out, "  %s left: run it again to go on\n", plural(n, "file is", "files are"))
	}
}

// summarizeFailures lists the latest files that failed.
func (t *followed) summarizeFailures(out io.Writer, task string) {
	for _, failure := range t.last.Recent {
		text, _, _ := strings.Cut(failure.Message, "\n")
		fmt.Fprintf(out, "  failed%s: %q: %s: %s\n", task, string(failure.File), failure.Type, text)
	}
	if more := int(t.last.Failed) - len(t.last.Recent); more > 0 {
		fmt.Fprintf(out, "  %d more failed%s: their .err files say why\n", more, task)
	}
}

func (p *followedPipeline) summarize(out io.Writer) {
	spec := &p.object.Spec
	lead := &p.lead.last
	var counts dispatcher.PipelineCounts
	if lead.Pipeline != nil {
		counts = *lead.Pipeline
	}
	fresh := max(0, counts.Finished+counts.Failed-p.before)
	summarizeFiles(out, p.object.Name, fresh, p.took, directory(&spec.Workspace, spec.Output.Directory))
	for _, t := range p.tasks {
		t.summarizeFailures(out, " in "+t.name)
	}
	summarizeLeft(out, counts.Staged+counts.InProgress+lead.Settling)
}

// fresh is how many files this run brought to an end.
func (f *follower) fresh() int64 {
	var n int64
	for _, t := range f.tasks {
		n += t.fresh()
	}
	return n
}

func (t *followed) fresh() int64 { return max(0, t.last.Done+t.last.Failed-t.before) }

// directory is the absolute path of a directory that may be relative to the workspace.
func directory(w *v1alpha1.Workspace, dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(w.Path, dir)
}
