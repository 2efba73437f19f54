// Package worker is the engine of a worker: it takes batches out of a Task's spool, has the author's code run over their
// files by a handler process, publishes the outputs, and keeps the journal. It knows the spool and nothing of who
// started it or of any control plane.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

// Config says for which slot of which spool this process works.
type Config struct {
	Spool       string
	ID          string
	Job         string        // what a scheduler calls it; may be empty
	Node        string        // and where it runs
	Contained   bool          // it runs in a container that has only what was bound
	IdleTimeout time.Duration // without work for so long it leaves; 0 is never
	Deadline    time.Time     // when its time is up, which it is to leave before; zero is never
	// Become gives this process the folder and the environment of user code, for a built-in task; nil leaves it as it is.
	Become func(dir string, env []string) error
	Strays func() error // ends what user code has left outside its handler's group; nil if the parent does
	// Narrate gets what user code prints, and in order with it narration of what happens; nil leaves the prints to the log.
	Narrate    io.Writer
	ParentGone <-chan struct{} // closed when the process that started it has ended; nil if nobody watches
	Log        *slog.Logger

	timing   timing
	wallTime time.Duration // from the start to the deadline
}

// timing is how patient a worker is.
type timing struct {
	beat    time.Duration // how often it shows that it lives
	hold    time.Duration // how long a file may be in hand before those that wait behind it are given back
	restart time.Duration // wait after a handler died for nothing; doubled each time
	probe   time.Duration // first wait for a storage that fails; doubled each time
	// sync is the longest that records stay unsynced whatever the Task's durability. Only a sync tells of data that the
	// storage refused behind a write that succeeded: the hole that it leaves hides all later records.
	sync time.Duration
	// silence is how long a worker of a Local Task may fail to show that it lives before it stops working by its own
	// decision: after that a successor may be started, and a Local Task never has two.
	silence time.Duration
	grace   time.Duration // how long a built-in task may take to obey
	doubt   time.Duration // how long a failure may be due to a signal that this worker has yet to see
}

var usual = timing{
	beat: 5 * time.Second, hold: 10 * time.Second, restart: time.Second, probe: time.Second, sync: 5 * time.Second, silence: 30 * time.Second,
	grace: 5 * time.Second, doubt: 500 * time.Millisecond,
}

// exitStuck is the end of a worker whose built-in task does not end. It stands in no record: that would say that nothing
// of the worker runs any more.
const exitStuck spool.ExitReason = "Stuck"

// ErrStuck means that a built-in task did not end when it was told to: what it does only the end of this process ends.
var ErrStuck = errors.New("the built-in task does not end when it is told to")

// ErrTaken means that another process was born for the same slot: this one has touched nothing.
var ErrTaken = errors.New("the slot is taken")

// Run works until there is a reason to leave, which stands in the worker's exit record and is returned. The end of taking
// makes it finish what is in hand and leave; the end of working makes it leave at once.
func Run(working, taking context.Context, c Config) (spool.ExitReason, error) {
	if c.timing == (timing{}) {
		c.timing = usual
	}
	s, err := spool.Open(c.Spool)
	if err != nil {
		return spool.ExitError, err
	}
	w, born, err := s.Bear(c.ID, spool.Born{Revision: s.Spec().Revision, Job: c.Job, Node: c.Node, Time: time.Now().UTC()})
	if err != nil {
		return spool.ExitError, fmt.Errorf("making the worker's folder: %w", err)
	}
	if !born {
		return "", ErrTaken
	}
	failpoint.Reach(failpoint.WorkerBorn)
	out := c.Narrate
	if out == nil {
		log, err := openPrintLog(s.LogPath(c.ID), printLimit)
		if err != nil {
			return spool.ExitError, errors.Join(err, w.Exit(spool.ExitError, &spool.Failure{Type: "Error", Message: err.Error()}))
		}
		defer log.Close()
		out = log
	}
	if !c.Deadline.IsZero() {
		c.wallTime = time.Until(c.Deadline)
	}
	end := newEngine(c, s, w, out).run(working, taking)
	if end.reason == exitStuck {
		return exitStuck, errors.Join(ErrStuck, w.Journal.Sync())
	}
	if end.reason != spool.ExitFenced { // a fenced worker's tmp is gone already
		err = w.Sweep()
	}
	failpoint.Reach(failpoint.WorkerSwept)
	if c.Strays != nil && end.reason == spool.ExitParentGone { // before the record that lets a successor start
		err = errors.Join(err, c.Strays())
	}
	return end.reason, errors.Join(err, w.Exit(end.reason, end.failure))
}

// ending is why an engine came to its end. As the cause of a context's end it stops everything at once.
type ending struct {
	reason  spool.ExitReason
	failure *spool.Failure
}

func (e *ending) Error() string { return "the worker ends: " + string(e.reason) }

// causeOf is the ending that a context's end asks for.
func causeOf(working context.Context) *ending {
	if end, ok := errors.AsType[*ending](context.Cause(working)); ok {
		return end
	}
	return &ending{reason: spool.ExitStopped}
}
