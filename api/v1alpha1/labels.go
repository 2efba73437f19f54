package v1alpha1

// FinalizerWorkers holds a deleted Task back until its workers have ended, where they would outlive the object.
const FinalizerWorkers = "tigerflow.dev/workers"

// FinalizerTasks holds a deleted Pipeline back until its Tasks are gone, where no garbage collector deletes them.
const FinalizerTasks = "tigerflow.dev/tasks"

// Field owners of server-side apply. Each field of the status has exactly one, so that neither writer undoes the other.
const (
	// FieldOwnerTask owns the finalizer and all of the status but what FieldOwnerDispatcher owns.
	FieldOwnerTask = "tigerflow-task"
	// FieldOwnerDispatcher owns status.files and status.recentFailures.
	FieldOwnerDispatcher = "tigerflow-dispatcher"
	// FieldOwnerPipeline owns the finalizer and the status of a Pipeline, and what its Tasks ask for.
	FieldOwnerPipeline = "tigerflow-pipeline"
)

// LabelPipeline is on every Task that a Pipeline owns; its value is the name of the Pipeline.
const LabelPipeline = "tigerflow.dev/pipeline"

// Labels of the Pods of workers, besides LabelPipeline. Each dispatcher looks at its own by them.
const (
	LabelTask      = "tigerflow.dev/task"       // the name of the Task
	LabelWorkerKey = "tigerflow.dev/worker-key" // what the ids of all workers of a Task's spool begin with
	LabelWorker    = "tigerflow.dev/worker"     // the worker's id
	NameWorker     = "tigerflow-worker"         // of LabelName
)

// Labels of what the manager makes for the dispatchers of a cluster: Pods, and in each namespace a ServiceAccount and a
// RoleBinding. It looks at no others.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	NameDispatcher = "tigerflow-dispatcher" // of LabelName, and the name of the ServiceAccount, the RoleBinding and the ClusterRole
	ManagedBy      = "tigerflow-manager"    // of LabelManagedBy
)

// Annotations of a Namespace, which its administrator sets: who its workers and dispatchers are on the file system. Values are
// numbers, of the groups with commas between them. Where they are absent the manager's own flags hold.
const (
	AnnotationUID    = "tigerflow.dev/uid"
	AnnotationGID    = "tigerflow.dev/gid"
	AnnotationGroups = "tigerflow.dev/groups"
)

// AnnotationKeepDispatcher on a Task by itself or a Pipeline keeps the Pod of its dispatcher, or brings it back, though all is
// complete, if its value is "true": what tigerflow retry asks of the files is then done at once.
const AnnotationKeepDispatcher = "tigerflow.dev/keep-dispatcher"

// AnnotationAbandon on a Task that is deleted lets the manager give it up whose Slurm bridge is lost, if its value is "true".
// Jobs that still run then end by themselves, or when the bridge comes back.
const AnnotationAbandon = "tigerflow.dev/abandon"

// LabelBridge is on the Lease of a Slurm bridge; its value is the name of the bridge.
const LabelBridge = "tigerflow.dev/bridge"

// BridgeLease is the name of the Lease that the Slurm bridge of this name holds in the namespace of its Tasks.
func BridgeLease(bridge string) string { return "tigerflow-bridge-" + bridge }
