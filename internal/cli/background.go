package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
)

// readyVariable tells a command in the background the descriptor that it closes when it is under way.
const readyVariable = "TIGERFLOW_READY_FD"

// Detach starts this command line again without what sends it to the background, detached from the terminal and with its
// messages going to the end of log. It returns the process id when that one is under way. One that ends before is told of as
// if it had been in the foreground; nil and 0 say that it was through before it was noticed.
func Detach(ctx context.Context, stderr io.Writer, log *os.File) (pid int, err error) {
	began, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, foreground(os.Args[1:])...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{theirs}
	cmd.Env = append(os.Environ(), readyVariable+"=3") // the first behind stdin, stdout and stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = theirs.Close() // nothing was written
	if err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the command, or with this process
	if word, _ := bufio.NewReader(ready).ReadString('\n'); word == "" {
		return 0, endedEarly(ctx, stderr, log, began, ended)
	}
	return cmd.Process.Pid, nil
}

// endedEarly tells what a command said that has ended before it was under way.
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
		return &ToldError{Code: exit.ExitCode()}
	}
	return end // all was done before it was noticed, or it was killed
}

// foreground is a command line without what sends it to the background.
func foreground(args []string) []string {
	return slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		return arg == "-b" || arg == "--background" || arg == "--background=true"
	})
}

// Starter is the pipe to who has started this command in the background, nil if nobody has. No process that it starts gets it,
// or is told of it: one that runs tigerflow has other things open there.
func Starter() *os.File {
	const fd = 3
	told := os.Getenv(readyVariable)
	_ = os.Unsetenv(readyVariable) // it cannot fail with this name
	if told != strconv.Itoa(fd) {
		return nil
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(fd, "ready")
}

// TellReady tells who has started this command in the background, if somebody has, that it is under way.
func TellReady(ready *os.File) {
	if ready != nil {
		_, _ = ready.WriteString("\n") // who has gone needs no word
		_ = ready.Close()
	}
}
