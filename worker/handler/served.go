package handler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/task/protocol"
)

// served is a handler process that speaks the protocol.
type served struct {
	lane     int
	width    int // files at once
	out      chan<- Result
	child    *child
	requests *os.File
	outbox   *outbox
	stream   *replyPipe
	replies  *protocol.Reader
	prints   *os.File
	said     *tail
	copied   chan struct{} // closed when all prints of the dead are in said

	killed   chan struct{}
	killOnce sync.Once
	ended    chan struct{} // closed right before the end is told

	pace     float64 // seconds per file, smoothed; the receiver's
	mu       sync.Mutex
	inFlight map[uint64]struct{}
	closing  bool // no more runs
	tearing  bool // teardown was sent

	// graceAfterBye is how long the process may take to end when it has taken its leave, graceAfterEnd when its replies end.
	graceAfterBye, graceAfterEnd time.Duration

	exit   Exit  // set before ended is closed
	parted error // how the conversation ended, for Close; set before ended is closed
}

var errNoTeardown = errors.New("the handler ended before its teardown")

const (
	// graceAfterFailed is how long a handler that reported a failed setup may take to end, for its last words in the log.
	graceAfterFailed = 5 * time.Second
	// graceAfterBye is the same for one that is torn down, for what is to be done at its exit.
	graceAfterBye = time.Minute
	// graceAfterEnd is the same for one whose replies end, as those of a dying process do before it is dead.
	graceAfterEnd = 10 * time.Second
)

var errSilent = errors.New("it has closed the descriptor of its replies: leave 3, 4 and 5 open, which are the handler's")

// bury unblocks who talks to the dead.
func (h *served) bury() {
	<-h.child.dead
	h.stream.died()
	h.outbox.close()
	_ = h.requests.Close()
}

func (h *served) copyPrints() {
	defer close(h.copied)
	copyUntilDeath(h.said, h.prints, h.child.dead)
	_ = h.prints.Close()
}

// awaitEnd waits for the end of a handler with which there is no more to talk, and makes it end unless it is about to. The reason
// is nil if it took its leave.
func (h *served) awaitEnd(reason error) {
	var grace time.Duration
	var silent bool
	if _, failed := errors.AsType[*SetupError](reason); failed {
		grace = graceAfterFailed
	} else if reason == nil {
		grace = h.graceAfterBye
	} else if errors.Is(reason, io.EOF) {
		grace = h.graceAfterEnd
	}
	if grace > 0 {
		select {
		case <-h.child.dead:
		case <-time.After(grace):
			silent = errors.Is(reason, io.EOF)
		}
	}
	h.child.kill()
	<-h.child.dead
	<-h.copied
	h.stream.close()
	h.exit = h.child.exit()
	h.exit.LastLines = h.said.lines()
	if silent && h.exit.Signal == syscall.SIGKILL { // else it was at its end, only slow
		h.exit.Err = errSilent
	}
}

// receive passes results on until the handler has ended.
func (h *served) receive() {
	err := h.receiveResults()
	h.awaitEnd(err)
	_, failed := errors.AsType[*SetupError](err)
	switch {
	case err == nil || failed:
		h.parted = err
	case errors.Is(err, io.EOF):
		h.parted = fmt.Errorf("%w: %s", errNoTeardown, h.exit)
	default:
		h.exit.Err = err
		h.parted = fmt.Errorf("%w: %w", errNoTeardown, err)
	}
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	close(h.ended)
	h.out <- Result{Lane: h.lane, Ended: true}
}

// gatherFor is how long replies are left to gather while the handler has work for twice as long: to be woken for each of
// many quick files costs more than to deal with it. No system timer is much finer.
const gatherFor = time.Millisecond

// gathering reads replies, many at a time where that keeps nobody waiting.
type gathering struct{ h *served }

func (g gathering) Read(p []byte) (int, error) {
	g.h.mu.Lock()
	waiting := len(g.h.inFlight) - 1
	g.h.mu.Unlock()
	if float64(waiting)/float64(g.h.width)*g.h.pace >= 2*gatherFor.Seconds() {
		<-time.After(gatherFor)
	}
	return g.h.stream.Read(p)
}

// receiveResults returns nil after bye, a *SetupError after a failed teardown, io.EOF if the handler ended before, and
// any other error if it broke the protocol.
func (h *served) receiveResults() error {
	for {
		r, err := h.next()
		if err != nil {
			return err
		}
		switch {
		case r.Op == protocol.OpDone || r.Op == protocol.OpError:
			if err := h.deliver(r); err != nil {
				return err
			}
		case r.Op == protocol.OpBye && h.torn():
			return nil
		case r.Op == protocol.OpFailed && h.torn():
			return &SetupError{Stage: protocol.StageTeardown, Failure: r.Failure}
		default:
			return fmt.Errorf("the handler said %s out of turn", r.Op)
		}
	}
}

func (h *served) next() (protocol.Reply, error) {
	line, err := h.replies.Next()
	if err != nil {
		return protocol.Reply{}, err
	}
	return protocol.DecodeReply(line)
}

func (h *served) deliver(r protocol.Reply) error {
	h.mu.Lock()
	_, known := h.inFlight[r.ID]
	delete(h.inFlight, r.ID)
	h.mu.Unlock()
	h.pace += (r.Seconds - h.pace) / 8
	if !known {
		return fmt.Errorf("the handler answered for file %d, which it did not have", r.ID)
	}
	result := Result{Lane: h.lane, ID: r.ID, Seconds: r.Seconds}
	if r.Op == protocol.OpError {
		result.Failure = &r.Failure
	}
	deliver(h.out, result, h.killed)
	h.tearDownIfIdle()
	return nil
}

// tearDownIfIdle asks for teardown, once, when the handler is closing and nothing is in flight.
func (h *served) tearDownIfIdle() {
	h.mu.Lock()
	now := h.closing && !h.tearing && len(h.inFlight) == 0
	h.tearing = h.tearing || now
	h.mu.Unlock()
	if now {
		h.outbox.send(protocol.AppendTeardown)
	}
}

func (h *served) torn() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tearing
}

func (h *served) Run(r Request) error {
	run, err := r.message()
	if err != nil {
		return err
	}
	h.mu.Lock()
	if h.closing {
		h.mu.Unlock()
		return ErrEnded
	}
	if _, twice := h.inFlight[r.ID]; twice {
		h.mu.Unlock()
		return fmt.Errorf("request run %d: a file of this number is in flight", r.ID)
	}
	h.inFlight[r.ID] = struct{}{}
	h.mu.Unlock()
	h.outbox.send(func(b []byte) []byte { return protocol.AppendRun(b, run) })
	return nil
}

func (h *served) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, h.Kill)
	defer stop()
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.tearDownIfIdle()
	<-h.ended
	if errors.Is(h.parted, errNoTeardown) && ctx.Err() != nil {
		return ctx.Err()
	}
	return h.parted
}

func (h *served) Kill() {
	h.killOnce.Do(func() {
		close(h.killed)
		h.child.kill()
	})
}

func (h *served) Exit() Exit { return h.exit }
