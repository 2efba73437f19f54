package v1alpha1_test

import (
	"strings"
	"testing"
)

const minimalTask = `
apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata: {name: echo}
spec:
  type: Local
  workspace: {path: /data}
  input: {directory: in, extension: .txt}
  output: {directory: out, extension: .txt}
  handler: {builtin: echo}
`

func TestAdmission(t *testing.T) {
	const (
		slurm = "type: Slurm, slurm: {time: 2h}"
		async = "type: LocalAsync, localAsync: {concurrency: 30}"
	)
	long := strings.Repeat("x", 2000)
	tests := []struct {
		name  string
		patch string // merged into spec of the minimal Task; null removes
		want  string // part of the message; empty admits
	}{
		{"minimal", "", ""},
		{"type unknown", "type: Remote", `spec.type: Unsupported value: "Remote"`},
		{"type missing", "type: null", "spec.type: Required"},
		{"async", async, ""},
		{"async without its member", "type: LocalAsync", "localAsync is required when type is LocalAsync"},
		{"member of another type", "localAsync: {concurrency: 1}", "localAsync is required when type is LocalAsync and must be left out"},
		{"concurrency 0", "type: LocalAsync, localAsync: {concurrency: 0}", "greater than or equal to 1"},
		{"concurrency 1001", "type: LocalAsync, localAsync: {concurrency: 1001}", "less than or equal to 1000"},
		{"slurm", slurm, ""},
		{"slurm without its member", "type: Slurm", "slurm is required when type is Slurm"},
		{"slurm in a local task", "slurm: {time: 2h}", "slurm is required when type is Slurm and must be left out"},
		{"slurm without time", "type: Slurm, slurm: {}", "spec.slurm.time: Required"},
		{"slurm under a minute", "type: Slurm, slurm: {time: 59s}", "spec.slurm.time: Invalid value: \"59s\": must be a duration from 1m to 8760h"},
		{"slurm bridge", "type: Slurm, slurm: {time: 1m, bridge: Della_2}", "spec.slurm.bridge"},
		{"sbatch option", `type: Slurm, slurm: {time: 2h, sbatchOptions: ["--mail-user=a@b.c"]}`, ""},
		{"sbatch option with newline", `type: Slurm, slurm: {time: 2h, sbatchOptions: ["-A x\nrm"]}`, "sbatchOptions"},
		{"sbatch operand", `type: Slurm, slurm: {time: 2h, sbatchOptions: ["job.sh"]}`, "sbatchOptions"},
		{"setup in a container", `container: {image: x.sif, setupCommands: ["source a"]}`, ""},
		{"setup in no container", `container: {setupCommands: ["source a"]}`, "container.setupCommands run inside a container: set container.image"},
		{"setup of two lines", `container: {image: x.sif, setupCommands: ["a\nb"]}`, "spec.container.setupCommands"},
		{"entrypoint", `container: {image: a/b, entrypoint: [/entry.sh, ""]}, handler: {builtin: null, command: [cp, '{input}', '{output}']}`, ""},
		{"entrypoint of no image", `container: {entrypoint: [/entry.sh]}, handler: {builtin: null, command: [x]}`, "container.entrypoint is a program of the image: set container.image"},
		{"entrypoint of a builtin", `container: {image: a/b, entrypoint: [/entry.sh]}`, "leave out container.entrypoint"},
		{"entrypoint like an option", `container: {image: a/b, entrypoint: [-x]}, handler: {builtin: null, command: [x]}`, "first item of entrypoint is the program"},
		{"entrypoint blank", `container: {image: a/b, entrypoint: [""]}, handler: {builtin: null, command: [x]}`, "first item of entrypoint is the program"},
		{"worker of the image", `container: {image: a/b, workerPath: /usr/bin/tigerflow-worker}`, ""},
		{"worker of no image", `container: {workerPath: /usr/bin/tigerflow-worker}`, "container.workerPath is a path in the image: set container.image"},
		{"worker by a relative path", `container: {image: a/b, workerPath: tigerflow-worker}`, "spec.container.workerPath"},
		{"worker of the image of a slurm task", slurm + `, container: {image: a.sif, workerPath: /w}`, "workers of a Slurm Task are jobs, not pods: leave out container.workerPath"},

		{"mounts", `container: {mounts: [{path: /models, persistentVolumeClaim: {claimName: models, subPath: a}, readOnly: true}, {path: /c, configMap: {name: c}}, {path: /s, secret: {name: s.x}}]}`, ""},
		{"mount of nothing", `container: {mounts: [{path: /models}]}`, "exactly one of the fields in [persistentVolumeClaim configMap secret] must be set"},
		{"mount of two", `container: {mounts: [{path: /models, configMap: {name: c}, secret: {name: c}}]}`, "exactly one of the fields"},
		{"mount at a relative path", `container: {mounts: [{path: models, configMap: {name: c}}]}`, "path must be absolute"},
		{"mount with dots", `container: {mounts: [{path: /a/.., configMap: {name: c}}]}`, "path must not contain '..'"},
		{"mount with a colon", `container: {mounts: [{path: "/a:b", configMap: {name: c}}]}`, "spec.container.mounts[0].path"},
		{"mount over the worker", `container: {mounts: [{path: /tigerflow/x, configMap: {name: c}}]}`, "are the engine's own: choose another path"},
		{"mount over the scratch space", `container: {mounts: [{path: /tmp/, configMap: {name: c}}]}`, "are the engine's own: choose another path"},
		{"mount over the scratch space by another spelling", `container: {mounts: [{path: //./tmp, configMap: {name: c}}]}`, "are the engine's own: choose another path"},
		{"mount over everything", `container: {mounts: [{path: //, configMap: {name: c}}]}`, "are the engine's own: choose another path"},
		{"mounts near the engine's own", `container: {mounts: [{path: /tmp/a, configMap: {name: c}}, {path: /.tmp, configMap: {name: c}}, {path: /tigerflow2, configMap: {name: c}}]}`, ""},
		{"mount over the workspace", `container: {mounts: [{path: /data, configMap: {name: c}}]}`, "spec.container.mounts: Invalid value: the workspace has the path of a mount"},
		{"mount of a claim with two dots", `container: {mounts: [{path: /a, configMap: {name: c..d}}]}`, "spec.container.mounts[0].configMap.name"},
		{"mounts twice", `container: {mounts: [{path: /a, configMap: {name: c}}, {path: /a, configMap: {name: d}}]}`, "Duplicate value"},
		{"mount of a secret to write", `container: {mounts: [{path: /a, secret: {name: c}, readOnly: false}]}`, "a configMap or a secret cannot be written"},
		{"mounts of a slurm task", slurm + `, container: {mounts: [{path: /a, secret: {name: c}}]}`, "leave out container.mounts"},

		{"pod", `pod: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100}, tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}, {operator: Exists}], priorityClassName: low, runtimeClassName: nvidia, imagePullSecrets: [{name: registry}], labels: {team: astro}, annotations: {sidecar.istio.io/inject: "false"}}`, ""},
		{"pod of a slurm task", slurm + `, pod: {nodeSelector: {a: b}}`, "workers of a Slurm Task are jobs, not pods: leave out pod, and ask for nodes by slurm.partition"},
		{"pod with a label of ours", `pod: {labels: {tigerflow.dev/task: x}}`, "labels of tigerflow.dev are the engine's own"},
		{"pod with an annotation of ours", `pod: {annotations: {tigerflow.dev/uid: "0"}}`, "annotations of tigerflow.dev are the engine's own"},
		{"pod with a label that is none", `pod: {labels: {team: "a b"}}`, "spec.pod.labels.team"},
		{"pod with a long name of a label", `pod: {labels: {` + long[:318] + `: x}}`, "a label's name has letters, digits, '-', '_' and '.', at most 63"},
		{"pod's toleration of all with a value", `pod: {tolerations: [{key: a, operator: Exists, value: b}]}`, "operator Exists takes any value"},
		{"pod's toleration of nothing", `pod: {tolerations: [{effect: NoSchedule}]}`, "without a key all taints are meant"},
		{"pod's toleration for seconds", `pod: {tolerations: [{key: a, tolerationSeconds: 60}]}`, "tolerationSeconds is for effect NoExecute"},
		{"pod with a blank in a label's name", `pod: {labels: {"a b": x}}`, "spec.pod.labels: Invalid value: a label's name has letters"},
		{"pod with two slashes in a label's name", `pod: {nodeSelector: {a/b/c: x}}`, "spec.pod.nodeSelector: Invalid value: a label's name has letters"},
		{"pod with a nameless annotation", `pod: {annotations: {"": x}}`, "spec.pod.annotations: Invalid value: an annotation's name has letters"},
		{"pod with an annotation in capitals", `pod: {annotations: {Example.org/Note_1: "a b"}}`, ""},
		{"pod's toleration of a key that is none", `pod: {tolerations: [{key: a b}]}`, "spec.pod.tolerations[0].key"},
		{"pod's toleration of a value that is none", `pod: {tolerations: [{key: a, value: b c}]}`, "spec.pod.tolerations[0].value"},
		{"pod's priority class with two dots", `pod: {priorityClassName: a..b}`, "spec.pod.priorityClassName"},
		{"pod secret twice", `pod: {imagePullSecrets: [{name: a}, {name: a}]}`, "Duplicate value"},
		{"pod's node affinity", `pod: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b, c]}, {key: d, operator: Exists}]}]}}}}`, ""},
		{"pod's node affinity to nothing", `pod: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}]}]}}}}`, "operators Exists and DoesNotExist take no values, and the others do"},
		{"pod's node affinity to a number", `pod: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Gt, values: ["7"]}]}]}}}}`, ""},
		{"pod's node affinity to two numbers", `pod: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Lt, values: ["1", "2"]}]}]}}}}`, "operators Gt and Lt take one value, a whole number"},
		{"pod's node affinity to no number", `pod: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Gt, values: [x]}]}]}}}}`, "operators Gt and Lt take one value, a whole number"},
		{"pod's distance from others", `pod: {affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {a: b}}}}]}}}`, ""},
		{"pod's distance from no others", `pod: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {}}]}}}`, "should have at least 1 properties"},

		{"partition like an option", "type: Slurm, slurm: {time: 2h, partition: -x}", "spec.slurm.partition"},

		{"workspace relative", "workspace: {path: data}", "path must be absolute"},
		{"workspace with dots", "workspace: {path: /data/../etc}", "path must not contain '..'"},
		{"workspace ends in dots", "workspace: {path: /data/..}", "path must not contain '..'"},
		{"workspace with dots in a name", "workspace: {path: /data/a..b/...}", ""},
		{"workspace with newline", `workspace: {path: "/data\n"}`, "spec.workspace.path"},
		{"workspace with NUL", `workspace: {path: "/data\0"}`, "spec.workspace.path"},
		{"workspace too long", "workspace: {path: /" + long + "}", "spec.workspace.path: Too long"},
		{"volume", "workspace: {volume: {persistentVolumeClaim: {claimName: scratch, subPath: me/tiktok}}}", ""},
		{"volume at a path with a colon", "workspace: {path: '/a:b', volume: {persistentVolumeClaim: {claimName: a}}}", "spec.workspace.path: Invalid value: path must not contain ':'"},
		{"volume over everything", "workspace: {path: /, volume: {persistentVolumeClaim: {claimName: a}}}", "spec.workspace.path: Invalid value: /, /tmp, /staging and /tigerflow are the engine's own in pods"},
		{"volume over the scratch space", "workspace: {path: /tmp/, volume: {persistentVolumeClaim: {claimName: a}}}", "are the engine's own in pods"},
		{"volume in the scratch space", "workspace: {path: /tmp/me, volume: {persistentVolumeClaim: {claimName: a}}}", ""},
		{"no volume, and a path with a colon", "workspace: {path: '/a:b'}", ""},
		{"volume without claim", "workspace: {volume: {}}", "persistentVolumeClaim: Required"},
		{"volume with absolute subPath", "workspace: {volume: {persistentVolumeClaim: {claimName: a, subPath: /x}}}", "subPath"},
		{"volume with dots", "workspace: {volume: {persistentVolumeClaim: {claimName: a, subPath: x/../y}}}", "subPath must not contain '..'"},

		{"input absolute", "input: {directory: /elsewhere}", ""},
		{"input missing", "input: null", "spec.input: Required"},
		{"input with dots", "input: {directory: ../in}", "directory must not contain '..'"},
		{"input directory empty", `input: {directory: ""}`, "spec.input.directory"},
		{"extension without dot", "input: {extension: txt}", "extension must start with a dot"},
		{"extension with slash", "input: {extension: .a/b}", "spec.input.extension"},
		{"extension of two parts", "input: {extension: .tar.gz}", ""},
		{"recursive input", "input: {recursive: true}", ""},
		{"recursive output", "output: {recursive: true}", "recursive is a field of the input"},
		{"input extension reserved", "input: {extension: .err}", "extension must not end in .err"},
		{"output extension reserved", "output: {extension: .txt.err}", "extension must not end in .err"},
		{"extension that only starts reserved", "output: {extension: .errors}", ""},
		{"one directory and extension", "output: {directory: in}", "outputs would become inputs"},
		{"one directory, extension ends alike", "output: {directory: in, extension: .upper.txt}", "outputs would become inputs"},
		{"one directory, other extension", "output: {directory: in, extension: .json}", ""},

		{"handler missing", "handler: null", "spec.handler: Required"},
		{"handler empty", "handler: {builtin: null}", "exactly one of the fields in [python builtin program command] must be set"},
		{"handlers two", "handler: {python: {module: a.py}}", "exactly one of the fields"},
		{"handler python", "handler: {builtin: null, python: {module: 'src/my task.py:Upper'}}", ""},
		{"handler python dotted", "handler: {builtin: null, python: {module: 'pkg.tasks:Upper'}}", ""},
		{"handler python without module", "handler: {builtin: null, python: {}}", "module: Required"},
		{"handler python like an option", "handler: {builtin: null, python: {module: -c}}", "spec.handler.python.module"},
		{"handler python class no name", "handler: {builtin: null, python: {module: 'a.py:1'}}", "spec.handler.python.module"},
		{"handler program", "handler: {builtin: null, program: {path: bin/resize, args: [--quality, '90', '']}}", ""},
		{"handler command", "handler: {builtin: null, command: [cp, '{input}', '{output}']}", ""},
		{"handler command empty", "handler: {builtin: null, command: []}", "spec.handler.command"},
		{"handler command blank", "handler: {builtin: null, command: ['', x]}", "first item of command"},

		{"params", `params: {a: x, b: 1, c: 1.5, d: true, e: [x, 2, false]}`, ""},
		{"image", "container: {image: 'docker://ghcr.io/a/b@sha256:0'}", ""},
		{"image like an option", "container: {image: --writable}", "spec.container.image"},
		{"env", "container: {env: [{name: HF_HOME, value: ''}]}", ""},
		{"env name", "container: {env: [{name: A-B, value: ''}]}", "spec.container.env[0].name"},
		{"env of the engine", "container: {env: [{name: TIGERFLOW_EPOCH, value: '1'}]}", "are the engine's own"},
		{"env twice", "container: {env: [{name: A, value: ''}, {name: A, value: ''}]}", "Duplicate value"},

		{"memory", "resources: {memory: 12Gi}", ""},
		{"memory in bytes", "resources: {memory: 1073741824}", ""},
		{"memory of nothing", "resources: {memory: '0'}", "memory must be more than 0"},
		{"memory negative", "resources: {memory: -1}", "memory must be more than 0"},
		{"memory beyond reason", "resources: {memory: 2Pi}", "at most 1Pi"},
		{"memory with a fraction", "resources: {memory: 1.5Gi}", "spec.resources.memory"},
		{"memory by Slurm's letters", "resources: {memory: 12GB}", "spec.resources.memory"},
		{"cpus 0", "resources: {cpus: 0}", "greater than or equal to 1"},
		{"gpus 0", "resources: {gpus: 0}", ""},
		{"setup command", "setupCommands: [module load anaconda3]", ""},
		{"setup command of two lines", `setupCommands: ["a\nb"]`, "spec.setupCommands[0]"},

		{"workers", slurm + ", scaling: {minWorkers: 3, maxWorkers: 3}", ""},
		{"workers min above max", slurm + ", scaling: {minWorkers: 4, maxWorkers: 3}", "minWorkers must be at most maxWorkers"},
		{"workers min above default max", slurm + ", scaling: {minWorkers: 2}", "minWorkers must be at most maxWorkers"},
		{"workers many in a local task", "scaling: {maxWorkers: 2}", "a Task of type Local has one worker"},
		{"attempts 0", "retry: {attempts: 0}", "greater than or equal to 1"},
		{"durability", "durability: None", ""},
		{"durability unknown", "durability: Full", "spec.durability: Unsupported value"},

		{"duration 0", "completeAfterIdle: 0s", ""},
		{"duration of several units", "timeout: 1h30m", ""},
		{"duration with a fraction", "timeout: 1.5s", ""},
		{"duration in minutes above an hour", "timeout: 90m", ""},
		{"duration without unit", "timeout: '90'", `spec.timeout: Invalid value: "90": must be a duration of at most 8760h, such as 90s, 2h or 1h30m`},
		{"duration as a number", "timeout: 90", "must be of type string"},
		{"duration negative", "timeout: -1s", "must be a duration"},
		{"duration in days", "timeout: 1d", "must be a duration"},
		{"duration empty", "timeout: ''", "must be a duration"},
		{"duration too long", "timeout: 9999999h", "must be a duration of at most 8760h"},
		{"duration of more than a year", "timeout: 8760h1ms", "must be a duration of at most 8760h"},

		{"taskName", "taskName: Transcribe_v2", ""},
		{"taskName with slash", "taskName: a/b", "spec.taskName"},
	}
	a := mustAdmission(t, "Task")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			obj := patchedTask(t, test.patch)
			checkRefusal(t, a.admit(obj, nil).ToAggregate(), test.want)
			if test.want == "" {
				roundTrip(t, a, obj)
			}
		})
	}
}

func TestAdmissionOfNames(t *testing.T) {
	a := mustAdmission(t, "Task")
	for name, want := range map[string]string{
		strings.Repeat("a", 63): "",
		strings.Repeat("a", 64): "the name must be at most 63 characters",
	} {
		obj := decode(t, minimalTask)
		obj["metadata"].(map[string]any)["name"] = name
		checkRefusal(t, a.admit(obj, nil).ToAggregate(), want)
	}
}

func TestImmutability(t *testing.T) {
	const (
		slurm  = "type: Slurm, slurm: {time: 2h}"
		volume = "workspace: {volume: {persistentVolumeClaim: {claimName: scratch}}}"
		mend   = " is immutable: delete the Task (outputs and progress stay) and apply it anew"
	)
	tests := []struct {
		name   string
		before string
		after  string
		want   string
	}{
		{"nothing changed", "", "", ""},
		{"type", "", "type: LocalAsync, localAsync: {concurrency: 2}", "spec.type: Forbidden: type" + mend},
		{"workspace path", "", "workspace: {path: /other}", "spec.workspace: Forbidden: workspace" + mend},
		{"volume added", "", volume, "spec.workspace: Forbidden: workspace" + mend},
		{"volume removed", volume, "", "spec.workspace: Forbidden: workspace" + mend},
		{"volume kept", volume, volume, ""},
		{"input directory", "", "input: {directory: in2}", "spec.input: Forbidden: input" + mend},
		{"input extension", "", "input: {extension: .csv}", "spec.input: Forbidden: input" + mend},
		{"output directory", "", "output: {directory: out2}", "spec.output: Forbidden: output" + mend},
		{"output extension", "", "output: {extension: .csv}", "spec.output: Forbidden: output" + mend},
		{"bridge", slurm, "type: Slurm, slurm: {time: 2h, bridge: della}", "spec.slurm.bridge: Forbidden: slurm.bridge" + mend},
		{"bridge removed", "type: Slurm, slurm: {time: 2h, bridge: della}", slurm, "spec.slurm.bridge: Forbidden: slurm.bridge" + mend},
		{"bridge by its default", slurm, "type: Slurm, slurm: {time: 2h, bridge: default}", ""},
		{"all else", slurm, `{type: Slurm, slurm: {time: 3h, partition: gpu}, handler: {builtin: null, command: ["true"]},
			params: {a: 1}, container: {image: x.sif}, resources: {cpus: 2}, setupCommands: ["true"], scaling: {maxWorkers: 3}, processes: 2, rateLimit: {requests: 9, per: 1s},
			retry: {attempts: 2}, timeout: 1h, drainTimeout: 2m, completeAfterIdle: 0s, suspend: true, durability: None,
			taskName: Other}`, ""},
	}
	a := mustAdmission(t, "Task")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, after := patchedTask(t, test.before), patchedTask(t, test.after)
			if errs := a.admit(before, nil); len(errs) > 0 {
				t.Fatalf("before: %v", errs.ToAggregate())
			}
			checkRefusal(t, a.admit(after, before).ToAggregate(), test.want)
		})
	}
}

func TestStatusAdmission(t *testing.T) {
	tests := []struct {
		name   string
		status string
		want   string
	}{
		{"empty", "{}", ""},
		{"whole", `{observedGeneration: 3, files: {staged: 0, pending: 1, running: 2, done: 3, failed: 4},
			workers: {pending: 1, running: 2, desired: 3},
			recentFailures: [{file: a.txt, message: "", time: "2026-01-02T03:04:05Z", attempts: 1, exitCode: 139}],
			conditions: [{type: Ready, status: "True", reason: Running, message: "", lastTransitionTime: "2026-01-02T03:04:05Z"}]}`, ""},
		{"counts in part", "{files: {done: 1}}", "status.files.failed: Required"},
		{"failure with a time that Go refuses", `{recentFailures: [{file: a, message: "", time: "2026-01-02t03:04:05z", attempts: 1}]}`, "time must be a time of RFC 3339"},
		{"failure with a list for a time", `{recentFailures: [{file: a, message: "", time: ["2026-01-02T03:04:05Z"], attempts: 1}]}`, "time must be a time of RFC 3339"},
		{"condition with a time that Go refuses", `{conditions: [{type: Ready, status: "True", reason: A, message: "",
			lastTransitionTime: "2026-01-02t03:04:05z"}]}`, "lastTransitionTime must be a time of RFC 3339"},
	}
	a := mustAdmission(t, "Task")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			obj := decode(t, minimalTask)
			obj["status"] = decode(t, test.status)
			checkRefusal(t, a.admit(obj, nil).ToAggregate(), test.want)
			if test.want == "" {
				roundTrip(t, a, obj)
			}
		})
	}
}

// patchedTask is the minimal Task with patch, the inside of a YAML flow mapping, merged into its spec.
func patchedTask(t *testing.T, patch string) map[string]any {
	t.Helper()
	obj := decode(t, minimalTask)
	if !strings.HasPrefix(patch, "{") {
		patch = "{" + patch + "}"
	}
	merge(obj["spec"].(map[string]any), decode(t, patch))
	return obj
}

func merge(dst, patch map[string]any) {
	for key, value := range patch {
		from, isMap := value.(map[string]any)
		into, wasMap := dst[key].(map[string]any)
		switch {
		case value == nil:
			delete(dst, key)
		case isMap && wasMap:
			merge(into, from)
		default:
			dst[key] = value
		}
	}
}

func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("admitted, expected %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("refused with %q, expected %q", err, want)
	}
}
