package handler

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// commands runs one process for every file.
type commands struct {
	pool
	config   Config
	env      []string
	prefix   []string // the setup shell, if there are setup commands, and the entrypoint
	path     string   // of the program, if it is the same for every file
	template *template
	program  program

	mu      sync.Mutex // of running, and of Kill against its growth
	running map[*child]struct{}
}

func startCommands(c Config, env []string) (Handler, error) {
	argv := c.Spec.Handler.Command
	t, err := newTemplate(argv, c.Spec.Params, c.Spec.InputExt)
	if err != nil {
		return nil, err
	}
	concurrency := max(1, c.Spec.Concurrency)
	h := &commands{
		pool:     newPool(c),
		config:   c,
		env:      env,
		template: t,
		program: program{
			argv: argv,
			what: fmt.Sprintf("command %q", argv[0]),
			mend: "install it, load it in setupCommands, or correct handler.command",
		},
		running: map[*child]struct{}{},
	}
	h.pool.run = h.run
	if err := h.resolve(); err != nil {
		return nil, err
	}
	c.narrate(protocol.Narration{Op: protocol.OpSetup})
	c.narrate(protocol.Narration{Op: protocol.OpReady})
	h.finish = func() { c.narrate(protocol.Narration{Op: protocol.OpTeardown}) }
	go h.work(concurrency)
	return h, nil
}

// resolve finds once what is the same for every file: the setup shell, the entrypoint, or the program unless its name has
// placeholders.
func (h *commands) resolve() (err error) {
	spec := h.config.Spec
	switch {
	case len(spec.SetupCommands) > 0:
		h.prefix, err = h.program.enteredBy(spec.Entrypoint).setupShell(spec.SetupCommands, nil, h.config.Login)
		h.prefix = append(h.prefix, spec.Entrypoint...)
	case len(spec.Entrypoint) > 0:
		var path string
		path, err = h.program.enteredBy(spec.Entrypoint).find(h.env, string(spec.WorkDir))
		h.prefix = append([]string{path}, spec.Entrypoint[1:]...)
	case !strings.Contains(h.program.argv[0], "{"):
		h.path, err = h.program.find(h.env, string(spec.WorkDir))
	}
	return err
}

// launch says how to start the command for one file.
func (h *commands) launch(r Request) (launch, error) {
	argv, fileEnv := h.template.expand(r)
	l := launch{env: lastOfEach(slices.Concat(h.env, fileEnv)), dir: string(h.config.Spec.WorkDir)}
	switch {
	case len(h.prefix) > 0:
	case h.path != "":
		argv[0] = h.path
	default:
		p := h.program
		p.argv = argv
		path, err := p.find(l.env, l.dir)
		if err != nil {
			return launch{}, err
		}
		argv[0] = path
	}
	l.argv = slices.Concat(h.prefix, argv)
	return l, nil
}

// run runs one file. Faults on our side fail the file with the errno that tells the engine what to make of them. It is
// not ok if Kill came first: the end of the command means nothing then, and its mark stays.
func (h *commands) run(r Request) (result Result, ok bool) {
	result.ID = r.ID
	if err := protocol.WriteMark(h.config.Current, r.Slot, r.Mark); err != nil {
		result.Failure = startFailure(err)
		return result, true
	}
	h.config.narrate(protocol.Narration{Op: protocol.OpBegin, Input: spool.Name(r.Input)})
	start := time.Now()
	e, stderr, done, err := h.execute(r)
	if h.wasKilled() {
		return result, false
	}
	result.Seconds = time.Since(start).Seconds()
	_ = protocol.ClearMark(h.config.Current, r.Slot)
	e.LastLines = stderr
	setup := h.config.Spec.SetupCommands
	switch {
	case err != nil:
		result.Failure = startFailure(err)
	case done < len(setup):
		failure := setupFailure(setup, done, e)
		result.Failure, result.ExitCode = &failure, e.Status()
	case e.Code != 0:
		result.Failure, result.ExitCode, result.Crashed = e.failure(), e.Status(), e.Signal != 0
	}
	h.config.narrate(protocol.Narration{Op: protocol.OpEnd, Input: spool.Name(r.Input), OK: result.Failure == nil})
	return result, true
}

func startFailure(err error) *protocol.Failure {
	f := &protocol.Failure{Type: "StartError", Message: err.Error()}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		f.Errno = int(errno)
	}
	return f
}

// execute starts the command for one file and waits for its end. It returns the last lines of its stderr and how many
// setup commands went well.
func (h *commands) execute(r Request) (e Exit, lastLines []string, setupDone int, err error) {
	l, err := h.launch(r)
	if err != nil {
		return e, nil, 0, err
	}
	var ps pipes
	defer ps.close()
	stdout, stdoutW, err := ps.fromChild()
	if err != nil {
		return e, nil, 0, err
	}
	stderr, stderrW, err := ps.fromChild()
	if err != nil {
		return e, nil, 0, err
	}
	steps, stepsW, err := ps.fromChild()
	if err != nil {
		return e, nil, 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return e, nil, 0, err
	}
	defer null.Close()
	l.files = []*os.File{null, stdoutW, stderrW}
	if len(h.config.Spec.SetupCommands) > 0 {
		l.files = append(l.files, nil, nil, nil, stepsW)
	}
	c, err := startChild(context.Background(), l)
	if err != nil {
		return e, nil, 0, h.program.startError(err)
	}
	ps.started()
	h.track(c)
	defer h.untrack(c)
	said, last := &tail{to: h.config.Log}, &tail{to: h.config.Log}
	var copying sync.WaitGroup
	copying.Go(func() { copyUntilDeath(said, stdout, c.dead) })
	copyUntilDeath(last, stderr, c.dead)
	copying.Wait()
	return c.exit(), last.lines(), stepsDone(steps), nil
}

func (h *commands) track(c *child) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[c] = struct{}{}
	if h.wasKilled() {
		c.kill()
	}
}

func (h *commands) untrack(c *child) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, c)
}

// Close waits for what is in flight.
func (h *commands) Close(ctx context.Context) error {
	h.drain(ctx, h.Kill)
	if h.wasKilled() {
		return ctx.Err()
	}
	return nil
}

// Kill ends every command.
func (h *commands) Kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wasKilled() {
		return
	}
	close(h.killed)
	for c := range h.running {
		c.kill()
	}
}

// Exit is of a lasting process.
func (h *commands) Exit() Exit { return Exit{} }
