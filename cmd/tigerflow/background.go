package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// readyVariable tells a run in the background the descriptor that it closes when the run is under way.
const readyVariable = "TIGERFLOW_READY_FD"

// runInBackground starts this command line again, detached from the terminal, and returns when the run is under way. One that
// comes to nothing before is told of as if it had been in the foreground.
func runInBackground(ctx context.Context, stdout, stderr io.Writer, objects []*unstructured.Unstructured) error {
	records, err := recordsOf(objects[0])
	if err != nil {
		return usageError{err}
	}
	log, err := openLog(records)
	if err != nil {
		return err
	}
	defer log.Close()
	began, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, foreground(os.Args[1:])...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{theirs}
	cmd.Env = append(os.Environ(), readyVariable+"=3") // the first behind stdin, stdout and stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close() // nothing was written
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the run, or with this process
	if word, _ := bufio.NewReader(ready).ReadString('\n'); word == "" {
		return endedEarly(ctx, stderr, log, began, ended)
	}
	_, err = fmt.Fprintf(stdout, "Started (pid %d). Its messages go to %s.\nTo follow it: tigerflow report %s --watch; to end it: tigerflow stop %s\n",
		cmd.Process.Pid, log.Name(), records, records)
	return err
}

// endedEarly tells what a run said that has ended before it was under way.
func endedEarly(ctx context.Context, stderr io.Writer, log *os.File, began int64, ended <-chan error) error {
	var end error
	select {
	case end = <-ended:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if _, err := log.Seek(began, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(stderr, log); err != nil {
		return err
	}
	if exit, ok := errors.AsType[*exec.ExitError](end); ok && exit.ExitCode() > 0 {
		return &toldError{code: exit.ExitCode()}
	}
	return end // all was done before it was noticed, or it was killed
}

// foreground is a command line without what sends it to the background.
func foreground(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		return arg == "-b" || arg == "--background" || arg == "--background=true"
	})
}

// starter is the pipe to who has started this run in the background, nil if nobody has. No worker or author's program gets it,
// or is told of it: one that runs tigerflow has other things open there.
func starter() *os.File {
	const fd = 3
	told := os.Getenv(readyVariable)
	_ = os.Unsetenv(readyVariable) // it cannot fail with this name
	if told != strconv.Itoa(fd) {
		return nil
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(fd, "ready")
}

// tellReady tells who has started this run in the background that it is under way.
func tellReady(ready *os.File) {
	if ready != nil {
		_, _ = ready.WriteString("\n") // who has gone needs no word
		_ = ready.Close()
	}
}

// openLog opens what takes the messages of a run in the background.
func openLog(records string) (*os.File, error) {
	dir := filepath.Join(records, ".tigerflow")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "run.log"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
}

// recordsOf is the output directory of an object.
func recordsOf(u *unstructured.Unstructured) (string, error) {
	workspace, _, _ := unstructured.NestedString(u.Object, "spec", "workspace", "path")
	output, _, err := unstructured.NestedString(u.Object, "spec", "output", "directory")
	if err != nil || output == "" {
		return "", fmt.Errorf("%s %s: spec.output.directory is missing", u.GetKind(), u.GetName())
	}
	if filepath.IsAbs(output) {
		return output, nil
	}
	return filepath.Join(workspace, output), nil
}
