package handler

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/task/protocol"
)

// stepsFD is where the setup shell writes a byte after each setup command.
const stepsFD = 6

// ErrNoShell means that there are setup commands and no shell to run them.
var ErrNoShell = errors.New("there is neither /bin/bash nor /bin/sh")

// shell finds the shell of the setup commands. Authors write for bash; images without it have a plain one.
func shell() (string, error) {
	for _, path := range []string{"/bin/bash", "/bin/sh"} {
		if executable(path, "/") == nil {
			return path, nil
		}
	}
	return "", &StartError{What: "setup commands", Err: ErrNoShell, Mend: "leave setupCommands out, or use an image that has one"}
}

// setupShell returns the argv that runs the setup commands, then becomes the program whose argv is put behind it. The
// author's own lines are all that is put into the script; exports are lines of ours, run last.
func (p program) setupShell(commands, exports []string, login bool) ([]string, error) {
	if strings.HasPrefix(p.argv[0], "-") {
		return nil, p.startError(errDash) // exec would take it for an option
	}
	sh, err := shell()
	if err != nil {
		return nil, err
	}
	argv := []string{sh, "-c", setupScript(sh, commands, exports), "tigerflow-setup"}
	if login {
		argv = slices.Insert(argv, 1, "-l")
	}
	return argv, nil
}

func setupScript(shell string, commands, exports []string) string {
	// A sourced file sees the arguments of the script that sources it, and some (conda's activate) obey them: bash can
	// put ours away in an array.
	hide, become := "", `exec "$@"`
	if strings.HasSuffix(shell, "/bash") {
		hide, become = `tigerflow_argv=("$@"); set --`, `exec "${tigerflow_argv[@]}"`
	}
	lines := []string{"set -e", hide}
	for _, command := range commands {
		lines = append(lines, command, "printf . >&6")
	}
	lines = append(lines, "exec 6>&-")
	lines = append(lines, exports...)
	return strings.Join(append(lines, become), "\n")
}

// stepsDone counts the setup commands that a dead shell got through.
func stepsDone(pipe *os.File) int {
	done := &mortal{f: pipe}
	done.died()
	n, _ := io.Copy(io.Discard, done)
	return int(n)
}

// setupFailure is the end of a shell that got through only the first done of the setup commands.
func setupFailure(commands []string, done int, e Exit) protocol.Failure {
	f := e.failure()
	f.Type = "SetupCommandFailed"
	f.Message = "setup command `" + protocol.Head(commands[done], 200) + "`: " + f.Message
	return *f
}
