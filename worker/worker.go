// Package worker is the engine of a worker: it takes batches out of a Task's spool, has the author's code run over their
// files by a handler process, publishes the outputs, and keeps the journal. It knows the spool and nothing of who
// started it or of any control plane.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
)

const (
	beatPeriod = 5 * time.Second
	// noBeatLimit is how long a worker of a Local Task may fail to show that it lives before it stops working by its
	// own decision: after that a successor may be started, and a Local Task never has two.
	noBeatLimit = 30 * time.Second
)

// Config says for which slot of which spool this process works.
type Config struct {
	Spool       string
	ID          string
	IdleTimeout time.Duration   // without work for so long it leaves; 0 is never
	Self        string          // the worker binary, which also runs the built-in tasks
	ParentGone  <-chan struct{} // closed when the process that started it has ended; nil if nobody watches
	Log         *slog.Logger
}

// ErrTaken means that another process was born for the same slot: this one has touched nothing.
var ErrTaken = errors.New("the slot is taken")

// Run works until there is a reason to leave, which stands in the worker's exit record and is returned. The end of taking
// makes it finish what is in hand and leave; the end of working makes it leave at once.
func Run(working, taking context.Context, c Config) (spool.ExitReason, error) {
	s, err := spool.Open(c.Spool)
	if err != nil {
		return spool.ExitError, err
	}
	spec := s.Spec()
	w, born, err := s.Bear(c.ID, spool.Born{Revision: spec.Revision, Time: time.Now().UTC()})
	if err != nil {
		return spool.ExitError, fmt.Errorf("making the worker's folder: %w", err)
	}
	if !born {
		return "", ErrTaken
	}
	out, err := os.OpenFile(s.LogPath(c.ID), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return spool.ExitError, errors.Join(err, w.Exit(spool.ExitError, &spool.Failure{Type: "Error", Message: err.Error()}))
	}
	defer out.Close()

	e := newEngine(c, s, w, out)
	end := e.run(working, taking)
	if end.reason != spool.ExitFenced { // a fenced worker's tmp is gone already
		err = w.Sweep(func(string) bool { return false })
	}
	return end.reason, errors.Join(err, w.Exit(end.reason, end.failure))
}

// ending is why an engine came to its end.
type ending struct {
	reason  spool.ExitReason
	failure *spool.Failure
}

func newEngine(c Config, s *spool.Spool, w *spool.Worker, out *os.File) *engine {
	spec := s.Spec()
	e := &engine{
		cfg: c, spool: s, spec: spec, w: w, out: out,
		width: max(1, spec.Concurrency),
		log:   c.Log, flying: map[uint64]*file{},
		wake:   wake.New(),
		lastOf: time.Now(),
	}
	for slot := e.width; slot >= 0; slot-- { // one more than run at once: the file that is sent ahead has one too
		e.slots = append(e.slots, slot)
	}
	e.rec = newRecorder(w, spec, c.Log)
	return e
}
