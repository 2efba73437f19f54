// Package inpod is what the worker program does by itself in a Pod, where no shell and no script is: it puts itself where the
// container of the author's image finds it, and sends what it writes to its log.
package inpod

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const (
	// Program is the name of the worker program where Install has put it.
	Program = "tigerflow-worker"
	// LogEnv names the file to which a worker appends what it writes; unset leaves stdout and stderr as they are.
	LogEnv = "TIGERFLOW_LOG"
	// NotExecutable is the exit status of an installation that cannot be run where it is, as shells report it.
	NotExecutable = 126
)

// ErrNotExecutable means that the folder is on a file system from which nothing can be run.
var ErrNotExecutable = errors.New("programs in it cannot be run")

// Install puts the running program into dir as Program, at once or not at all, and runs it there with args, to see whether it
// can be. To repeat it does no harm. The error is ErrNotExecutable if only running it fails.
func Install(dir string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the worker program: %w", err)
	}
	path := filepath.Join(dir, Program)
	if err := place(self, path); err != nil {
		return fmt.Errorf("putting the worker program into %s: %w", dir, err)
	}
	err = exec.Command(path, args...).Run()
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
		return fmt.Errorf("%s: %w: %w: it may be mounted noexec", dir, ErrNotExecutable, err)
	}
	if err != nil {
		return fmt.Errorf("trying the worker program in %s: %w", dir, err)
	}
	return nil
}

// place copies a program; others see all of it or nothing.
func place(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), "."+Program+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(out.Name()) // the first error says more
		}
	}()
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Chmod(0o755), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// Log sends stdout and stderr to the file that LogEnv names, which is made if it is absent, and tells those who look at the
// container's own log so. User code does not see the variable.
func Log() error {
	path := os.Getenv(LogEnv)
	if path == "" {
		return nil
	}
	if err := os.Unsetenv(LogEnv); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return fmt.Errorf("making the folder of logs: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer f.Close()
	fmt.Fprintln(os.Stderr, "the log of this worker is", path)
	for _, fd := range []int{1, 2} {
		if err := syscall.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("writing to the log: %w", err)
		}
	}
	return nil
}
