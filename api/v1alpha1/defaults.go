package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Defaults of the spec. Those that the schema can express are in it too, so that kubectl shows them; the accessors below
// also hold for a spec that no API server has seen.
const (
	DefaultBridge            = "default"
	DefaultInterpreter       = "python3"
	DefaultCPUs              = 1
	DefaultMaxWorkers        = 1
	DefaultProcesses         = 1
	DefaultPendingArrays     = 1
	DefaultWorkerIdleTimeout = 2 * time.Minute
	DefaultDrainTarget       = 10 * time.Minute
	DefaultAttempts          = 1
	DefaultBackoff           = 30 * time.Second
	DefaultCrashLimit        = 3
	DefaultBreakerFirst      = 20
	DefaultBreakerInARow     = 100
	DefaultDrainTimeout      = 60 * time.Second
)

// DisplayName is spec.taskName, or the name of the object.
func (t *Task) DisplayName() string {
	return orDefault(t.Spec.TaskName, t.Name)
}

// FilesInHand is the most files that one worker has in hand at once.
func (s *TaskSpec) FilesInHand() int32 {
	if s.LocalAsync == nil {
		return 1
	}
	return s.LocalAsync.Concurrency
}

// HandlerProcesses is how many handler processes one worker runs.
func (s *TaskSpec) HandlerProcesses() int32 {
	return orDefault(s.Processes, DefaultProcesses)
}

// WorkersWithinLimit is the most workers that the rate limit leaves work for: MaxWorkers without one.
func (s *TaskSpec) WorkersWithinLimit() int32 {
	if s.RateLimit == nil {
		return s.MaxWorkers()
	}
	return min(s.MaxWorkers(), max(1, s.RateLimit.Requests))
}

// IsSuspended tells whether the author suspended the Task.
func (s *TaskSpec) IsSuspended() bool {
	return s.Suspend != nil && *s.Suspend
}

// FileTimeout is the time that one attempt at one file may take; 0 is no limit.
func (s *TaskSpec) FileTimeout() time.Duration {
	return durationOr(s.Timeout, 0)
}

// DrainGrace is how long a worker that must end may go on with the files it has in hand.
func (s *TaskSpec) DrainGrace() time.Duration {
	return durationOr(s.DrainTimeout, DefaultDrainTimeout)
}

// IdleBeforeComplete is how long the Task stays open without work; false means for ever.
func (s *TaskSpec) IdleBeforeComplete() (time.Duration, bool) {
	return durationOr(s.CompleteAfterIdle, 0), s.CompleteAfterIdle != nil
}

// SyncsOutputs tells whether an output counts as done only once it is on stable storage.
func (s *TaskSpec) SyncsOutputs() bool {
	return s.Durability != DurabilityNone
}

// MinWorkers is the number of workers that are kept when there is nothing to do.
func (s *TaskSpec) MinWorkers() int32 {
	if s.Scaling == nil || s.Scaling.MinWorkers == nil {
		return 0
	}
	return *s.Scaling.MinWorkers
}

// MaxWorkers is the most workers at once.
func (s *TaskSpec) MaxWorkers() int32 {
	if s.Scaling == nil {
		return DefaultMaxWorkers
	}
	return orDefault(s.Scaling.MaxWorkers, DefaultMaxWorkers)
}

// MaxPending is the most workers that wait to start at once; of a Slurm Task, the most job arrays.
func (s *TaskSpec) MaxPending() int32 {
	most := s.MaxWorkers()
	if s.Type == TaskSlurm {
		most = DefaultPendingArrays
	}
	if s.Scaling == nil {
		return most
	}
	return orDefault(s.Scaling.MaxPending, most)
}

// WorkerIdleTimeout is how long a worker beyond MinWorkers waits for work before it ends.
func (s *TaskSpec) WorkerIdleTimeout() time.Duration {
	if s.Scaling == nil {
		return DefaultWorkerIdleTimeout
	}
	return durationOr(s.Scaling.WorkerIdleTimeout, DefaultWorkerIdleTimeout)
}

// DrainTarget is the time in which the files that wait should be done.
func (s *TaskSpec) DrainTarget() time.Duration {
	if s.Scaling == nil {
		return DefaultDrainTarget
	}
	return durationOr(s.Scaling.DrainTarget, DefaultDrainTarget)
}

// Attempts is how often the handler is run on a file in all before the file counts as failed.
func (s *TaskSpec) Attempts() int32 {
	if s.Retry == nil {
		return DefaultAttempts
	}
	return orDefault(s.Retry.Attempts, DefaultAttempts)
}

// Backoff is the least time between two attempts at a file.
func (s *TaskSpec) Backoff() time.Duration {
	if s.Retry == nil {
		return DefaultBackoff
	}
	return durationOr(s.Retry.Backoff, DefaultBackoff)
}

// CrashLimit is how often a handler may crash on a file before the file counts as failed.
func (s *TaskSpec) CrashLimit() int32 {
	if s.Retry == nil {
		return DefaultCrashLimit
	}
	return orDefault(s.Retry.CrashLimit, DefaultCrashLimit)
}

// BreakerFirst is how many of the first files may fail alike before the Task pauses; 0 is any number.
func (s *TaskSpec) BreakerFirst() int32 {
	if s.FailureBreaker == nil || s.FailureBreaker.First == nil {
		return DefaultBreakerFirst
	}
	return *s.FailureBreaker.First
}

// BreakerInARow is how many files in a row may fail alike before the Task pauses; 0 is any number.
func (s *TaskSpec) BreakerInARow() int32 {
	if s.FailureBreaker == nil || s.FailureBreaker.InARow == nil {
		return DefaultBreakerInARow
	}
	return *s.FailureBreaker.InARow
}

// CPUs is the number of CPUs of one worker.
func (s *TaskSpec) CPUs() int32 {
	if s.Resources == nil {
		return DefaultCPUs
	}
	return orDefault(s.Resources.CPUs, DefaultCPUs)
}

// GPUs is the number of GPUs of one worker.
func (s *TaskSpec) GPUs() int32 {
	if s.Resources == nil || s.Resources.GPUs == nil {
		return 0
	}
	return *s.Resources.GPUs
}

// MemoryBytes is the memory of one worker in bytes; 0 is what the machine or the partition gives.
func (s *TaskSpec) MemoryBytes() int64 {
	if s.Resources == nil || s.Resources.Memory == nil {
		return 0
	}
	return s.Resources.Memory.Value()
}

// BridgeName is the Slurm bridge that submits the jobs of the Task; empty for a Task that is not of type Slurm.
func (s *TaskSpec) BridgeName() string {
	if s.Slurm == nil {
		return ""
	}
	return orDefault(s.Slurm.Bridge, DefaultBridge)
}

// IsSuspended tells whether the author suspended the Pipeline.
func (s *PipelineSpec) IsSuspended() bool {
	return s.Suspend != nil && *s.Suspend
}

// IdleBeforeComplete is how long the Pipeline stays open without work; false means for ever.
func (s *PipelineSpec) IdleBeforeComplete() (time.Duration, bool) {
	return durationOr(s.CompleteAfterIdle, 0), s.CompleteAfterIdle != nil
}

// DeletesInputs tells whether inputs are removed once every task that reads them is done with them.
func (s *PipelineSpec) DeletesInputs() bool {
	return s.InputPolicy == RetentionDelete
}

// DeletesOutputs tells whether outputs are removed once every task that depends on them is done with them.
func (t *PipelineTask) DeletesOutputs() bool {
	return t.OutputPolicy == RetentionDelete
}

// SortKey is what files are ordered by.
func (s *SortBy) SortKey() SortKey {
	return orDefault(s.Key, SortByName)
}

// IsReverse tells whether the order is the other way round.
func (s *SortBy) IsReverse() bool {
	return s.Reverse != nil && *s.Reverse
}

// PythonInterpreter is the Python to run the module with, by path or by name on the PATH.
func (p *PythonHandler) PythonInterpreter() string {
	return orDefault(p.Interpreter, DefaultInterpreter)
}

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func durationOr(d *metav1.Duration, fallback time.Duration) time.Duration {
	if d == nil {
		return fallback
	}
	return d.Duration
}
