package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Task turns every file of an input directory into one file of an output directory, one to one and each on its own.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=tft,categories=tigerflow
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Workers",type=integer,JSONPath=`.status.workers.running`
// +kubebuilder:printcolumn:name="Pending",type=integer,JSONPath=`.status.files.pending`
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.files.running`
// +kubebuilder:printcolumn:name="Done",type=integer,JSONPath=`.status.files.done`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.files.failed`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name must be at most 63 characters, as it becomes a label: shorten it and keep the long one in spec.taskName"
type Task struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata. The name is at most 63 characters long.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the author asks for.
	// +required
	Spec TaskSpec `json:"spec,omitzero"`

	// status is what the control plane last saw.
	// +optional
	Status TaskStatus `json:"status,omitzero"`
}

// TaskList is a list of Tasks.
//
// +kubebuilder:object:root=true
type TaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Task `json:"items"`
}

// TaskType says where the workers of a Task run and how many files each has in hand.
//
// +kubebuilder:validation:Enum=Local;LocalAsync;Slurm
type TaskType string

const (
	// TaskLocal runs one file at a time, never two, where the control plane runs: a single-writer database, say.
	TaskLocal TaskType = "Local"
	// TaskLocalAsync runs many files at once in one worker, up to a limit: API calls, say.
	TaskLocalAsync TaskType = "LocalAsync"
	// TaskSlurm runs long-lived workers on the compute nodes of a Slurm cluster, scaled by what waits.
	TaskSlurm TaskType = "Slurm"
)

// Durability says when an output counts as done.
//
// +kubebuilder:validation:Enum=Fsync;None
type Durability string

const (
	// DurabilityFsync counts an output as done once it is on stable storage.
	DurabilityFsync Durability = "Fsync"
	// DurabilityNone leaves the time of writing to the kernel.
	DurabilityNone Durability = "None"
)

// TaskSpec is what the author asks for. A changed handler, params, container or resources is a new revision: workers of
// the old one drain and new files run on the new one; what is done stays done.
//
// +kubebuilder:validation:XValidation:rule="self.type == oldSelf.type",fieldPath=".type",reason=FieldValueForbidden,message="type is immutable: delete the Task (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.workspace == oldSelf.workspace",fieldPath=".workspace",reason=FieldValueForbidden,message="workspace is immutable: delete the Task (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.input == oldSelf.input",fieldPath=".input",reason=FieldValueForbidden,message="input is immutable: delete the Task (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="self.output == oldSelf.output",fieldPath=".output",reason=FieldValueForbidden,message="output is immutable: delete the Task (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="!has(self.slurm) || !has(oldSelf.slurm) || self.slurm.bridge == oldSelf.slurm.bridge",fieldPath=".slurm.bridge",reason=FieldValueForbidden,message="slurm.bridge is immutable: delete the Task (outputs and progress stay) and apply it anew"
// +kubebuilder:validation:XValidation:rule="has(self.pipeline) == has(oldSelf.pipeline) && (!has(self.pipeline) || self.pipeline.directory == oldSelf.pipeline.directory && self.pipeline.inputExtension == oldSelf.pipeline.inputExtension && has(self.pipeline.parent) == has(oldSelf.pipeline.parent) && (!has(self.pipeline.parent) || self.pipeline.parent == oldSelf.pipeline.parent))",fieldPath=".pipeline",reason=FieldValueForbidden,message="pipeline.directory, inputExtension and parent are immutable: the Pipeline writes them"
// +kubebuilder:validation:XValidation:rule="self.input.directory != self.output.directory || !self.output.extension.endsWith(self.input.extension)",fieldPath=".output.extension",message="outputs would become inputs: choose another output.directory, or an output.extension that does not end with input.extension"
// +kubebuilder:validation:XValidation:rule="!has(self.container) || !has(self.container.mounts) || !self.container.mounts.exists(m, m.path == self.workspace.path)",fieldPath=".container.mounts",message="the workspace has the path of a mount: choose another path for the mount"
type TaskSpec struct {
	TaskTemplate `json:",inline"`

	// taskName is the author's own name of the task, as handlers and log lines show it.
	// Default: the name of the object. Example: Transcribe_v2
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	TaskName string `json:"taskName,omitempty"`

	// workspace is the directory that everything else is relative to. Immutable.
	// +required
	Workspace Workspace `json:"workspace,omitzero"`

	// input says which files are processed: all in the directory with the extension, also those that come later.
	// Directories in it are entered if recursive is set. Immutable.
	// Example: {directory: videos, extension: .mp4}
	// +required
	Input FileSet `json:"input,omitzero"`

	// output says where results go: for input NAME.mp4 the file NAME with this extension, or NAME.err when it failed.
	// The directory is made if it is missing. Immutable.
	// Example: {directory: results/transcribe, extension: .txt}
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.recursive) || !self.recursive",message="recursive is a field of the input, whose directories the output has as well: set it there"
	Output FileSet `json:"output,omitzero"`

	// completeAfterIdle completes the Task when it has had nothing to do for so long: 0s as soon as every input is done
	// or failed. Unset: the Task waits for new inputs for ever. Example: 10m
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	CompleteAfterIdle *metav1.Duration `json:"completeAfterIdle,omitempty"`

	// suspend true lets the workers finish what they have in hand and starts no more; false goes on where it stopped.
	// +optional
	// +kubebuilder:default=false
	Suspend *bool `json:"suspend,omitempty"`

	// pipeline says how the Task hangs together with the others of its Pipeline, which writes it.
	// Unset: the Task is one by itself.
	// +optional
	Pipeline *PipelinePart `json:"pipeline,omitempty"`
}

// TaskTemplate is what a Task and a task of a Pipeline have in common.
//
// +kubebuilder:validation:XValidation:rule="has(self.localAsync) == (self.type == 'LocalAsync')",fieldPath=".localAsync",message="localAsync is required when type is LocalAsync and must be left out otherwise"
// +kubebuilder:validation:XValidation:rule="has(self.slurm) == (self.type == 'Slurm')",fieldPath=".slurm",message="slurm is required when type is Slurm and must be left out otherwise"
// +kubebuilder:validation:XValidation:rule="self.type != 'Local' || !has(self.scaling) || !has(self.scaling.maxWorkers) || self.scaling.maxWorkers == 1",fieldPath=".scaling.maxWorkers",message="a Task of type Local has one worker: leave out scaling.maxWorkers, or use type LocalAsync or Slurm for files in parallel"
// +kubebuilder:validation:XValidation:rule="self.type != 'Local' || !has(self.processes) || self.processes == 1",fieldPath=".processes",message="a Task of type Local has one file in hand: leave out processes, or use type LocalAsync or Slurm for files in parallel"
// +kubebuilder:validation:XValidation:rule="self.type != 'Slurm' || !has(self.pod)",fieldPath=".pod",message="workers of a Slurm Task are jobs, not pods: leave out pod, and ask for nodes by slurm.partition and slurm.sbatchOptions"
// +kubebuilder:validation:XValidation:rule="self.type != 'Slurm' || !has(self.container) || !has(self.container.mounts)",fieldPath=".container.mounts",message="workers of a Slurm Task are jobs, not pods: leave out container.mounts; what else of the cluster's file systems the container needs is bound by APPTAINER_BIND in setupCommands"
// +kubebuilder:validation:XValidation:rule="self.type != 'Slurm' || !has(self.container) || !has(self.container.workerPath)",fieldPath=".container.workerPath",message="workers of a Slurm Task are jobs, not pods: leave out container.workerPath"
// +kubebuilder:validation:XValidation:rule="!has(self.handler.builtin) || !has(self.container) || !has(self.container.entrypoint)",fieldPath=".container.entrypoint",message="a builtin task is no program that an entrypoint could start: leave out container.entrypoint"
type TaskTemplate struct {
	// type is Local (one file at a time), LocalAsync (many files in flight in one worker; see localAsync) or Slurm
	// (workers on compute nodes; see slurm). Immutable.
	// +required
	Type TaskType `json:"type,omitempty"`

	// localAsync holds what only a LocalAsync Task has: required with that type, forbidden with any other.
	// +optional
	LocalAsync *LocalAsync `json:"localAsync,omitempty"`

	// slurm holds what only a Slurm Task has: required with that type, forbidden with any other.
	// +optional
	Slurm *Slurm `json:"slurm,omitempty"`

	// handler is the author's code.
	// +required
	Handler Handler `json:"handler,omitzero"`

	// params are the task's own parameters by name. A name starts with a letter or underscore and goes on with letters,
	// digits and underscores; names of the engine's own options (input_dir, cpus, …) are reserved. A value is a string,
	// a number, a boolean, or a list of these.
	// Example: {model_file: /models/medium.pt, uppercase: true}
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Params map[string]apiextensionsv1.JSON `json:"params,omitempty"`

	// container is the environment that the handler runs in.
	// Default: the bare environment of the machine that the worker runs on.
	// +optional
	Container *Container `json:"container,omitempty"`

	// pod is what the workers' pods have besides, in a cluster. Forbidden with type Slurm; ignored where workers are plain
	// processes. A change is a new revision.
	// +optional
	Pod *Pod `json:"pod,omitempty"`

	// resources are those of one worker.
	// +optional
	Resources *Resources `json:"resources,omitempty"`

	// processes is how many handler processes one worker runs side by side, each with a setup of its own and, for a
	// LocalAsync Task, with localAsync.concurrency files in hand. It fills the CPUs of a worker with a handler that uses one.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Processes int32 `json:"processes,omitempty"`

	// rateLimit bounds how many files are begun in a time by all workers together: the limit of a service that the handler
	// calls once for each file. Every worker keeps to its share, so fewer than maxWorkers do not reach the limit.
	// Default: no limit. Example: {requests: 2000, per: 1m}
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// setupCommands are lines of shell run in order before the handler starts, in the shell that starts it; one that
	// fails ends the worker. Those of a Slurm Task with a container run on the node before the container starts, and their
	// environment does not reach in: see container.setupCommands.
	// Example: ["module load anaconda3/2024.6", "conda activate tiktok"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:Pattern=`^[^\x00\n\r]+$`
	SetupCommands []string `json:"setupCommands,omitempty"`

	// scaling bounds the number of workers.
	// +optional
	// +kubebuilder:default={}
	Scaling *Scaling `json:"scaling,omitempty"`

	// retry says how often a file is tried before it counts as failed.
	// +optional
	// +kubebuilder:default={}
	Retry *Retry `json:"retry,omitempty"`

	// failureBreaker says when so many files failed alike that the rest is not tried. Example: {first: 5, inARow: 0}
	// +optional
	// +kubebuilder:default={}
	FailureBreaker *FailureBreaker `json:"failureBreaker,omitempty"`

	// timeout is the time that one attempt at one file may take; the attempt fails when it is over.
	// Unset or 0s: no limit. Example: 1h
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// drainTimeout is how long a worker that must end may go on with the files it has in hand. Example: 5m
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) <= duration('8760h')",message="must be a duration of at most 8760h, such as 90s, 2h or 1h30m"
	DrainTimeout *metav1.Duration `json:"drainTimeout,omitempty"`

	// durability is Fsync (an output counts as done once it is on stable storage) or None (quicker; a node that loses
	// power may lose outputs of its last seconds).
	// +optional
	// +kubebuilder:default=Fsync
	Durability Durability `json:"durability,omitempty"`
}

// RateLimit bounds how many files are begun in a time.
type RateLimit struct {
	// requests is how many files may be begun in each span of per. There are never more workers than this.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	Requests int32 `json:"requests,omitempty"`

	// per is the span that requests counts in. At least 1s. Example: 1m
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) >= duration('1s') && duration(self) <= duration('8760h')",message="must be a duration from 1s to 8760h, such as 1s, 1m or 24h"
	Per metav1.Duration `json:"per,omitzero"`
}

// LocalAsync is what only a Task of type LocalAsync has.
type LocalAsync struct {
	// concurrency is the most files that one worker has in hand at once. Example: 30
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Concurrency int32 `json:"concurrency,omitempty"`
}

// Slurm is what only a Task of type Slurm has.
type Slurm struct {
	// bridge names the Slurm bridge that submits the jobs of this Task. Immutable.
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=46
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	Bridge string `json:"bridge,omitempty"`

	// time is the wall time of one worker's job, rounded up to whole minutes; a worker takes no file that will not fit.
	// Shorter times wait less in the queue. At least 1m. Example: 2h
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,3})?(h|m|s)|[0-9]{1,6}ms)+$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="must be a duration from 1m to 8760h, such as 90m, 2h or 1h30m"
	Time metav1.Duration `json:"time,omitzero"`

	// partition is that of sbatch --partition: one or several, with commas.
	// Default: the cluster's default partition. Example: gpu
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_][a-zA-Z0-9_.,@+:-]*$`
	Partition string `json:"partition,omitempty"`

	// account is that of sbatch --account. Default: the user's default account. Example: astro
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_][a-zA-Z0-9_.,@+:-]*$`
	Account string `json:"account,omitempty"`

	// qos is that of sbatch --qos. Default: the account's default. Example: short
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_][a-zA-Z0-9_.,@+:-]*$`
	QOS string `json:"qos,omitempty"`

	// sbatchOptions are further options of sbatch, one an item. Example: ["--mail-user=me@example.org"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=2
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^-[^\x00\n\r]+$`
	SbatchOptions []string `json:"sbatchOptions,omitempty"`
}
