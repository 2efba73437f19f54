package handler

import (
	"context"
	"errors"
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
	argv, env, err := p.through(c.Spec.SetupCommands, env, string(c.Spec.WorkDir))
	if err != nil {
		return nil, err
	}
	h, steps, err := launchServed(ctx, c, launch{argv: argv, env: env, dir: string(c.Spec.WorkDir)})
	if err != nil {
		return nil, p.startError(err)
	}
	defer steps.Close()
	stop := context.AfterFunc(ctx, h.Kill)
	defer stop()
	if err := h.prepare(setup); err != nil {
		h.awaitEnd(err)
		h.stream.f.Close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, io.EOF):
			return nil, p.diedEarly(c.Spec.SetupCommands, steps, h.exit)
		default:
			return nil, err
		}
	}
	go h.receive()
	return h, nil
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
	replies, repliesW, err := ps.fromChild()
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
	l.files = []*os.File{null, c.Log, c.Log, requestsR, repliesW, c.Current, stepsW}
	if len(c.Spec.SetupCommands) == 0 {
		l.files = l.files[:stepsFD]
	}
	h = &served{
		requests: requests,
		stream:   &mortal{f: replies},
		log:      c.Log,
		logStart: sizeOf(c.Log),
		results:  make(chan Result, ahead(c.Spec.Concurrency)),
		killed:   make(chan struct{}),
		ended:    make(chan struct{}),
		inFlight: map[uint64]struct{}{},
	}
	h.replies = protocol.NewReader(h.stream)
	if h.child, err = startChild(ctx, l); err != nil {
		return nil, nil, err
	}
	go h.bury()
	return h, steps, nil
}

// prepare has the handler set up the task. The error is io.EOF if it ended without a word, else a *SetupError.
func (h *served) prepare(setup []byte) error {
	if _, err := h.requests.Write(setup); err != nil {
		return io.EOF // it closed its end
	}
	r, err := h.next()
	switch {
	case errors.Is(err, io.EOF):
		return err
	case err != nil:
		return setupError(protocol.StageLoad, "ProtocolError", "%v", err)
	case r.Op == protocol.OpReady:
		return nil
	case r.Op == protocol.OpFailed:
		return &SetupError{Stage: r.Stage, Failure: r.Failure}
	default:
		return setupError(protocol.StageLoad, "ProtocolError", "the handler answered setup with %s", r.Op)
	}
}
