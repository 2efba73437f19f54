package fleet

import (
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
)

const (
	// drainLead and drainShare are how long before its wall time a worker is told of it, at most: the lesser of both.
	drainLead  = 2 * time.Minute
	drainShare = 10
	// aheadShare is the part of the wall time in which, at most, the next worker is waited for.
	aheadShare = 4
)

// leaving reports whether a worker's wall time will be up before another one could take its place, while files wait. It
// takes files for as long as they fit, and is asked nothing.
func (f *Fleet) leaving(now time.Time, need Need, snap *dispatcher.Snapshot, w executor.Worker) bool {
	if need.WallTime == 0 || need.Suspended || snap.Pending <= snap.HeldBack || w.Phase != executor.Running {
		return false
	}
	born := f.birth(w.ID.String())
	return born != nil && born.Time.Add(need.WallTime).Sub(now) < ahead(need.WallTime, f.took)
}

// ahead is how long before a worker's end the next one is to be started, which takes so long to begin as the last did.
func ahead(wallTime, took time.Duration) time.Duration {
	return max(min(drainLead, wallTime/drainShare), min(took, wallTime/aheadShare))
}
