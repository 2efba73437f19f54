package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Scaling bounds the number of workers, which otherwise follows from what waits and how long a file takes.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minWorkers) || self.minWorkers <= (has(self.maxWorkers) ? self.maxWorkers : 1)",fieldPath=".minWorkers",message="minWorkers must be at most maxWorkers (1 when it is left out): lower it, or raise maxWorkers"
type Scaling struct {
	// minWorkers is the number of workers that are kept when there is nothing to do.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	MinWorkers *int32 `json:"minWorkers,omitempty"`

	// maxWorkers is the most workers at once, those that wait to start included.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxWorkers int32 `json:"maxWorkers,omitempty"`

	// maxPending is the most workers that wait to start at once. For a Slurm Task it is the most job arrays in the queue: the
	// workers that are wanted at one time are one array, and no more are submitted before those have begun.
	// Default: maxWorkers, and 1 for a Slurm Task
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxPending int32 `json:"maxPending,omitempty"`

	// workerIdleTimeout is how long a worker beyond minWorkers waits for work before it ends.
	// +optional
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	WorkerIdleTimeout *metav1.Duration `json:"workerIdleTimeout,omitempty"`

	// drainTarget is the time in which the files that wait should be done: the shorter it is, the more workers are
	// started at once.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	DrainTarget *metav1.Duration `json:"drainTarget,omitempty"`
}

// FailureBreaker pauses a Task whose files fail alike: the rest would, too. TooManyFailures then says how they failed. It
// goes on when the spec is changed, suspend goes from true to false, or tigerflow resume or tigerflow retry is called.
type FailureBreaker struct {
	// first is how many files must have failed alike, before any was done, for the Task to pause. 0: never.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	First *int32 `json:"first,omitempty"`

	// inARow is how many files must have failed alike, one after the other, for the Task to pause. 0: never.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	InARow *int32 `json:"inARow,omitempty"`
}

// Retry says how often a file is tried before it counts as failed. The end of a worker's wall time, preemption, the loss
// of a node and a deliberate stop never count.
type Retry struct {
	// attempts is how often the handler is run on a file in all: 1 never repeats a failed file.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Attempts int32 `json:"attempts,omitempty"`

	// backoff is the least time between two attempts at a file.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	Backoff *metav1.Duration `json:"backoff,omitempty"`

	// crashLimit is how often a handler may crash on a file before the file counts as failed.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	CrashLimit int32 `json:"crashLimit,omitempty"`
}
