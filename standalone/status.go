package standalone

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/flow"
)

// countPeriod is how often it is told how many files were processed.
const countPeriod = 10 * time.Second

const inactive = "INACTIVE"

// status tells of a Slurm task what TigerFlow tells, in its words.
type status struct {
	terminal *terminal
	is       string
	begun    bool            // a worker has run
	jobs     map[string]bool // that were told of
	counted  int64           // files that were told of
	next     time.Time       // when to tell of more
}

func newStatus(t *terminal) *status {
	return &status{terminal: t, is: inactive, jobs: map[string]bool{}}
}

// submitted tells of job arrays that are new.
func (s *status) submitted(key string, all []executor.Worker) {
	fresh := map[string]bool{}
	for _, w := range all {
		job, _, _ := strings.Cut(w.Ref, "_")
		if w.ID.Key == key && job != "" && !s.jobs[job] {
			fresh[job] = true
		}
	}
	for _, job := range slices.Sorted(maps.Keys(fresh)) {
		s.jobs[job] = true
		s.terminal.log(info, "Submitted task with Slurm job ID %s", job)
	}
}

// tell tells what has changed.
func (s *status) tell(now time.Time, st flow.State) {
	s.change(info, s.of(st))
	if !now.Before(s.next) && s.count(st.Snapshot) {
		s.next = now.Add(countPeriod)
	}
}

// of is the status that a state means.
func (s *status) of(st flow.State) string {
	r, live := st.Fleet, len(st.Snapshot.Workers)
	reason := r.Waits.Reason
	if r.Held == r.Pending {
		reason = r.HeldBy.Reason
	}
	if reason == "" {
		reason = "(None)"
	}
	s.begun = s.begun || live > 0 || r.Running > r.Draining
	switch {
	case live > 0:
		return fmt.Sprintf("ACTIVE (%d workers)", live)
	case r.Pending > 0 && r.Running == 0:
		return "PENDING (Reason: " + reason + ")"
	case s.begun:
		return "ACTIVE (0 workers)"
	}
	return s.is // jobs that were canceled before they began are still listed
}

func (s *status) change(l level, to string) {
	if to != s.is {
		s.terminal.log(l, "Status changed: %s -> %s", s.is, to)
		s.is = to
	}
}

// count tells how many files were processed since it was last told, and reports whether there were any.
func (s *status) count(snap *dispatcher.Snapshot) bool {
	done := snap.Done + snap.Failed - snap.Earlier
	if done <= s.counted {
		return false
	}
	s.terminal.log(info, "%d processed files", done-s.counted)
	s.counted = done
	return true
}

// over tells the last there is to tell. A task that is none of Slurm has nothing to tell.
func (s *status) over(snap *dispatcher.Snapshot, err error) {
	if s == nil {
		return
	}
	s.count(snap)
	_, signal := errors.AsType[*SignalError](err)
	_, failed := errors.AsType[*FailedError](err)
	switch {
	case s.is == inactive:
	case signal:
		s.change(failure, inactive+" (Reason: CANCELLED+)")
	case err == nil || failed:
		s.change(info, inactive+" (Reason: COMPLETED)")
	default:
		s.change(failure, inactive+" (Reason: FAILED)")
	}
}
