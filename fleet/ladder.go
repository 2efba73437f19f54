package fleet

import (
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
)

// ladder makes the pauses between workers that end badly longer and longer.
type ladder struct {
	bad     int
	until   time.Time
	settled int64       // files done or failed when it last went up
	last    *spool.Exit // the last bad end
	stall   *Stall
}

// learn takes the lessons of the workers that have ended since the last Step.
func (f *Fleet) learn(now time.Time, snap *dispatcher.Snapshot, mine map[string]executor.Worker) {
	if settled := snap.Done + snap.Failed; settled > f.ladder.settled && !snap.Recovering {
		f.ladder.settled, f.ladder.bad, f.ladder.last, f.ladder.until = settled, 0, nil, time.Time{}
	}
	ended := map[string]*spool.Exit{}
	for _, e := range snap.Ended {
		ended[e.ID] = e.Exit
	}
	live := map[string]bool{}
	for _, w := range snap.Workers {
		live[w.ID] = true
	}
	for id, w := range mine {
		if !w.Phase.Terminal() || live[id] || f.told[id] {
			continue
		}
		exit, recovered := ended[id]
		if _, err := f.spool.ReadBorn(id); err == nil && !recovered {
			continue // the dispatcher has yet to see it
		}
		f.told[id] = true
		f.ladder.climb(now, w, exit)
	}
}

// climb notes one end.
func (l *ladder) climb(now time.Time, w executor.Worker, exit *spool.Exit) {
	if exit == nil {
		if !w.Phase.Blames() {
			return // stopped, lost, preempted: nobody's fault
		}
		exit = &spool.Exit{Reason: spool.ExitError, Failure: &spool.Failure{Type: "WorkerDied", Message: describe(w)}}
	}
	switch exit.Reason {
	case spool.ExitInvalid, spool.ExitInvalidParams, spool.ExitNotFound:
		l.stall = stallOf(exit)
	case spool.ExitSetupFailed, spool.ExitHandlerFailed, spool.ExitError, spool.ExitNoHeartbeat:
		l.bad++
		l.last = exit
		l.until = now.Add(min(ladderFirst<<min(l.bad-1, 20), ladderLast))
		if exit.Reason == spool.ExitSetupFailed && l.bad >= setupLimit {
			l.stall = stallOf(exit)
		}
	}
}

func stallOf(exit *spool.Exit) *Stall {
	s := &Stall{Reason: exit.Reason}
	if exit.Failure != nil {
		s.Failure = *exit.Failure
	}
	return s
}
