package flow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tigerflow.dev/tigerflow/spool"
)

// checkDirectories refuses what no worker could make sense of, and makes the output folder.
func (t Terms) checkDirectories(spec *spool.Spec) error {
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

// checkNeighbors refuses an output folder that another Task has its records in: they would take each other's outputs and
// error files for their own.
func (t Terms) checkNeighbors(spec *spool.Spec) error {
	tasks := filepath.Dir(spool.Dir(string(spec.OutputDir), spec.Task))
	entries, err := os.ReadDir(tasks)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.storage("looking for other Tasks of the output directory", err)
	}
	for _, entry := range entries {
		if entry.Name() == spec.Task {
			continue
		}
		other, err := spool.Open(filepath.Join(tasks, entry.Name()))
		if err != nil || other.Spec().OutputDir != spec.OutputDir { // no spool, or one of a Task whose outputs lie elsewhere
			continue
		}
		return refuse(OutputInUse,
			"the output directory %s belongs to Task %s: choose another %s, or remove %s if that Task is no more",
			spec.OutputDir, entry.Name(), t.Output, other.Path())
	}
	return nil
}
