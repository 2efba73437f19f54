package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Failures that user code causes by what it leaves behind.
const (
	FailureOutputRemoved   = "OutputRemoved"
	FailureOutputNotAFile  = "OutputNotAFile"
	FailureOutputElsewhere = "OutputElsewhere"
	FailureOutputName      = "OutputName"
)

// NewTemp makes the empty file that user code is to write. It exists before user code runs, so a fenced worker, whose
// folder is gone, cannot begin.
func (w *Worker) NewTemp(ext string) (string, error) {
	path := w.spool.tmpDir(w.id) + string(filepath.Separator) + TempName(ext)
	for { // not os.OpenFile, which asks the poller about every file: this is done for each input
		fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, 0o666)
		switch {
		case err == nil:
			return path, os.NewSyscallError("close", syscall.Close(fd))
		case errors.Is(err, syscall.EEXIST): // nobody else has that name: it is ours, and the first answer was lost
			return path, nil
		case !errors.Is(err, syscall.EINTR):
			return "", &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// Inspection is a look at what user code left in tmp. It serves for all files that user code has returned from by the
// time of the first look: the folder is listed once for all of them, and only if one is empty.
type Inspection struct {
	w      *Worker
	listed bool
	names  []string
}

// Inspection begins a look.
func (w *Worker) Inspection() *Inspection { return &Inspection{w: w} }

// Inspect is a look at one file.
func (w *Worker) Inspect(tmp string) (fs.FileInfo, *Failure, error) { return w.Inspection().Look(tmp) }

// Look looks at what user code left of a temporary. A failure is user code's doing; an error is the storage's.
func (i *Inspection) Look(tmp string) (fs.FileInfo, *Failure, error) {
	info, err := os.Lstat(tmp)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if i.w.Fenced() {
			return nil, nil, err
		}
		return nil, &Failure{Type: FailureOutputRemoved, Message: "user code removed output_file"}, nil
	case err != nil:
		return nil, nil, err
	case !info.Mode().IsRegular():
		return nil, &Failure{Type: FailureOutputNotAFile, Message: "user code left no regular file as output_file but one of mode " + info.Mode().String()}, nil
	case info.Size() > 0:
		return info, nil, nil
	}
	if !i.listed {
		if i.names, err = i.w.listTmp(); err != nil {
			return nil, nil, err
		}
		i.listed = true
	}
	if beside := beside(i.names, tmp); len(beside) > 0 {
		return nil, &Failure{
			Type:    FailureOutputElsewhere,
			Message: fmt.Sprintf("user code wrote %s instead of output_file: write to the path that run was given, with just that name", beside[0]),
		}, nil
	}
	return info, nil, nil
}

// listTmp is what lies in tmp, in order.
func (w *Worker) listTmp() ([]string, error) {
	names, err := listNames(w.spool.tmpDir(w.id))
	slices.Sort(names)
	return names, err
}

// beside picks what user code made next to a temporary, as numpy.save adds ".npy" to a name. names are in their order.
func beside(names []string, tmp string) (found []string) {
	base := filepath.Base(tmp)
	stem := base[:len(TempPrefix)+16]
	first, _ := slices.BinarySearch(names, stem)
	for _, n := range names[first:] {
		if !strings.HasPrefix(n, stem) {
			break
		}
		if n != base {
			found = append(found, n)
		}
	}
	return found
}

// Publish gives the temporary its final name in the output folder unless that exists already; it reports whether this
// call, or an earlier one whose answer was lost, did it. fs.ErrNotExist means that the worker is fenced, or that somebody
// removed the output folder. Folders in that one are made as they are needed.
func (w *Worker) Publish(tmp, output string, info fs.FileInfo) (bool, error) {
	mine, err := publishKnown(tmp, output, info)
	spec := w.spool.Spec()
	if !errors.Is(err, fs.ErrNotExist) || !spec.Recursive {
		return mine, err
	}
	if _, lookErr := os.Lstat(tmp); lookErr != nil { // that is what does not exist
		return false, err
	}
	rel, relErr := filepath.Rel(string(spec.OutputDir), output)
	if err := errors.Join(relErr, spec.makeFolder(rel)); err != nil {
		return false, err
	}
	return publishKnown(tmp, output, info)
}

// Discard removes a temporary and what lies beside it.
func (w *Worker) Discard(tmp string) error {
	names, err := w.listTmp()
	for _, n := range beside(names, tmp) {
		err = errors.Join(err, removeAll(filepath.Join(filepath.Dir(tmp), n)))
	}
	return errors.Join(err, removeAll(tmp))
}

// Sweep removes all that lies in tmp, at the worker's end.
func (w *Worker) Sweep() error {
	names, err := listNames(w.spool.tmpDir(w.id))
	for _, n := range names {
		err = errors.Join(err, removeAll(filepath.Join(w.spool.tmpDir(w.id), n)))
	}
	return err
}

// SyncFile brings a file's data onto the disk.
func SyncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
