package slurmbridge

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// TestSubmission: what sbatch writes to stderr, as slurm_errno.c and sbatch itself spell it, and what is done about it.
func TestSubmission(t *testing.T) {
	const failed = "sbatch: error: Batch job submission failed: "
	for _, c := range []struct{ stderr, verdict string }{
		{failed + "Socket timed out on send/recv operation", "doubt"},
		{failed + "Zero Bytes were transmitted or received", "doubt"},
		{failed + "Unexpected message received", "doubt"},
		{failed + "Message receive failure", "doubt"},
		{"", "doubt"},

		{failed + "Unable to contact slurm controller (connect failure)", ReasonBusy},
		{failed + "Slurm temporarily unable to accept job, sleeping and retrying", ReasonBusy},
		{failed + "Required partition not available (inactive or drain)", ReasonBusy},
		{failed + "Requested partition configuration not available now", ReasonBusy},
		{"sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", ReasonLimit},
		{"sbatch: error: AssocMaxSubmitJobLimit\n" + failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", ReasonLimit},
		{failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", ReasonLimit},

		{"sbatch: error: QOSMaxWallDurationPerJobLimit\n" + failed + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", ReasonRefused},
		{"sbatch: error: invalid partition specified: nowhere\n" + failed + "Invalid partition name specified", ReasonRefused},
		{failed + "Invalid account or account/partition combination specified", ReasonRefused},
		{failed + "Invalid qos specification", ReasonRefused},
		{"sbatch: error: --uid only permitted by root user", ReasonRefused},
		{failed + "Requested node configuration is not available", ReasonRefused},
		{failed + "Memory specification can not be satisfied", ReasonRefused},
		{failed + "Requested time limit is invalid (missing or exceeds some limit)", ReasonRefused},
		{failed + "Invalid generic resource (gres) specification", ReasonRefused},
		{failed + "User's group not permitted to use this partition", ReasonRefused},
		{"sbatch: unrecognized option '--nonsense=1'\nTry \"sbatch --help\" for more information", ReasonRefused},
		{"sbatch: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.", ReasonRefused},
		{failed + "Job dependency problem", ReasonRefused},
		{"sbatch: error: slurm_allocate_resources error opening file /none, No such file or directory", ReasonRefused},
		{"sbatch: error: Incompatible begin and deadline time specification", ReasonRefused},
		{"sbatch: error: Bad rlimit name: xx\nsbatch: error: --propagate=xx is not valid.", ReasonRefused},
		{"sbatch: error: unrecognized --hint argument \"foo\", see --hint=help", ReasonRefused},
		{"sbatch: error: Failed to validate job spec. --gpus-per-task or --tres-per-task used without either --gpus or -n/--ntasks is not allowed.", ReasonRefused},
		{"sbatch: error: \"many\" is not a valid node count", ReasonRefused},

		{failed + "I/O error writing script/environment to file", ""}, // it will pass
	} {
		err := &toolError{tool: "sbatch", said: messages("sbatch", c.stderr), err: &exec.ExitError{}}
		got := ""
		if inDoubt(err) {
			got = "doubt"
		} else if sub := submission(err, time.Now()); sub != nil {
			if stalled, ok := executor.Stalled(sub); ok {
				got = stalled.Reason
			} else if waiting, ok := executor.Waiting(sub); ok {
				got = waiting.Reason
			}
		}
		if got != c.verdict {
			t.Errorf("%q: %q, want %q", c.stderr, got, c.verdict)
		}
	}
}

func TestSubmissionMessage(t *testing.T) {
	err := &toolError{tool: "sbatch", err: errors.New("exit status 1"), said: messages("sbatch",
		"sbatch: error: invalid partition specified: nowhere\nsbatch: error: Batch job submission failed: Invalid partition name specified\n")}
	want := "sbatch refuses the job: invalid partition specified: nowhere: Invalid partition name specified"
	if got := submission(err, time.Now()); got.Error() != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !inDoubt(context.Canceled) || !inDoubt(&toolError{tool: "sbatch", timedOut: true, said: []string{"anything"}}) {
		t.Error("an sbatch that was ended may have been heard")
	}
}

func TestJobName(t *testing.T) {
	for _, c := range []struct {
		task, want string
	}{
		{"transcribe", "transcribe.tf-3f9a1c.0.r2"},
		{"Übersicht der Videos/1", "_bersicht_der_Videos_1.tf-3f9a1c.0.r2"},
		{"", ".tf-3f9a1c.0.r2"},
		{"a-very-long-name-that-goes-on-and-on-and-on-and-on-and-on-and-on", "a-very-long-name-that-goes-on-and-on-and-on-and-o.tf-3f9a1c.0.r2"},
	} {
		name := jobName(c.task, "3f9a1c", 0, 2)
		if name != c.want || len(name) > maxName {
			t.Errorf("%q: %q, want %q", c.task, name, c.want)
		}
		id, ok := workerOf(name, 7)
		if want := (executor.WorkerID{Key: "3f9a1c", Index: 7, Restart: 2}); !ok || id != want {
			t.Errorf("%q: worker %v, %v", name, id, ok)
		}
	}
	if id, ok := workerOf(jobName("t", "k", 64, 1), 3); !ok || id.Index != 67 {
		t.Errorf("element 3 above 64: %v, %v", id, ok)
	}
	for _, name := range []string{"", "transcribe", "x.tf-k.0", "x.tf-k.0.r0", "x.tf-K.0.r1", "x.tf-k.-1.r1", "x.tf-k.0.r1 ", "x.tf-.0.r1", "x.tf-k.999999.r1"} {
		if id, ok := workerOf(name, 1); ok {
			t.Errorf("%q is taken for worker %v", name, id)
		}
	}
}
