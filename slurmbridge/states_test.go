package slurmbridge

import (
	"testing"

	"tigerflow.dev/tigerflow/executor"
)

func TestPhaseOf(t *testing.T) {
	for _, tt := range []struct {
		state, reason string
		priority      int64
		want          executor.Phase
		says          string
	}{
		{"PENDING", "Resources", 1, executor.Pending, "PENDING (Resources)"},
		{"PENDING", "QOSMaxJobsPerUserLimit", 4294901758, executor.Pending, "PENDING (QOSMaxJobsPerUserLimit)"},
		{"PENDING", "", 1, executor.Pending, "PENDING"},
		{"PENDING", "BeginTime", 0, executor.Held, "PENDING (BeginTime)"},
		{"PENDING", "JobHeldUser", 0, executor.Held, "PENDING (JobHeldUser)"},
		{"PENDING", "JobHeldAdmin", 5, executor.Held, "PENDING (JobHeldAdmin)"},
		{"PENDING", "launch failed requeued held", 5, executor.Held, "PENDING (launch failed requeued held)"},
		{"PENDING", "user env retrieval failed requeued held", 5, executor.Held, "PENDING (user env retrieval failed requeued held)"},
		{"PENDING", "launch_failed_requeued_held", 5, executor.Held, "PENDING (launch_failed_requeued_held)"},
		{"PENDING", "job requeued in held state", 5, executor.Held, "PENDING (job requeued in held state)"},
		{"REQUEUED", "", 1, executor.Pending, "REQUEUED"},
		{"REQUEUE_FED", "", 1, executor.Pending, "REQUEUE_FED"},
		{"CONFIGURING", "", 1, executor.Starting, "CONFIGURING"},
		{"RUNNING", "", 1, executor.Running, "RUNNING"},
		{"RUNNING", "", 0, executor.Running, "RUNNING"},
		{"RESIZING", "", 1, executor.Running, "RESIZING"},
		{"SIGNALING", "", 1, executor.Running, "SIGNALING"},
		{"SUSPENDED", "", 0, executor.Suspended, "SUSPENDED"},
		{"STOPPED", "", 1, executor.Suspended, "STOPPED"},
		{"COMPLETING", "", 1, executor.Terminating, "COMPLETING"},
		{"STAGE_OUT", "", 1, executor.Terminating, "STAGE_OUT"},
		{"COMPLETED", "", 1, executor.Succeeded, "COMPLETED"},
		{"FAILED", "NonZeroExitCode", 1, executor.Failed, "FAILED (NonZeroExitCode)"},
		{"OUT_OF_MEMORY", "OutOfMemory", 1, executor.OutOfMemory, "OUT_OF_MEMORY (OutOfMemory)"},
		{"TIMEOUT", "TimeLimit", 1, executor.Expired, "TIMEOUT (TimeLimit)"},
		{"DEADLINE", "DeadLine", 1, executor.Expired, "DEADLINE (DeadLine)"},
		{"PREEMPTED", "", 1, executor.Lost, "PREEMPTED"},
		{"NODE_FAIL", "NodeDown", 1, executor.Lost, "NODE_FAIL (NodeDown)"},
		{"BOOT_FAIL", "", 1, executor.Lost, "BOOT_FAIL"},
		{"CANCELLED", "", 0, executor.Canceled, "CANCELLED"},
		{"CANCELLED by 1234", "", -1, executor.Canceled, "CANCELLED by 1234"},
		{"REQUEUE_HOLD", "", 0, executor.Held, "REQUEUE_HOLD"},
		{"SPECIAL_EXIT", "", 0, executor.Held, "SPECIAL_EXIT"},
		{"RESV_DEL_HOLD", "", 0, executor.Held, "RESV_DEL_HOLD"},
		{"REVOKED", "", 1, executor.Unknown, "REVOKED"},

		{"CANCELLED+", "", -1, executor.Canceled, "CANCELLED+"},
		{"OUT_OF_ME+", "", -1, executor.OutOfMemory, "OUT_OF_ME+"},
		{"REQUEUE_H+", "", -1, executor.Held, "REQUEUE_H+"},
		{"COMPLET+", "", -1, executor.Unknown, "COMPLET+"}, // COMPLETED or COMPLETING
		{"CANCEL", "", -1, executor.Unknown, "CANCEL"},     // nothing says that it is cut
		{"+", "", -1, executor.Unknown, "+"},
		{"", "", -1, executor.Unknown, ""},

		{"RUNNING+COMPLETING", "", 1, executor.Terminating, "RUNNING+COMPLETING"},
		{"COMPLETING+FAILED", "", 1, executor.Terminating, "COMPLETING+FAILED"},
		{"FAILED+REQUEUED", "", 1, executor.Pending, "FAILED+REQUEUED"},
		{"PENDING+REQUEUE_HOLD", "", 1, executor.Held, "PENDING+REQUEUE_HOLD"},
		{"RUNNING+CONFIGURING", "", 1, executor.Starting, "RUNNING+CONFIGURING"},
		{"RUNNING+RESIZING", "", 1, executor.Running, "RUNNING+RESIZING"},
		{"RUNNING+COMPLETI+", "", 1, executor.Terminating, "RUNNING+COMPLETI+"},

		{"VANISHED", "", 1, executor.Unknown, "VANISHED"},
		{"FAILED+VANISHED", "", 1, executor.Unknown, "FAILED+VANISHED"},
		{"completed", "", 1, executor.Unknown, "completed"},
	} {
		phase, says := phaseOf(job{state: tt.state, reason: tt.reason, priority: tt.priority})
		if phase != tt.want || says != tt.says {
			t.Errorf("%s (%s) at priority %d: %s, %q, want %s, %q", tt.state, tt.reason, tt.priority, phase, says, tt.want, tt.says)
		}
	}
}

// FuzzPhaseOf: only what is spelled as one of the table's ends, or is cut in a way that can only be one, ends a worker.
func FuzzPhaseOf(f *testing.F) {
	f.Add("CANCELLED by 0", "None")
	f.Add("RUNNING+COMPLETI+", "x requeued held")
	f.Fuzz(func(t *testing.T, text, reason string) {
		phase, _ := phaseOf(job{state: text, reason: reason, priority: 1})
		if !phase.Terminal() {
			return
		}
		for name, s := range states {
			if s.phase == phase && len(text) > 0 && text[0] == name[0] {
				return
			}
		}
		t.Errorf("%q is %s", text, phase)
	})
}
