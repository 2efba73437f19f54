package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/task/protocol"
)

// session is one conversation with a worker.
type session struct {
	narrate  bool // tell in the log what happens, for a person who watches
	requests *protocol.Reader
	blame    io.WriterAt

	mu      sync.Mutex // one reply at a time
	replies io.Writer
	buf     []byte
}

func newSession(requests io.Reader, replies io.Writer, blame io.WriterAt) *session {
	return &session{requests: protocol.NewReader(requests), replies: replies, blame: blame}
}

// inherit takes over what the worker left to this process, and hides it from the children of user code.
func inherit() (*session, error) {
	for fd := protocol.RequestFD; fd <= protocol.BlameFD; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("%s is set but descriptors 3 to 5 are not open: only a worker starts a handler", protocol.EnvHandler)
		}
	}
	narrate := os.Getenv(protocol.EnvNarrate) == "1"
	if err := errors.Join(os.Unsetenv(protocol.EnvHandler), os.Unsetenv(protocol.EnvNarrate)); err != nil {
		return nil, err
	}
	// The worker asks by protocol. Caught instead of ignored, for children inherit what is ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM)
	go exitWithWorker()
	s := newSession(
		os.NewFile(protocol.RequestFD, "requests"),
		os.NewFile(protocol.ReplyFD, "replies"),
		os.NewFile(protocol.BlameFD, "blame"),
	)
	s.narrate = narrate
	return s, nil
}

// exitWithWorker ends the process, whatever user code is doing, when the worker's end of the requests is closed.
func exitWithWorker() {
	hangUp := []unix.PollFd{{Fd: protocol.RequestFD}} // no events asked for: only POLLHUP and POLLERR wake it
	for {
		if _, err := unix.Poll(hangUp, -1); !errors.Is(err, unix.EINTR) {
			os.Exit(1)
		}
	}
}

// serve obeys the worker and returns the exit status.
func (s *session) serve(task instance) int {
	ctx := context.Background()
	setup, err := s.next()
	if err == nil && setup.Op != protocol.OpSetup {
		err = fmt.Errorf("first request is %s, must be setup", setup.Op)
	}
	if err != nil {
		return s.lost(err)
	}
	s.tell(protocol.OpSetup)
	if stage, failure := prepare(ctx, task, setup.Setup); failure != nil {
		if err := s.reply(func(b []byte) []byte { return protocol.AppendFailed(b, stage, *failure) }); err != nil {
			return s.lost(err)
		}
		return 1
	}
	s.tell(protocol.OpReady)
	if err := s.reply(protocol.AppendReady); err != nil {
		return s.lost(err)
	}
	if err := s.runAll(ctx, task, setup.Concurrency); err != nil {
		return s.lost(err)
	}
	s.tell(protocol.OpTeardown)
	last := protocol.AppendBye
	if failure := guard(func() error { return task.teardown(ctx) }); failure != nil {
		last = func(b []byte) []byte { return protocol.AppendFailed(b, protocol.StageTeardown, *failure) }
	}
	if err := s.reply(last); err != nil {
		return s.lost(err)
	}
	return 0
}

func prepare(ctx context.Context, task instance, setup protocol.Setup) (protocol.Stage, *protocol.Failure) {
	if err := task.check(); err != nil {
		return protocol.StageLoad, &protocol.Failure{Type: "TaskError", Message: err.Error()}
	}
	params, err := paramsOf(task.pointer)
	if err != nil {
		return protocol.StageLoad, &protocol.Failure{Type: "TaskError", Message: err.Error()}
	}
	if err := params.set(setup.Params); err != nil {
		return protocol.StageParams, &protocol.Failure{Type: "TaskError", Message: err.Error()}
	}
	return protocol.StageSetup, guard(func() error { return task.setup(ctx) })
}

// runAll runs files until teardown is asked for, up to concurrency at once.
func (s *session) runAll(ctx context.Context, task instance, concurrency int) error {
	if concurrency == 1 { // all files share a slot: the next one's mark overwrites that of the last
		return s.eachRun(func(r protocol.Run) error { return s.run(ctx, task, r, s.requests.More()) })
	}
	var runners sync.WaitGroup
	queue := make(chan protocol.Run)
	for range concurrency {
		runners.Go(func() {
			for r := range queue {
				if err := s.run(ctx, task, r, false); err != nil {
					os.Exit(s.lost(err))
				}
			}
		})
	}
	err := s.eachRun(func(r protocol.Run) error { queue <- r; return nil })
	if err != nil {
		return err // the process ends now, with its runners
	}
	close(queue)
	runners.Wait()
	return nil
}

// eachRun hands every run request to f until teardown is asked for.
func (s *session) eachRun(f func(protocol.Run) error) error {
	for {
		r, err := s.next()
		switch {
		case err != nil:
			return err
		case r.Op == protocol.OpTeardown:
			return nil
		case r.Op != protocol.OpRun:
			return fmt.Errorf("request %s came after the first", r.Op)
		}
		if err := f(r.Run); err != nil {
			return err
		}
	}
}

// run runs one file and answers for it. What is to overwrite its mark at once leaves the mark standing.
func (s *session) run(ctx context.Context, task instance, r protocol.Run, overwritten bool) error {
	// A full disk fails the file here, as it would fail user code: no file runs without its mark.
	if err := protocol.WriteMark(s.blame, r.Slot, r.Mark); err != nil {
		return s.reply(func(b []byte) []byte { return protocol.AppendError(b, r.ID, 0, *describe(err)) })
	}
	s.tellOf(protocol.Narration{Op: protocol.OpBegin, Input: r.Input})
	start := time.Now()
	failure := guard(func() error { return task.run(ctx, string(r.Input), string(r.Output)) })
	seconds := time.Since(start).Seconds()
	s.tellOf(protocol.Narration{Op: protocol.OpEnd, Input: r.Input, OK: failure == nil})
	if !overwritten {
		_ = protocol.ClearMark(s.blame, r.Slot) // a mark that stays does no harm: the worker knows of files that were answered
	}
	return s.reply(func(b []byte) []byte {
		if failure != nil {
			return protocol.AppendError(b, r.ID, seconds, *failure)
		}
		return protocol.AppendDone(b, r.ID, seconds)
	})
}

func (s *session) tell(op protocol.Op) { s.tellOf(protocol.Narration{Op: op}) }

func (s *session) tellOf(n protocol.Narration) {
	if s.narrate {
		protocol.Narrate(os.Stderr, n)
	}
}

func (s *session) next() (protocol.Request, error) {
	line, err := s.requests.Next()
	if err != nil {
		return protocol.Request{}, err
	}
	return protocol.DecodeRequest(line)
}

func (s *session) reply(appendTo func([]byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf = appendTo(s.buf[:0])
	_, err := s.replies.Write(s.buf)
	return err
}

// lost ends a conversation that cannot go on, and says why unless the worker simply went.
func (s *session) lost(err error) int {
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) {
		fmt.Fprintln(os.Stderr, "tigerflow handler:", err)
	}
	return 1
}
