package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PipelineStatus is what the control plane last saw. Counters follow the files by some seconds.
type PipelineStatus struct {
	// observedGeneration is the metadata.generation of the spec that this status is about.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9007199254740991
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// files counts the input files by how far they are through the Pipeline.
	// +optional
	Files *PipelineFileCounts `json:"files,omitempty"`

	// tasks tell how far each task is, in the order in which files go through them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Tasks []PipelineTaskStatus `json:"tasks,omitempty"`

	// conditions are Ready, Complete (True when it is good) and Stalled, Degraded (True when it is bad).
	//
	// Reasons of progress: Starting, Running, Idle, Waiting, Suspended, Draining, Complete.
	// Reasons of Stalled: InvalidGraph, InvalidStaging, TaskNameInUse, TaskRefused, TaskStalled.
	// Reasons of Degraded: FilesFailed, TaskDegraded, StagingFailed.
	// Reason of Stalled and Degraded when they are False: AsExpected.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time of RFC 3339 after 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PipelineFileCounts counts the input files of a Pipeline. Each file is in exactly one of the counts.
type PipelineFileCounts struct {
	// staged is the number of files that no task has begun.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Staged int64 `json:"staged"`

	// inProgress is the number of files that a task has begun, that none has failed on, and that are not finished.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	InProgress int64 `json:"inProgress"`

	// finished is the number of files on which every task has succeeded.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Finished int64 `json:"finished"`

	// failed is the number of files that one or more tasks failed on.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9007199254740991
	Failed int64 `json:"failed"`
}

// PipelineTaskStatus is how far one task of a Pipeline is.
type PipelineTaskStatus struct {
	// name is that of the task in spec.tasks.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	Name string `json:"name,omitempty"`

	// object is the name of the Task that runs it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Object string `json:"object,omitempty"`

	// state is the reason of the Task's condition Ready. Example: Running
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	State string `json:"state,omitempty"`

	// files counts the inputs of the task by what became of them.
	// +optional
	Files *FileCounts `json:"files,omitempty"`

	// workers counts the workers of the task.
	// +optional
	Workers *WorkerCounts `json:"workers,omitempty"`
}
