package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Pipeline takes every file of an input directory through tasks that build on each other. It owns one Task for each.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=tfp,categories=tigerflow
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Staged",type=integer,JSONPath=`.status.files.staged`
// +kubebuilder:printcolumn:name="InProgress",type=integer,JSONPath=`.status.files.inProgress`
// +kubebuilder:printcolumn:name="Finished",type=integer,JSONPath=`.status.files.finished`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.files.failed`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name must be at most 63 characters, as it becomes a label: shorten it"
type Pipeline struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata. The name is at most 63 characters long.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the author asks for.
	// +required
	Spec PipelineSpec `json:"spec,omitzero"`

	// status is what the control plane last saw.
	// +optional
	Status PipelineStatus `json:"status,omitzero"`
}

// PipelineList is a list of Pipelines.
//
// +kubebuilder:object:root=true
type PipelineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Pipeline `json:"items"`
}

// RetentionPolicy says what becomes of files that are no longer needed.
//
// +kubebuilder:validation:Enum=Retain;Delete
type RetentionPolicy string

const (
	// RetentionRetain keeps the files.
	RetentionRetain RetentionPolicy = "Retain"
	// RetentionDelete removes a file once everything that reads it is done with it.
	RetentionDelete RetentionPolicy = "Delete"
)

// PipelineSpec is what the author asks for. How the tasks are connected cannot be changed; all else of a task is a new
// revision of it: workers of the old one drain and new files run on the new one.
//
// +kubebuilder:validation:XValidation:rule="self.workspace == oldSelf.workspace",fieldPath=".workspace",reason=FieldValueForbidden,message="workspace is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.input == oldSelf.input",fieldPath=".input",reason=FieldValueForbidden,message="input is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.output == oldSelf.output",fieldPath=".output",reason=FieldValueForbidden,message="output is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.tasks.all(t, !has(t.container) || !has(t.container.mounts) || !t.container.mounts.exists(m, m.path == self.workspace.path))",fieldPath=".tasks",message="the workspace has the path of a mount in container.mounts of a task: choose another path for the mount"
type PipelineSpec struct {
	// workspace is the directory that everything else is relative to. Immutable.
	// +required
	Workspace Workspace `json:"workspace,omitzero"`

	// input says which files are processed: all in the directory with the extension, also those that come later. Tasks
	// without dependsOn read them. Immutable.
	// Example: {directory: videos, extension: .mp4}
	// +required
	Input FileSet `json:"input,omitzero"`

	// output says where results go: those of each task that retains them into a directory of its name. Immutable.
	// Example: {directory: results}
	// +required
	Output PipelineOutput `json:"output,omitzero"`

	// staging are the steps that choose, in this order, which of the files that wait in the input directory are taken
	// next. Default: all of them.
	// Example: [{minSize: 1Ki}, {sortBy: {key: MTime}}, {maxBatch: 20}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Staging []StagingStep `json:"staging,omitempty"`

	// inputPolicy is Retain, or Delete to remove an input once every task that reads it is done with it. An input that
	// failed is kept.
	// +optional
	// +kubebuilder:default=Retain
	InputPolicy RetentionPolicy `json:"inputPolicy,omitempty"`

	// maxIntermediates is the most outputs of a task that wait for any one of the tasks that depend on it; with more it pauses.
	// Unset: no limit. Example: 1000
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	MaxIntermediates int64 `json:"maxIntermediates,omitempty"`

	// completeAfterIdle completes the Pipeline when it has had nothing to do for so long: 0s as soon as every input is
	// finished or failed. Unset: the Pipeline waits for new inputs for ever. Example: 10m
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	CompleteAfterIdle *metav1.Duration `json:"completeAfterIdle,omitempty"`

	// suspend true lets the workers of all tasks finish what they have in hand and starts no more; false goes on where it
	// stopped.
	// +optional
	// +kubebuilder:default=false
	Suspend *bool `json:"suspend,omitempty"`

	// tasks are the steps. Each reads the inputs of the Pipeline, or the outputs of the one task that it depends on.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="size(self) == size(oldSelf) && self.all(t, oldSelf.exists(o, o.name == t.name))",reason=FieldValueForbidden,message="tasks cannot be added, removed or renamed: delete the Pipeline (outputs and progress stay) and apply it anew"
	Tasks []PipelineTask `json:"tasks,omitempty"`
}

// PipelineOutput is where a Pipeline keeps results and its records.
type PipelineOutput struct {
	// directory is relative to the workspace, or absolute. It is made if it is missing. Example: results
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.][.](/|$)')",message="directory must not contain '..': write the path that it leads to"
	Directory string `json:"directory,omitempty"`
}

// PipelineTask is one step of a Pipeline: a Task less what the graph gives.
//
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",fieldPath=".type",reason=FieldValueForbidden,message="type is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="has(self.dependsOn) == has(oldSelf.dependsOn) && (!has(self.dependsOn) || self.dependsOn == oldSelf.dependsOn)",fieldPath=".dependsOn",reason=FieldValueForbidden,message="dependsOn is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="has(self.input) == has(oldSelf.input) && (!has(self.input) || self.input == oldSelf.input)",fieldPath=".input",reason=FieldValueForbidden,message="input is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.output == oldSelf.output",fieldPath=".output",reason=FieldValueForbidden,message="output is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.outputPolicy == oldSelf.outputPolicy",fieldPath=".outputPolicy",reason=FieldValueForbidden,message="outputPolicy is immutable, as it decides where outputs lie: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="!has(self.slurm) || !has(oldSelf.slurm) || self.slurm.bridge == oldSelf.slurm.bridge",fieldPath=".slurm.bridge",reason=FieldValueForbidden,message="slurm.bridge is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="!has(self.dependsOn) || self.dependsOn != self.name",fieldPath=".dependsOn",message="a task cannot depend on itself: name another task, or leave out dependsOn to read the inputs of the Pipeline"
type PipelineTask struct {
	// name is the task's own name, by which dependsOn and handlers know it and its results are kept. Unique in the
	// Pipeline. Example: Transcribe_v2
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Name string `json:"name,omitempty"`

	// dependsOn names the task whose outputs are the inputs of this one. Immutable.
	// Default: the task reads the inputs of the Pipeline. Example: transcribe
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	DependsOn string `json:"dependsOn,omitempty"`

	// outputPolicy is Retain, or Delete to remove an output once every task that depends on it is done with it.
	// +optional
	// +kubebuilder:default=Retain
	OutputPolicy RetentionPolicy `json:"outputPolicy,omitempty"`

	// input says what the inputs end in. Immutable.
	// Default: what the outputs of the task in dependsOn, or the inputs of the Pipeline, end in; nothing else is right.
	// Example: {extension: .mp4}
	// +optional
	Input *PipelineTaskFiles `json:"input,omitempty"`

	// output says what the outputs end in. Immutable. Example: {extension: .txt}
	// +required
	Output PipelineTaskFiles `json:"output,omitzero"`

	TaskTemplate `json:",inline"`
}

// PipelineTaskFiles are the inputs or outputs of a task of a Pipeline. Their directory follows from the graph.
type PipelineTaskFiles struct {
	// extension is the end of the file names, with its dot. It must not end in .err, which marks failures. Example: .tar.gz
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^([.][a-zA-Z0-9_]+)+$')",message="extension must start with a dot and go on with letters, digits, _ and dots between them, such as .txt or .tar.gz"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.err')",message="extension must not end in .err, which marks failed files: choose another"
	Extension string `json:"extension,omitempty"`
}
