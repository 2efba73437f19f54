package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of status.recentFailures. A writer cuts what is longer, or the API server refuses the whole status.
const (
	// MaxRecentFailures is the most items kept.
	MaxRecentFailures = 10
	// MaxFailureText is the most characters of a file name or a message.
	MaxFailureText = 1024
)

// TaskStatus is what the control plane last saw. Counters follow the files by some seconds.
type TaskStatus struct {
	// observedGeneration is the metadata.generation of the spec that this status is about.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// files counts the input files by what became of them.
	// +optional
	Files *FileCounts `json:"files,omitempty"`

	// pipeline counts the input files of the whole Pipeline by how far they are. Only the Task with spec.pipeline.lead has it.
	// +optional
	Pipeline *PipelineFileCounts `json:"pipeline,omitempty"`

	// workers counts the workers.
	// +optional
	Workers *WorkerCounts `json:"workers,omitempty"`

	// recentFailures are the latest files that failed, newest first. All of them have a .err file in the output directory.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	RecentFailures []FileFailure `json:"recentFailures,omitempty"`

	// conditions are Ready, Complete (True when it is good) and Stalled, Degraded (True when it is bad).
	//
	// Reasons of progress: Starting, Running, Idle, Waiting, Suspended, Draining, Complete.
	// Reasons of Ready when it is Unknown: BridgeLost, DispatcherLost, DeletionBlocked.
	// Reasons of Stalled: InputNotFound, InputNotReadable, InputNotVisible, OutputNotWritable, OutputInUse,
	// InvalidDirectories, InvalidStaging, InvalidHandler, InvalidParams, HandlerNotFound, NoShell, SetupFailed, StorageFull,
	// StorageError, TooManyFailures, NotAllowed, SubmissionRefused, InvalidWorker, WorkerNotRunnable, WorkerNotExecutable, LogNotWritable,
	// SpoolIncompatible, WorkspaceNotFound, WorkspaceNotShareable, IdentityNotSet, PodRefused, PodUnschedulable, ImageNotPulled,
	// ContainerNotStarted, DispatcherFailing.
	// Reasons of Degraded: FilesFailed, StagingFailed, SlowFiles, WorkersCrashing, WorkersHeld, NodeUnreachable,
	// NodesAvoided, ExecutorUnavailable.
	// Reason of Stalled and Degraded when they are False: AsExpected.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time of RFC 3339 after 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// FileCounts counts the input files of a Task. Each file is in exactly one of the counts.
type FileCounts struct {
	// staged is the number of files that were seen and are not yet queued.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Staged int64 `json:"staged"`

	// pending is the number of files that wait for a worker.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Pending int64 `json:"pending"`

	// running is the number of files that workers hold.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Running int64 `json:"running"`

	// done is the number of files that have an output.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Done int64 `json:"done"`

	// failed is the number of files that have a .err file instead.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Failed int64 `json:"failed"`
}

// WorkerCounts counts the workers of a Task.
type WorkerCounts struct {
	// pending is the number of workers that wait to start.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Pending int32 `json:"pending"`

	// running is the number of workers that have started and not ended.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Running int32 `json:"running"`

	// desired is the number of workers that there should be.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Desired int32 `json:"desired"`
}

// FileFailure is a file that failed for good.
type FileFailure struct {
	// file is the name of the input file, bytes that are not UTF-8 escaped.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	File string `json:"file,omitempty"`

	// message is what the last attempt said, cut to 1024 characters.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`

	// time is when the last attempt ended.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="time must be a time of RFC 3339 after 1970"
	Time metav1.Time `json:"time,omitzero"`

	// attempts is how often the file was tried.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Attempts int32 `json:"attempts"`

	// exitCode is the exit status of a handler that ended with the file in hand: 128 + n when signal n killed it.
	// Unset: the handler went on.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	ExitCode *int32 `json:"exitCode,omitempty"`
}
