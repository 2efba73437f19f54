package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Handler is the author's code: exactly one of the fields. Paths are relative to the workspace, or absolute.
//
// +kubebuilder:validation:ExactlyOneOf=python;builtin;program;command
type Handler struct {
	// python is a Python module with a TigerFlow task class.
	// +optional
	Python *PythonHandler `json:"python,omitempty"`

	// builtin is the name of a task that comes with TigerFlow. Example: echo
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Builtin string `json:"builtin,omitempty"`

	// program is an executable built with the Go package tigerflow.dev/tigerflow/task.
	// +optional
	Program *ProgramHandler `json:"program,omitempty"`

	// command is any command, run once for each file and without a shell. In its items {input} and {output} stand for the
	// paths of the two files, {stem} for the input's name without its extension, and {params.NAME} for a parameter.
	// Example: [ffmpeg, -i, "{input}", "{output}"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:Pattern=`^[^\x00]*$`
	// +kubebuilder:validation:XValidation:rule="self[0] != ''",message="the first item of command is the program to run: it must not be empty"
	Command []string `json:"command,omitempty"`
}

// PythonHandler is a Python module with a TigerFlow task class.
type PythonHandler struct {
	// module is the path of a file (with a slash or ending in .py) or the dotted name of an installed module, and may
	// name the class after a colon. Default class: the only task class of the module.
	// Example: transcribe.py, mypackage.tasks:Transcribe
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f:-][^\x00-\x1f\x7f:]*(:[a-zA-Z_][a-zA-Z0-9_]*)?$`
	Module string `json:"module,omitempty"`

	// interpreter is the Python to run: a path (with a slash) or a name on the PATH. Example: venv/bin/python
	// +optional
	// +kubebuilder:default=python3
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$`
	Interpreter string `json:"interpreter,omitempty"`
}

// ProgramHandler is an executable that speaks the handler protocol, as the Go SDK makes them.
type ProgramHandler struct {
	// path is that of the executable (with a slash) or its name on the PATH. Example: bin/resize
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	Path string `json:"path,omitempty"`

	// args are the arguments of the program. Example: [--quality, "90"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:Pattern=`^[^\x00]*$`
	Args []string `json:"args,omitempty"`
}

// Container is the environment that a handler runs in.
//
// +kubebuilder:validation:XValidation:rule="!has(self.setupCommands) || has(self.image)",fieldPath=".setupCommands",message="container.setupCommands run inside a container: set container.image, or use setupCommands of the Task"
// +kubebuilder:validation:XValidation:rule="!has(self.entrypoint) || has(self.image)",fieldPath=".entrypoint",message="container.entrypoint is a program of the image: set container.image, or leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.workerPath) || has(self.image)",fieldPath=".workerPath",message="container.workerPath is a path in the image: set container.image, or leave it out"
type Container struct {
	// image is that of the container: for pods a reference to a registry, for Slurm an Apptainer image file or
	// reference. Default: no container. Example: whisper.sif
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x20\x7f-][^\x00-\x20\x7f]*$`
	Image string `json:"image,omitempty"`

	// setupCommands are lines of shell run in order inside the container before the handler starts, in the shell that starts
	// it; one that fails ends the worker. A Slurm Task's own setupCommands run outside, on the node.
	// Example: ["source /opt/venv/bin/activate"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:Pattern=`^[^\x00\n\r]+$`
	SetupCommands []string `json:"setupCommands,omitempty"`

	// entrypoint is the program, with its arguments, that starts the handler: the command line of the handler is put behind it,
	// and the program must become it (exec "$@"), as the entry points of images do. That of the image itself is not used.
	// Example: [/usr/local/bin/_entrypoint.sh]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=4096
	// +kubebuilder:validation:items:Pattern=`^[^\x00]*$`
	// +kubebuilder:validation:XValidation:rule="self[0].matches('^[^-]')",message="the first item of entrypoint is the program to run: it must not be empty or begin with a dash"
	Entrypoint []string `json:"entrypoint,omitempty"`

	// workerPath is the absolute path at which the image itself has the worker program, where no other can be brought in: nodes
	// may not let programs run from their scratch space. It must be of the release that runs the Task. For pods only.
	// Default: the worker is put into each pod. Example: /usr/local/bin/tigerflow-worker
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/[^\x00-\x1f\x7f]+$`
	WorkerPath string `json:"workerPath,omitempty"`

	// mounts are volumes of the pods besides the workspace: models, settings, secrets. For pods only.
	// Example: [{path: /models, persistentVolumeClaim: {claimName: models}, readOnly: true}]
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=16
	Mounts []Mount `json:"mounts,omitempty"`

	// env are environment variables of the handler; they win over those of envFile.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Env []EnvVar `json:"env,omitempty"`

	// envFile is a file of NAME=value lines, relative to the workspace or absolute. What is secret belongs there
	// rather than in env, which anyone who may read the Task can read. Example: secrets.env
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	EnvFile string `json:"envFile,omitempty"`
}

// EnvVar is one environment variable.
type EnvVar struct {
	// name is that of the variable. Names that start with TIGERFLOW_ are the engine's own. Example: HF_HOME
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('TIGERFLOW_')",message="names that start with TIGERFLOW_ are the engine's own: choose another"
	Name string `json:"name,omitempty"`

	// value is taken as it is, nothing in it is expanded. Example: /scratch/me/hf
	// +required
	// +kubebuilder:validation:MaxLength=8192
	// +kubebuilder:validation:Pattern=`^[^\x00]*$`
	Value string `json:"value"`
}

// Resources are those of one worker.
type Resources struct {
	// cpus is the number of CPUs. Default: 1
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	CPUs int32 `json:"cpus,omitempty"`

	// memory is in bytes, with a unit: 12Gi is 12·2³⁰ bytes, 12G is 12·10⁹. Slurm counts in MiB, rounded up.
	// Default: what the machine or the partition gives. Example: 12Gi
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^[0-9]{1,16}(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$`
	// +kubebuilder:validation:MaxLength=18
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('1Pi'))",message="memory must be more than 0 and at most 1Pi"
	Memory *resource.Quantity `json:"memory,omitempty"`

	// gpus is the number of GPUs. Default: 0
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	GPUs *int32 `json:"gpus,omitempty"`
}
