package v1alpha1

// Condition types of Tasks and Pipelines.
const (
	// ConditionReady is True when files are processed as they come, or all of them have been. Its reason is the state that
	// kubectl get shows.
	ConditionReady = "Ready"
	// ConditionComplete is True when every input is done or failed and completeAfterIdle has passed. A changed spec, new
	// attempts and a resumed Task make it False again.
	ConditionComplete = "Complete"
	// ConditionStalled is True when nothing goes on until a person acts. It is bad news: False is the normal state.
	ConditionStalled = "Stalled"
	// ConditionDegraded is True when work goes on and something is wrong. It is bad news: False is the normal state.
	ConditionDegraded = "Degraded"
)

// Reason is why a condition has its status. The constants are all that there are; what varies goes into the message.
type Reason string

// Reasons of Ready and Complete: how far the Task is. None needs a person.
const (
	// ReasonStarting: the control plane looks at the files and the first workers start.
	ReasonStarting Reason = "Starting"
	// ReasonRunning: workers process files.
	ReasonRunning Reason = "Running"
	// ReasonIdle: there is nothing to do. Put files into the input directory, or set completeAfterIdle to end.
	ReasonIdle Reason = "Idle"
	// ReasonWaiting: files wait for workers that wait to start, or for their next attempt. The message says for what.
	ReasonWaiting Reason = "Waiting"
	// ReasonSuspended: spec.suspend is true and no worker is left. Set it to false to go on.
	ReasonSuspended Reason = "Suspended"
	// ReasonDraining: workers finish what they have in hand and end.
	ReasonDraining Reason = "Draining"
	// ReasonComplete: every input is done or failed. Look at status.files.failed.
	ReasonComplete Reason = "Complete"
)

// Reasons of Ready when it is Unknown: nothing is heard of what runs the Task. Its workers may go on.
const (
	// ReasonBridgeLost: the Slurm bridge of the Task does not renew its Lease, or there is none. Start it.
	ReasonBridgeLost Reason = "BridgeLost"
	// ReasonDispatcherLost: the node of the dispatcher's Pod does not answer. Another Pod takes over when the node counts as gone.
	ReasonDispatcherLost Reason = "DispatcherLost"
	// ReasonDeletionBlocked: the Task is deleted, and its Slurm bridge is not there to end the jobs of its workers. Start the
	// bridge, or give the jobs up as the message says.
	ReasonDeletionBlocked Reason = "DeletionBlocked"
)

// Reasons of Stalled, and of Ready while Stalled is True: what a person must mend. The Task then goes on by itself.
const (
	// ReasonInputNotFound: the input directory does not exist. Create it, or apply the Task anew with the right path.
	ReasonInputNotFound Reason = "InputNotFound"
	// ReasonInputNotReadable: the input directory cannot be listed. Give the user of the workers the right to read it.
	ReasonInputNotReadable Reason = "InputNotReadable"
	// ReasonInputNotVisible: an input is a link that leads to where the container has nothing. The message names the folder and
	// how to bind it.
	ReasonInputNotVisible Reason = "InputNotVisible"
	// ReasonOutputNotWritable: the output directory cannot be made or written. Give the user of the workers the right to.
	ReasonOutputNotWritable Reason = "OutputNotWritable"
	// ReasonOutputInUse: another live Task or process writes this output directory. The message names it: end it, or
	// choose another directory.
	ReasonOutputInUse Reason = "OutputInUse"
	// ReasonInvalidDirectories: input and output are one directory by different names, so that outputs would become
	// inputs. Apply the Task anew with another directory or extension.
	ReasonInvalidDirectories Reason = "InvalidDirectories"
	// ReasonInvalidHandler: the module or program is no TigerFlow task, or the builtin is unknown. Correct spec.handler.
	ReasonInvalidHandler Reason = "InvalidHandler"
	// ReasonInvalidParams: a parameter is unknown, missing, reserved, or of the wrong type. Correct spec.params.
	ReasonInvalidParams Reason = "InvalidParams"
	// ReasonHandlerNotFound: the interpreter, module, program or command does not exist where the workers run. Install it
	// or correct spec.handler.
	ReasonHandlerNotFound Reason = "HandlerNotFound"
	// ReasonNoShell: there are setupCommands and the image has no shell to run them. Leave them out, or use an image with one.
	ReasonNoShell Reason = "NoShell"
	// ReasonSetupFailed: a setup command or the handler's setup failed. Correct it; the message has its last words.
	ReasonSetupFailed Reason = "SetupFailed"
	// ReasonStorageFull: the file system or the quota is full. Free space. No file counts as failed for it.
	ReasonStorageFull Reason = "StorageFull"
	// ReasonStorageError: the file system gives errors or is read-only. Mend it. No file counts as failed for it.
	ReasonStorageError Reason = "StorageError"
	// ReasonNotAllowed: the limits file of the Slurm bridge does not allow this Task. The message names the field, the limit and
	// the mend.
	ReasonNotAllowed Reason = "NotAllowed"
	// ReasonTooManyFailures: so many files failed alike that the rest is not tried. Correct the handler and resume.
	ReasonTooManyFailures Reason = "TooManyFailures"
	// ReasonSubmissionRefused: Slurm refuses the jobs of the workers. The message has its words: correct spec.slurm or
	// spec.resources.
	ReasonSubmissionRefused Reason = "SubmissionRefused"
	// ReasonInvalidWorker: the workers cannot be started as the Task asks. The message names what to correct.
	ReasonInvalidWorker Reason = "InvalidWorker"
	// ReasonWorkerNotRunnable: the worker program cannot be put, or run, where workers run. The message says why.
	ReasonWorkerNotRunnable Reason = "WorkerNotRunnable"
	// ReasonWorkerNotExecutable: the worker program that is put into the pods cannot be run there: the node may not let programs
	// run from its scratch space. Have the image bring the worker: container.workerPath.
	ReasonWorkerNotExecutable Reason = "WorkerNotExecutable"
	// ReasonImageNotPulled: an image of the pods cannot be had. The message names it and has the node's words: correct
	// container.image or pod.imagePullSecrets. It is tried again by itself.
	ReasonImageNotPulled Reason = "ImageNotPulled"
	// ReasonPodRefused: the API server, or the node, refuses the pods of the workers. The message has its words: correct what they
	// name, or ask the administrator.
	ReasonPodRefused Reason = "PodRefused"
	// ReasonLogNotWritable: the logs of the workers cannot be written. Give the user of the workers the right to.
	ReasonLogNotWritable Reason = "LogNotWritable"
	// ReasonWorkspaceNotFound: spec.workspace.volume names no PersistentVolumeClaim of the namespace. Create it, or apply the
	// Task anew with one that exists.
	ReasonWorkspaceNotFound Reason = "WorkspaceNotFound"
	// ReasonWorkspaceNotShareable: the claim of the workspace can be used by one Pod only (ReadWriteOncePod), or written by
	// none. Use one that is ReadWriteMany, or ReadWriteOnce for Pods of one node.
	ReasonWorkspaceNotShareable Reason = "WorkspaceNotShareable"
	// ReasonIdentityNotSet: neither the annotations of the Namespace nor the manager say as which user Pods run, or what they
	// say is no number. Have an administrator set tigerflow.dev/uid and tigerflow.dev/gid of the Namespace.
	ReasonIdentityNotSet Reason = "IdentityNotSet"
	// ReasonPodUnschedulable: no node can take the Pod. The message says what nodes lack.
	ReasonPodUnschedulable Reason = "PodUnschedulable"
	// ReasonContainerNotStarted: the node cannot start the container. The message has its words.
	ReasonContainerNotStarted Reason = "ContainerNotStarted"
	// ReasonDispatcherFailing: the dispatcher ends by itself again and again. Its log says why.
	ReasonDispatcherFailing Reason = "DispatcherFailing"
	// ReasonSpoolIncompatible: the output directory has the records of a newer or unknown format. Use the release that
	// wrote them, or another output directory.
	ReasonSpoolIncompatible Reason = "SpoolIncompatible"
)

// Reasons of Degraded: what is wrong though work goes on.
const (
	// ReasonFilesFailed: some files failed. Read their .err files, correct the cause, and retry them.
	ReasonFilesFailed Reason = "FilesFailed"
	// ReasonSlowFiles: files have been in hand for more than ten times as long as nearly all others took, and may hang. Look
	// at what they do, or set spec.timeout to end them.
	ReasonSlowFiles Reason = "SlowFiles"
	// ReasonWorkersCrashing: workers end by themselves again and again and start with growing pauses. Read their logs.
	ReasonWorkersCrashing Reason = "WorkersCrashing"
	// ReasonWorkersHeld: further workers do not start before a person acts: their jobs are held, or refused while others run.
	// The message says how: scontrol release, say.
	ReasonWorkersHeld Reason = "WorkersHeld"
	// ReasonNodeUnreachable: nobody hears of a worker's node any more. If the worker still shows in the files that it lives, it
	// goes on; a Local Task has no other until its end is certain. The message names the pod and the node: bring the node back.
	ReasonNodeUnreachable Reason = "NodeUnreachable"
	// ReasonNodesAvoided: workers fail to work on a node and are started elsewhere for an hour. The message names the node and
	// says how they end: tell the administrator.
	ReasonNodesAvoided Reason = "NodesAvoided"
	// ReasonExecutorUnavailable: workers can be neither started nor listed (Slurm does not answer, say). Those that run go
	// on; wait, or ask the administrator.
	ReasonExecutorUnavailable Reason = "ExecutorUnavailable"
)

// Reasons that only a Pipeline has. Those of Stalled: what a person must mend.
const (
	// ReasonInvalidGraph: the tasks do not fit together. The message names the task and the mend: delete the Pipeline and
	// apply it corrected.
	ReasonInvalidGraph Reason = "InvalidGraph"
	// ReasonInvalidStaging: a step of spec.staging cannot be carried out, such as a pattern beyond RE2. Correct it.
	ReasonInvalidStaging Reason = "InvalidStaging"
	// ReasonTaskNameInUse: the name of the Task for a task is that of another's. The message names both: delete that Task or
	// its Pipeline, or apply this one by another name.
	ReasonTaskNameInUse Reason = "TaskNameInUse"
	// ReasonTaskRefused: the API server refuses the Task for a task. The message names the task and has the server's words:
	// correct what they name.
	ReasonTaskRefused Reason = "TaskRefused"
	// ReasonTaskStalled: a task is stalled. The message names it and has its own; the Task's conditions say more.
	ReasonTaskStalled Reason = "TaskStalled"
	// ReasonTaskDegraded: a task is degraded, and work goes on. The message names it.
	ReasonTaskDegraded Reason = "TaskDegraded"
	// ReasonStagingFailed: the callable of spec.staging fails, so that no new file is taken; those in the Pipeline go on.
	// Correct the function; it is called again.
	ReasonStagingFailed Reason = "StagingFailed"
)

// ReasonAsExpected is the reason of Stalled and Degraded when they are False.
const ReasonAsExpected Reason = "AsExpected"
