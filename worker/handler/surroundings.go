package handler

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"

	"tigerflow.dev/tigerflow/task/protocol"
)

// setupEnvironment is what the setup commands make of env, for a builtin task: a shell runs them, and what it would
// have handed down to a program is read back.
func setupEnvironment(ctx context.Context, c Config, env []string) ([]string, error) {
	commands := c.Spec.SetupCommands
	if len(commands) == 0 {
		return env, nil
	}
	p := program{argv: []string{"/bin/sh", "-c", "exec cat /proc/self/environ >&3"}, what: "setup commands", mend: "correct them"}
	argv, err := p.setupShell(commands, nil, c.Login)
	if err != nil {
		return nil, err
	}
	e, after, done, err := runSetup(ctx, c, launch{argv: append(argv, p.argv...), env: env, dir: string(c.Spec.WorkDir)})
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case done < len(commands):
		return nil, &SetupError{Stage: protocol.StageSetup, Failure: setupFailure(commands, done, e)}
	case e.Code != 0:
		return nil, &SetupError{Stage: protocol.StageSetup, Failure: *e.failure()}
	}
	return strings.Split(strings.TrimSuffix(string(after), "\x00"), "\x00"), nil
}

// runSetup runs the shell, with a pipe for the steps that it is through with and one, descriptor 3, for its word.
func runSetup(ctx context.Context, c Config, l launch) (e Exit, word []byte, done int, err error) {
	var ps pipes
	defer ps.close()
	var ours, theirs [3]*os.File // of prints, word and steps
	for i := range ours {
		if ours[i], theirs[i], err = ps.fromChild(); err != nil {
			return e, nil, 0, err
		}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return e, nil, 0, err
	}
	defer null.Close()
	l.files = []*os.File{null, theirs[0], theirs[0], theirs[1], nil, nil, theirs[2]}
	shell, err := startChild(ctx, l)
	if err != nil {
		return e, nil, 0, err
	}
	ps.started()
	stop := context.AfterFunc(ctx, shell.kill)
	defer stop()
	said := &tail{to: c.Log}
	var environ bytes.Buffer
	var copying sync.WaitGroup
	for i, to := range []io.Writer{said, &environ} {
		copying.Go(func() { copyUntilDeath(to, ours[i], shell.dead) })
	}
	copying.Wait()
	e = shell.exit()
	e.LastLines = said.lines()
	return e, environ.Bytes(), stepsDone(ours[2]), nil
}
