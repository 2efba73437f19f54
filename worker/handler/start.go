package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"tigerflow.dev/tigerflow/task/protocol"
)

func startServed(ctx context.Context, c Config, env []string) (Handler, error) {
	p, err := c.served()
	if err != nil {
		return nil, err
	}
	setup, err := protocol.AppendSetup(nil, protocol.Setup{
		Task: c.Spec.Task, Params: c.Spec.Params, Concurrency: max(1, c.Spec.Concurrency),
	})
	if err != nil {
		return nil, setupError(protocol.StageParams, "TaskError", "%v", err)
	}
	argv, env, err := p.through(c, env)
	if err != nil {
		return nil, err
	}
	h, steps, err := launchServed(ctx, c, launch{argv: argv, env: env, dir: string(c.Spec.WorkDir)})
	if err != nil {
		return nil, cmp.Or(ctx.Err(), p.startError(err))
	}
	defer steps.Close()
	stop := context.AfterFunc(ctx, h.Kill)
	err = h.prepare(setup)
	if !stop() && err == nil {
		err = ctx.Err() // it is ready, but being killed
	}
	if err != nil {
		h.awaitEnd(err)
		return nil, h.whyNotReady(ctx, err, p, stepsDone(steps), c.Spec.SetupCommands)
	}
	go h.receive()
	return h, nil
}

// whyNotReady explains a handler that ended, or was ended because of err, before it was ready.
func (h *served) whyNotReady(ctx context.Context, err error, p program, setupDone int, setup []string) error {
	_, told := errors.AsType[*SetupError](err)
	switch {
	case told:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.Is(err, io.EOF):
		return setupError(protocol.StageLoad, "ProtocolError", "%v", err)
	case setupDone < len(setup):
		return &SetupError{Stage: protocol.StageSetup, Failure: setupFailure(setup, setupDone, h.exit)}
	case len(setup) > 0 && h.exit.Code == 126: // as shells report what they cannot exec
		return p.startError(os.ErrPermission)
	case len(setup) > 0 && h.exit.Code == 127:
		return p.startError(errNotInPath)
	}
	f := h.exit.failure()
	f.Message = "the handler ended before it was ready: " + f.Message
	return &SetupError{Stage: protocol.StageSetup, Failure: *f}
}

// launchServed starts the process with the descriptors of the protocol, and with the pipe of the setup commands' steps.
func launchServed(ctx context.Context, c Config, l launch) (h *served, steps *os.File, err error) {
	var ps pipes
	defer func() {
		ps.started()
		if err != nil {
			ps.close()
		}
	}()
	requests, requestsR, err := ps.toChild()
	if err != nil {
		return nil, nil, err
	}
	replies, repliesW, err := ps.replies()
	if err != nil {
		return nil, nil, err
	}
	prints, printsW, err := ps.fromChild()
	if err != nil {
		return nil, nil, err
	}
	steps, stepsW, err := ps.fromChild()
	if err != nil {
		return nil, nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	l.files = []*os.File{null, printsW, printsW, requestsR, repliesW, c.Current, stepsW}
	if len(c.Spec.SetupCommands) == 0 {
		l.files = l.files[:stepsFD]
	}
	h = &served{
		lane:     c.Lane,
		width:    max(1, c.Spec.Concurrency),
		out:      c.Results,
		requests: requests,
		outbox:   newOutbox(),
		stream:   replies,
		prints:   prints,
		said:     &tail{to: c.Log},
		copied:   make(chan struct{}),
		killed:   make(chan struct{}),
		ended:    make(chan struct{}),
		inFlight: map[uint64]struct{}{},

		graceAfterBye: graceAfterBye, graceAfterEnd: graceAfterEnd,
	}
	h.replies = protocol.NewReader(gathering{h})
	if h.child, err = startChild(ctx, l); err != nil {
		return nil, nil, err
	}
	go h.copyPrints()
	go h.outbox.run(requests)
	go h.bury()
	return h, steps, nil
}

// prepare has the handler set up the task. The error is a *SetupError if the handler tells of one, io.EOF if it ended
// without a word, and any other if it broke the protocol.
func (h *served) prepare(setup []byte) error {
	h.outbox.send(func(b []byte) []byte { return append(b, setup...) })
	r, err := h.next()
	switch {
	case err != nil:
		return err
	case r.Op == protocol.OpReady:
		return nil
	case r.Op == protocol.OpFailed:
		return &SetupError{Stage: r.Stage, Failure: r.Failure}
	default:
		return fmt.Errorf("the handler answered setup with %s", r.Op)
	}
}
