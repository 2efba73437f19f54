package flow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"tigerflow.dev/tigerflow/spool"
)

// checkDirectories refuses what no worker could make sense of, and makes the output folder.
func (t Terms) checkDirectories(spec *spool.Spec) error {
	if spec.Parent != "" { // the pipeline's own, and the parent may not have begun
		if err := os.MkdirAll(string(spec.InputDir), 0o777); err != nil {
			return t.storage("making the directory of the parent's outputs", err)
		}
	}
	in, err := os.Stat(string(spec.InputDir))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return refuse(InputNotFound, "the input directory %s does not exist: create it, or correct %s", spec.InputDir, t.InputBase)
	case err != nil:
		return refuse(InputNotReadable, "the input directory cannot be read: %s", err)
	case !in.IsDir():
		return refuse(InputNotFound, "the input directory %s is a file: name its folder in %s", spec.InputDir, t.Input)
	}
	dir, err := os.Open(string(spec.InputDir))
	if err != nil {
		return refuse(InputNotReadable, "the input directory cannot be read: %s", err)
	}
	_ = dir.Close() // nothing was written
	if err := os.MkdirAll(string(spec.OutputDir), 0o777); err != nil {
		return t.storage("making the output directory", err)
	}
	out, err := os.Stat(string(spec.OutputDir))
	if err != nil {
		return t.storage("looking at the output directory", err)
	}
	if os.SameFile(in, out) && strings.HasSuffix(spec.OutputExt, spec.InputExt) {
		return refuse(InvalidDirectories,
			"input and output are the same folder, %s, and outputs (%s) would be taken for inputs (%s): use another %s or extension",
			filepath.Clean(string(spec.InputDir)), spec.OutputExt, spec.InputExt, t.Output)
	}
	return nil
}

// checkNeighbors refuses an output folder that another Task works in: they would take each other's outputs and error files
// for their own. Its records lie there, beside those of this one, or, if it is one of a pipeline, in the folder above.
func (t Terms) checkNeighbors(spec *spool.Spec, records string) error {
	output, self := filepath.Clean(string(spec.OutputDir)), spool.Dir(records, spec.Task)
	for _, folder := range slices.Compact([]string{filepath.Clean(records), output, filepath.Dir(output)}) {
		names, err := spool.Tasks(folder)
		if err != nil && folder != filepath.Dir(output) { // what is above may be closed to us
			return t.storage("looking for other Tasks of the output directory", err)
		}
		for _, name := range names {
			dir := spool.Dir(folder, name)
			if dir == self {
				continue
			}
			other, err := spool.Open(dir)
			if err != nil || filepath.Clean(string(other.Spec().OutputDir)) != output { // no spool, or one of a Task whose outputs lie elsewhere
				continue
			}
			return refuse(OutputInUse,
				"the output directory %s belongs to Task %s: choose another %s, or remove %s if that Task is no more",
				spec.OutputDir, name, t.Output, other.Path())
		}
	}
	return nil
}

// checkHistory refuses records of a task that had another place in its pipeline: what they say is done would be taken for
// done in this one.
func checkHistory(s *spool.Spool, spec *spool.Spec) error {
	was := s.Spec()
	place := func(s *spool.Spec) string {
		from := "the inputs of the pipeline"
		if s.Parent != "" {
			from = "the outputs of task " + s.Parent
		}
		return fmt.Sprintf("%s (%s), with outputs %s in %s", from, s.InputExt, s.OutputExt, s.OutputDir)
	}
	if before, now := place(was), place(spec); before != now {
		return refuse(InvalidDirectories,
			"task %s was run on %s, and is now to run on %s: choose another output directory, or remove %s to begin this task anew",
			spec.Task, before, now, s.Path())
	}
	return nil
}
