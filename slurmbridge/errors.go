package slurmbridge

import (
	"errors"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// Reasons of StalledErrors and WaitErrors.
const (
	ReasonRefused      = "SubmissionRefused"   // sbatch will never take the job as it is
	ReasonInvalid      = "InvalidWorker"       // the worker cannot be written down as a job
	ReasonNotRunnable  = "WorkerNotRunnable"   // the worker program cannot be put where nodes see it
	ReasonLimit        = "SubmissionLimit"     // a limit of jobs for the user, account or QOS
	ReasonBusy         = "ClusterBusy"         // the cluster takes no more jobs for now
	ReasonInDoubt      = "SubmissionInDoubt"   // it is not known whether the last submission has happened
	limitPause         = 2 * time.Minute       // before a limit is tried again
	inDoubtPause       = 5 * time.Second       // before it is looked again what became of a submission
	accountingNotThere = "storage is disabled" // sacct without a database
)

// lost are parts of messages of commands whose request may have reached slurmctld all the same (slurm_errno: the
// communication errors 1000–1020 but that of connecting).
var lost = []string{
	"timed out", "Zero Bytes", "Message receive failure", "Message send failure", "Communication", "Connection reset",
	"Broken pipe", "Transport endpoint", "Unexpected message", "Header", "Socket",
}

// inDoubt reports whether a failed sbatch may have made a job.
func inDoubt(err error) bool {
	e, ok := errors.AsType[*toolError](err)
	if !ok { // it was ended together with what asked for it
		return true
	}
	return e.timedOut || len(e.said) == 0 || containsAny(e.text(), lost)
}

// busy are parts of messages of a cluster that takes no job from anybody for now.
var busy = []string{
	"temporarily unable to accept job", "Unable to contact slurm controller", "in standby mode", "Slurm backup controller",
	"Requested nodes are busy", "Reservation", "too many",
}

// shut are parts of messages of partitions that an administrator has closed, as for a maintenance.
var shut = []string{"Required partition not available", "partition configuration not available now"}

// refused are parts of messages of sbatch that repeat for as long as the Task is as it is (slurm_errno, sbatch's own
// options, and the names of limits that one job breaks by itself where a QOS has DenyOnLimit).
var refused = []string{
	"Invalid", "invalid", "not valid", "not a valid", "unrecognized", "ambiguous", "mutually exclusive", "Incompatible", "Failed to validate",
	"dependency problem", "error opening file", "is less than", "not available", "not permitted", "only permitted", "ermission denied", "can not be satisfied", "cannot be satisfied",
	"exceeds", "More processors requested", "not supported", "requires an argument", "doesn't allow",
	"MaxWallDurationPerJob", "MaxCpuPerJob", "MaxCPUPerJob", "MaxNodePerJob", "MaxMemPerJob", "MaxGRESPerJob", "MaxTRESPerJob", "PerJobLimit",
	"MaxCpuMinutesPerJob", "QOSMin", "AssocMin",
}

// submission turns a clear answer of sbatch into what is to be done about it.
func submission(err error, now time.Time) error {
	e, ok := errors.AsType[*toolError](err)
	if !ok {
		return err
	}
	text := strings.Replace(e.text(), "Batch job submission failed: ", "", 1)
	wait := &executor.WaitError{Message: "sbatch waits: " + text, Until: now.Add(limitPause), Err: err}
	switch {
	case strings.Contains(text, "MaxSubmit"), strings.Contains(text, "MaxJobs"):
		wait.Reason = ReasonLimit
		return wait
	case containsAny(text, shut):
		wait.Reason = ReasonBusy
		return wait
	case containsAny(text, refused):
		return &executor.StalledError{Reason: ReasonRefused, Message: "sbatch refuses the job: " + text, Err: err}
	case strings.Contains(text, "policy"):
		wait.Reason = ReasonLimit
		return wait
	case containsAny(text, busy):
		wait.Reason, wait.Until = ReasonBusy, now.Add(limitPause/4)
		return wait
	}
	return err
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
