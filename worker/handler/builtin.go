package handler

import (
	"context"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/library"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/task/serve"
)

// builtin runs a task of the library by goroutines of this process. What it does to the process – an exit, memory used
// up – it does to the worker, whose blame file then tells which file was in hand.
type builtin struct {
	pool
	config Config
	task   *serve.Inside
	ctx    context.Context //nolint:containedctx // of user code, ended by Kill
	cancel context.CancelFunc
	parted error // of the teardown; set before ended is closed
}

func startBuiltin(ctx context.Context, c Config, env []string) (Handler, error) {
	name := c.Spec.Handler.Builtin
	instance, known := library.Lookup(name)
	if !known {
		return nil, setupError(protocol.StageLoad, "TaskError",
			"unknown builtin %q: known are %s", name, strings.Join(library.Names(), ", "))
	}
	env, err := setupEnvironment(ctx, c, env)
	if err != nil {
		return nil, err
	}
	if c.Become != nil {
		if err := c.Become(string(c.Spec.WorkDir), env); err != nil {
			return nil, err
		}
	}
	h := &builtin{pool: newPool(c), config: c, task: instance()}
	h.pool.run, h.pool.finish = h.run, h.tearDown
	h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	concurrency := max(1, c.Spec.Concurrency)
	stop := context.AfterFunc(ctx, h.cancel)
	c.narrate(protocol.Narration{Op: protocol.OpSetup})
	stage, failure := h.task.Setup(h.ctx, protocol.Setup{Task: c.Spec.Task, Params: c.Spec.Params, Concurrency: concurrency})
	if !stop() && failure == nil {
		h.tearDown()
		return nil, ctx.Err()
	}
	if failure != nil {
		h.cancel()
		return nil, &SetupError{Stage: stage, Failure: *failure}
	}
	c.narrate(protocol.Narration{Op: protocol.OpReady})
	go h.work(concurrency)
	return h, nil
}

// run runs one file. Its mark stays where the next file of the slot is about to overwrite it.
func (h *builtin) run(r Request) (Result, bool) {
	result := Result{ID: r.ID}
	if err := protocol.WriteMark(h.config.Current, r.Slot, r.Mark); err != nil {
		result.Failure = startFailure(err)
		return result, true
	}
	h.config.narrate(protocol.Narration{Op: protocol.OpBegin, Input: spool.Name(r.Input)})
	start := time.Now()
	result.Failure = h.task.Run(h.ctx, r.Input, r.Output)
	if h.wasKilled() {
		return result, false
	}
	result.Seconds = time.Since(start).Seconds()
	h.config.narrate(protocol.Narration{Op: protocol.OpEnd, Input: spool.Name(r.Input), OK: result.Failure == nil})
	if h.config.Spec.Concurrency > 1 || len(h.queue) == 0 {
		_ = protocol.ClearMark(h.config.Current, r.Slot) // a mark that stays does no harm: the file was answered
	}
	return result, true
}

func (h *builtin) tearDown() {
	defer h.cancel()
	h.config.narrate(protocol.Narration{Op: protocol.OpTeardown})
	if failure := h.task.Teardown(h.ctx); failure != nil {
		h.parted = &SetupError{Stage: protocol.StageTeardown, Failure: *failure}
	}
}

// Close waits for what is in flight and the teardown.
func (h *builtin) Close(ctx context.Context) error {
	h.drain(ctx, h.Kill)
	if h.wasKilled() {
		return ctx.Err()
	}
	return h.parted
}

// Kill ends the context of user code. If that does not end user code within the grace, only the end of the process can.
func (h *builtin) Kill() {
	h.killOnce.Do(func() {
		close(h.killed)
		h.cancel()
		go func() {
			select {
			case <-h.ended:
			case <-time.After(h.config.Grace):
				close(h.given)
				h.out <- Result{Lane: h.lane, Stuck: true}
			}
		}()
	})
}

// Exit is of processes.
func (h *builtin) Exit() Exit { return Exit{} }
