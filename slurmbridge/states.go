package slurmbridge

import (
	"strings"

	"tigerflow.dev/tigerflow/executor"
)

// state says what a state of a job means for the worker in it. A job can be in several at once, RUNNING+COMPLETING, say:
// the one of the highest rank counts.
type state struct {
	phase executor.Phase
	rank  int
}

// Ranks of states: those that jobs stand in, those that jobs end in, and what Slurm does with a job on top of either.
const (
	rankBase = iota
	rankEnd
	rankFlag
)

// states is the one table of job states: JOB STATE CODES of squeue(1), and job_state_codes.html for those that only other
// commands show, of Slurm 22.05 to 26.05. What is not in it is Unknown, never an end.
var states = map[string]state{
	"PENDING":   {executor.Pending, rankBase},
	"RUNNING":   {executor.Running, rankBase},
	"RESIZING":  {executor.Running, rankBase},
	"SIGNALING": {executor.Running, rankBase},
	"SUSPENDED": {executor.Suspended, rankBase},

	"COMPLETED":     {executor.Succeeded, rankEnd},
	"FAILED":        {executor.Failed, rankEnd},
	"OUT_OF_MEMORY": {executor.OutOfMemory, rankEnd},
	"TIMEOUT":       {executor.Expired, rankEnd},
	"DEADLINE":      {executor.Expired, rankEnd},
	"PREEMPTED":     {executor.Lost, rankEnd},
	"NODE_FAIL":     {executor.Lost, rankEnd},
	"BOOT_FAIL":     {executor.Lost, rankEnd},
	"CANCELLED":     {executor.Canceled, rankEnd},

	"CONFIGURING":   {executor.Starting, rankFlag},
	"POWER_UP_NODE": {executor.Starting, rankFlag},
	"STOPPED":       {executor.Suspended, rankFlag},
	"COMPLETING":    {executor.Terminating, rankFlag},
	"STAGE_OUT":     {executor.Terminating, rankFlag},
	"REQUEUED":      {executor.Pending, rankFlag},
	"REQUEUE_FED":   {executor.Pending, rankFlag},
	"REQUEUE_HOLD":  {executor.Held, rankFlag},
	"SPECIAL_EXIT":  {executor.Held, rankFlag},
	"RESV_DEL_HOLD": {executor.Held, rankFlag},
	"REVOKED":       {executor.Unknown, rankFlag}, // by a federation; its sibling elsewhere is nothing we follow
}

// phaseOf says where the worker in a job stands, and why in Slurm's own words: "PENDING (Resources)".
func phaseOf(j job) (executor.Phase, string) {
	reason := j.state
	if j.reason != "" {
		reason += " (" + j.reason + ")"
	}
	phase := phaseOfState(j.state)
	if phase == executor.Pending && held(j) {
		phase = executor.Held
	}
	return phase, reason
}

// phaseOfState reads all spellings of states: "CANCELLED by 1234" and "CANCELLED+" of sacct, whose columns are cut, and sets
// like RUNNING+COMPLETING. One token that is not known makes the whole Unknown.
func phaseOfState(text string) executor.Phase {
	text, _, _ = strings.Cut(text, " ")
	text, cut := strings.CutSuffix(text, "+")
	tokens := strings.Split(text, "+")
	found := state{rank: -1}
	for i, token := range tokens {
		s, known := states[token]
		if !known && cut && i == len(tokens)-1 {
			s, known = startingWith(token)
		}
		if !known {
			return executor.Unknown
		}
		if s.rank > found.rank {
			found = s
		}
	}
	return found.phase
}

// startingWith finds the only state that a cut token can be.
func startingWith(token string) (found state, known bool) {
	for name, s := range states {
		if strings.HasPrefix(name, token) {
			if known {
				return state{}, false
			}
			found, known = s, true
		}
	}
	return found, known
}

// held reports whether a pending job waits for a person: JobHeldUser, JobHeldAdmin (JOB REASON CODES of squeue(1)), "launch
// failed requeued held", "job requeued in held state" and the like, or a priority of 0, at which Slurm never starts a job.
func held(j job) bool {
	return j.priority == 0 || strings.HasPrefix(j.reason, "JobHeld") ||
		strings.Contains(j.reason, "requeued") && strings.Contains(j.reason, "held")
}
