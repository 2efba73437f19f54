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

// BridgeLease is the name of the Lease that the Slurm bridge of this name holds in the namespace of its Tasks.
func BridgeLease(bridge string) string { return "tigerflow-bridge-" + bridge }
