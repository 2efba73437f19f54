package fleet

import (
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
	// stallRetry is the shortest pause before it is tried whether what stalled the Task was mended.
	stallRetry = 30 * time.Second
)

// ladder makes the pauses between workers that end badly longer and longer.
type ladder struct {
	bad     int
	until   time.Time
	settled int64       // files done or failed
	last    *spool.Exit // the last bad end
	stall   *Stall
}

// learn takes the lessons of the workers that have ended since the last Step.
func (f *Fleet) learn(now time.Time, snap *dispatcher.Snapshot, mine map[string]executor.Worker) error {
	if !snap.Recovering {
		f.ladder.progress(snap.Done + snap.Failed)
	}
	live := map[string]bool{}
	for _, w := range snap.Workers {
		live[w.ID] = true
	}
	for id, w := range mine {
		if !w.Phase.Terminal() || live[id] || f.told[id] {
			continue
		}
		born, err := f.spool.ReadBorn(id)
		unborn := errors.Is(err, fs.ErrNotExist)
		if err != nil && !unborn {
			return fmt.Errorf("reading who worker %s was: %w", id, err)
		}
		if !unborn && !f.spool.IsFenced(id) {
			continue // the dispatcher has yet to recover from it
		}
		exit, err := f.lastWord(id)
		if err != nil {
			return err
		}
		f.told[id] = true
		if unborn || born.Revision == f.spool.Spec().Revision { // else it says nothing of the present Task
			f.ladder.climb(now, w, exit)
		}
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

// progress takes in how many files are done or failed. When there are more, all is well again.
func (l *ladder) progress(settled int64) {
	if settled > l.settled {
		*l = ladder{}
	}
	l.settled = settled
}

// climb notes one end.
func (l *ladder) climb(now time.Time, w executor.Worker, exit *spool.Exit) {
	if exit == nil {
		if !w.Phase.Blames() {
			return // stopped, lost, preempted: nobody's fault
		}
		exit = &spool.Exit{Reason: spool.ExitError, Failure: &spool.Failure{Type: "WorkerDied", Message: describe(w)}}
	}
	pause := min(ladderFirst<<min(l.bad, 20), ladderLast)
	switch exit.Reason {
	case spool.ExitInvalid, spool.ExitInvalidParams, spool.ExitNotFound:
		l.stall = stallOf(exit)
	case spool.ExitSetupFailed, spool.ExitHandlerFailed, spool.ExitError, spool.ExitNoHeartbeat:
		l.last = exit
		if exit.Reason == spool.ExitSetupFailed && l.bad+1 >= setupLimit {
			l.stall = stallOf(exit)
		}
	default:
		return
	}
	l.bad++
	if l.stall != nil {
		pause = max(pause, stallRetry)
	}
	l.until = now.Add(pause)
}

func stallOf(exit *spool.Exit) *Stall {
	s := &Stall{Reason: exit.Reason}
	if exit.Failure != nil {
		s.Failure = *exit.Failure
	}
	return s
}
