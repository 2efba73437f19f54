package handler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// program is what the author wants started, in the author's words.
type program struct {
	argv       []string
	vars       []string // settings for the program alone: constants that need no quotes in a shell
	pythonPath string   // to be first in PYTHONPATH
	what       string   // kind and name, for errors
	mend       string   // what to do if it cannot be started
}

// enteredBy is the program behind an entrypoint, if there is one.
func (p program) enteredBy(entrypoint []string) program {
	if len(entrypoint) > 0 {
		p.argv = slices.Concat(entrypoint, p.argv)
		p.what = fmt.Sprintf("entrypoint %q", entrypoint[0])
		p.mend = "correct container.entrypoint, or leave it out"
	}
	return p
}

var (
	errNotInPath = errors.New("not found in PATH")
	errDash      = errors.New("the name of a program must not begin with a dash")
)

// find returns the path of the program as execvp would: in the PATH of env, unless its name has a slash. Relative paths
// count from dir.
func (p program) find(env []string, dir string) (string, error) {
	name := p.argv[0]
	if strings.Contains(name, "/") {
		if err := executable(name, dir); err != nil {
			return "", p.startError(err)
		}
		return name, nil
	}
	var denied error
	for _, folder := range filepath.SplitList(lookupEnv(env, "PATH")) {
		path := filepath.Join(folder, name)
		if folder == "" || folder == "." {
			path = "./" + name
		}
		err := executable(path, dir)
		if err == nil {
			return path, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
	}
	if denied != nil {
		return "", p.startError(denied)
	}
	return "", p.startError(errNotInPath)
}

func executable(path, dir string) error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return syscall.EISDIR
	}
	return unix.Access(path, unix.X_OK)
}

// startError is the error of a start. Faults of the system pass, and are not the author's to mend.
func (p program) startError(err error) error {
	for _, passing := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ESTALE} {
		if errors.Is(err, passing) {
			return err
		}
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err // the path is in p.what
	}
	return &StartError{What: p.what, Err: err, Mend: p.mend}
}
