package task

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

// checkDirectories refuses what no worker could make sense of, and makes the output folder.
func checkDirectories(spec *spool.Spec) error {
	in, err := os.Stat(string(spec.InputDir))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return stalled(v1alpha1.ReasonInputNotFound, "the input directory %s does not exist: create it, or correct workspace.path and input.directory", spec.InputDir)
	case err != nil:
		return stalled(v1alpha1.ReasonInputNotReadable, "the input directory cannot be read: %s", err)
	case !in.IsDir():
		return stalled(v1alpha1.ReasonInputNotFound, "the input directory %s is a file: name its folder in input.directory", spec.InputDir)
	}
	dir, err := os.Open(string(spec.InputDir))
	if err != nil {
		return stalled(v1alpha1.ReasonInputNotReadable, "the input directory cannot be read: %s", err)
	}
	_ = dir.Close() // nothing was written
	if err := os.MkdirAll(string(spec.OutputDir), 0o777); err != nil {
		return storageStall("making the output directory", err)
	}
	out, err := os.Stat(string(spec.OutputDir))
	if err != nil {
		return storageStall("looking at the output directory", err)
	}
	if os.SameFile(in, out) && strings.HasSuffix(spec.OutputExt, spec.InputExt) {
		return stalled(v1alpha1.ReasonInvalidDirectories,
			"input and output are the same folder, %s, and outputs (%s) would be taken for inputs (%s): use another output.directory or extension",
			filepath.Clean(string(spec.InputDir)), spec.OutputExt, spec.InputExt)
	}
	return nil
}

// checkNeighbours refuses an output folder that another Task has its records in: they would take each other's outputs and
// error files for their own.
func checkNeighbours(spec *spool.Spec) error {
	tasks := filepath.Dir(spool.Dir(string(spec.OutputDir), spec.Task))
	entries, err := os.ReadDir(tasks)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storageStall("looking for other Tasks of the output directory", err)
	}
	for _, entry := range entries {
		if entry.Name() == spec.Task {
			continue
		}
		other, err := spool.Open(filepath.Join(tasks, entry.Name()))
		if err != nil || other.Spec().OutputDir != spec.OutputDir { // no spool, or one of a Task whose outputs lie elsewhere
			continue
		}
		return stalled(v1alpha1.ReasonOutputInUse,
			"the output directory %s belongs to Task %s: choose another output.directory, or remove %s if that Task is no more",
			spec.OutputDir, entry.Name(), other.Path())
	}
	return nil
}

// storageStall tells what a person must mend of a file system that refuses.
func storageStall(doing string, err error) error {
	var format *spool.FormatError
	switch {
	case errors.As(err, &format):
		return stalled(v1alpha1.ReasonSpoolIncompatible, "%s", err)
	case spool.IsFull(err):
		return stalled(v1alpha1.ReasonStorageFull, "%s: %s: free space; no file is lost", doing, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return stalled(v1alpha1.ReasonOutputNotWritable, "%s: %s: choose another output.directory or the rights to write there", doing, err)
	case spool.IsStorage(err):
		return stalled(v1alpha1.ReasonStorageError, "%s: %s", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
