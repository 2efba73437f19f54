package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

const (
	ladderFirst = time.Second
	ladderLast  = 5 * time.Minute
	// setupLimit is how many setups in a row may fail, with no file done in between, before a person must act.
	setupLimit = 3
	// emptyLimit is how many start-ups in a row may end without one file done or failed.
	emptyLimit = 5
	// stallRetry is the shortest pause before it is tried whether what stalled the Task was mended.
	stallRetry = 30 * time.Second
)

// ladder makes the pauses between workers that end badly longer and longer.
type ladder struct {
	bad     int
	empty   map[int]bool // start-ups of which workers ended by themselves since there was progress
	until   time.Time
	settled int64       // files done or failed
	proved  bool        // some were: the Task can work somewhere
	last    *spool.Exit // the last bad end
	stall   *Stall
	mend    *executor.StalledError // what the executor says of the last bad end
}

// learn takes the lessons of the workers that have ended since the last Step.
func (f *Fleet) learn(ctx context.Context, now time.Time, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	if !snap.Recovering && f.ladder.progress(snap.Done+snap.Failed) {
		f.hold.pause = 0
		f.nodes.progress()
	}
	live := living(snap)
	for id, w := range mine {
		if !w.Phase.Terminal() || live[id] || f.known[id].told {
			continue
		}
		if err := f.learnOf(ctx, now, id, w); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) learnOf(ctx context.Context, now time.Time, id string, w executor.Worker) error {
	born, err := f.spool.ReadBorn(id)
	unborn := errors.Is(err, fs.ErrNotExist)
	if err != nil && !unborn {
		return fmt.Errorf("reading who worker %s was: %w", id, err)
	}
	if !f.spool.IsFenced(id) {
		if !unborn {
			return nil // the dispatcher has yet to recover from it
		}
		if f.isLocal() && !w.Witnessed {
			// Its program may yet begin somewhere: it is to find its slot taken before another worker has the next.
			return f.dispatcher.WorkerEnded(ctx, id, dispatcher.End{Message: describe(w)})
		}
	}
	exit, err := f.lastWord(id)
	if err != nil {
		return err
	}
	f.note(id, func(k *knowledge) { k.told = true })
	if w.Phase == executor.Canceled {
		f.hold.canceled(now, w)
	}
	if unborn || born.Revision == f.spool.Spec().Revision { // else it says nothing of the present Task
		w.Node = cmp.Or(born.Node, w.Node)
		f.ladder.climb(now, w, exit)
		f.nodes.ended(now, w.Node, judge(w, unborn, exit), whyEnded(w, exit))
	}
	return nil
}

// lastWord is a worker's exit record; nil if it left none.
func (f *Fleet) lastWord(id string) (*spool.Exit, error) {
	exit, err := f.spool.ReadExit(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading how worker %s ended: %w", id, err)
	}
	return &exit, nil
}

// progress takes in how many files are done or failed, and reports whether there are more. All is well again then.
func (l *ladder) progress(settled int64) bool {
	more := settled > l.settled
	if more {
		*l = ladder{proved: true}
	}
	l.settled = settled
	return more
}

// climb notes one end.
func (l *ladder) climb(now time.Time, w executor.Worker, exit *spool.Exit) {
	if exit == nil && w.Phase.Blames() {
		exit = &spool.Exit{Reason: spool.ExitError, Failure: &spool.Failure{Type: "WorkerDied", Message: describe(w)}}
	}
	bad := l.blame(exit, w.Node != "" && l.proved)
	if w.Stall != nil {
		l.mend, bad = w.Stall, true
	}
	if !bad && !fruitless(w, exit) {
		return
	}
	if l.empty == nil {
		l.empty = map[int]bool{}
	}
	l.empty[w.ID.Restart] = true // those of one start-up may share one misfortune
	if !bad {
		if len(l.empty) < emptyLimit {
			return
		}
		l.last = &spool.Exit{Reason: spool.ExitError, Failure: emptyFailure(w, exit)}
	}
	pause := min(ladderFirst<<min(max(l.bad, len(l.empty)-1), 20), ladderLast)
	l.bad++
	if l.stall != nil || l.mend != nil {
		pause = max(pause, stallRetry)
	}
	l.until = now.Add(pause)
}

// blame notes an end for which Task or engine is to blame, and reports whether it is one. Ends that are nobody's fault have
// no last word: the worker was lost or preempted. What a worker lacks may be lacking on its node alone if others have worked.
func (l *ladder) blame(exit *spool.Exit, perhapsNode bool) bool {
	if exit == nil {
		return false
	}
	switch exit.Reason {
	case spool.ExitInvalid, spool.ExitInvalidParams, spool.ExitNotFound, spool.ExitNoShell, spool.ExitInputNotVisible:
		l.last = exit
		if !perhapsNode || l.bad+1 >= setupLimit {
			l.last, l.stall = nil, stallOf(exit)
		}
	case spool.ExitSetupFailed, spool.ExitHandlerFailed, spool.ExitError, spool.ExitNoHeartbeat:
		l.last = exit
		if exit.Reason == spool.ExitSetupFailed && l.bad+1 >= setupLimit {
			l.stall = stallOf(exit)
		}
	default:
		return false
	}
	return true
}

// fruitless reports whether a worker ended before its time, though nobody is to blame for it.
func fruitless(w executor.Worker, exit *spool.Exit) bool {
	if exit != nil {
		return exit.Reason == spool.ExitWallTime
	}
	return w.Phase == executor.Lost || w.Phase == executor.Expired
}

func emptyFailure(w executor.Worker, exit *spool.Exit) *spool.Failure {
	why := "the last one: " + describe(w)
	if exit != nil || w.Phase == executor.Expired {
		why = "no file fits into the wall time of a worker"
	}
	return &spool.Failure{
		Type: "NoFileDone", Message: fmt.Sprintf("workers of %d starts in a row ended before a file was done; %s", emptyLimit, why),
	}
}

func stallOf(exit *spool.Exit) *Stall {
	s := &Stall{Reason: exit.Reason}
	if exit.Failure != nil {
		s.Failure = *exit.Failure
	}
	return s
}
