package v1alpha1

// PipelinePart says how a Task hangs together with the others of its Pipeline, which writes it. Tasks are named by their
// taskName here.
type PipelinePart struct {
	// directory is the output directory of the Pipeline, relative to the workspace or absolute: the records of all its tasks
	// lie there. Immutable. Example: results
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="directory must not contain '..': write the path that it leads to"
	Directory string `json:"directory,omitempty"`

	// inputExtension is what the inputs of the Pipeline end in. Immutable. Example: .mp4
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^([.][a-zA-Z0-9_]+)+$`
	InputExtension string `json:"inputExtension,omitempty"`

	// parent is the task whose outputs are the inputs of this one: they are taken from its records. Immutable.
	// Default: the inputs are those of the Pipeline, which are looked for in the input directory.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Parent string `json:"parent,omitempty"`

	// children are the tasks that read the outputs of this one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=100
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Children []string `json:"children,omitempty"`

	// siblings are the other tasks that read the same files.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=100
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Siblings []string `json:"siblings,omitempty"`

	// inputPolicy is Retain, or Delete to remove an input once this task and all siblings are done with it.
	// +optional
	// +kubebuilder:default=Retain
	InputPolicy RetentionPolicy `json:"inputPolicy,omitempty"`

	// outputPolicy is Retain, or Delete to remove an output once all children are done with it.
	// +optional
	// +kubebuilder:default=Retain
	OutputPolicy RetentionPolicy `json:"outputPolicy,omitempty"`

	// maxIntermediates is the most outputs that wait for any one of the children; with more the task pauses.
	// Unset: no limit. Example: 1000
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MaxIntermediates int64 `json:"maxIntermediates,omitempty"`

	// lead is what one of the tasks that read the inputs of the Pipeline, the first by name, does for all of it.
	// Unset: this is another task.
	// +optional
	Lead *PipelineLead `json:"lead,omitempty"`

	// stagedBy is the task with lead, if it chooses which of the inputs are taken.
	// Unset: this task finds its inputs by itself.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	StagedBy string `json:"stagedBy,omitempty"`
}

// PipelineLead is what one task does for all of its Pipeline: it counts the files by how far they are, chooses which are
// taken next, and is complete when all tasks are.
type PipelineLead struct {
	// tasks are all tasks of the Pipeline, each after the one that it depends on.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Tasks []PipelineMember `json:"tasks,omitempty"`

	// staging are the steps that choose, in this order, which of the files that wait in the input directory are taken
	// next. Default: all of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Staging []StagingStep `json:"staging,omitempty"`

	// othersEnded true says that all other tasks have ended: what this one counts now is final, or shows that they have to
	// go on. Unset: they may be at work.
	// +optional
	OthersEnded *bool `json:"othersEnded,omitempty"`
}

// PipelineMember is a task of a Pipeline.
type PipelineMember struct {
	// name is its taskName.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Name string `json:"name,omitempty"`

	// parent is the name of the task whose outputs it reads. Unset: it reads the inputs of the Pipeline.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Parent string `json:"parent,omitempty"`
}
