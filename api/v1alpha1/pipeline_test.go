package v1alpha1_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const minimalPipeline = `
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: books}
spec:
  workspace: {path: /data}
  input: {directory: in, extension: .txt}
  output: {directory: results}
  tasks:
  - {name: shout, type: Local, output: {extension: .loud}, handler: {builtin: echo}}
`

func patchedPipeline(t *testing.T, patch string) map[string]any {
	t.Helper()
	obj := decode(t, minimalPipeline)
	merge(obj["spec"].(map[string]any), decode(t, "{"+patch+"}"))
	return obj
}

func TestPipelineAdmission(t *testing.T) {
	const task = "type: Local, output: {extension: .x}, handler: {builtin: echo}"
	tests := []struct {
		name  string
		patch string // merged into spec of the minimal Pipeline; null removes
		want  string // part of the message; empty admits
	}{
		{"minimal", "", ""},
		{"no tasks", "tasks: []", "spec.tasks: Invalid value"},
		{"two tasks of one name", "tasks: [{name: a, " + task + "}, {name: a, " + task + "}]", "spec.tasks[1]: Duplicate value"},
		{"task on itself", "tasks: [{name: a, dependsOn: a, " + task + "}]", "a task cannot depend on itself"},
		{"name of a task", "tasks: [{name: 1a, " + task + "}]", "spec.tasks[0].name"},
		{"name of a task with a slash", "tasks: [{name: a/b, " + task + "}]", "spec.tasks[0].name"},
		{"name missing", "tasks: [{" + task + "}]", "spec.tasks[0].name: Required"},
		{"extension of the input", "tasks: [{name: a, input: {extension: .txt}, " + task + "}]", ""},
		{"extension reserved", "tasks: [{name: a, type: Local, output: {extension: .err}, handler: {builtin: echo}}]", "must not end in .err"},
		{"extension without dot", "tasks: [{name: a, type: Local, output: {extension: txt}, handler: {builtin: echo}}]", "extension must start with a dot"},
		{"extension missing", "tasks: [{name: a, type: Local, handler: {builtin: echo}}]", "spec.tasks[0].output: Required"},
		{"type and member", "tasks: [{name: a, type: Slurm, output: {extension: .x}, handler: {builtin: echo}}]", "slurm is required when type is Slurm"},
		{"many workers of a local task", "tasks: [{name: a, scaling: {maxWorkers: 2}, " + task + "}]", "has one worker"},
		{"handler missing", "tasks: [{name: a, type: Local, output: {extension: .x}}]", "spec.tasks[0].handler: Required"},
		{"mount over the workspace", "workspace: {path: /data}, tasks: [{name: a, container: {mounts: [{path: /data, configMap: {name: c}}]}, " + task + "}]", "spec.tasks: Invalid value: the workspace has the path of a mount"},
		{"policies", "inputPolicy: Delete, tasks: [{name: a, outputPolicy: Delete, " + task + "}]", ""},
		{"policy unknown", "inputPolicy: Keep", "spec.inputPolicy: Unsupported value"},
		{"intermediates 0", "maxIntermediates: 0", "greater than or equal to 1"},
		{"output with dots", "output: {directory: ../x}", "directory must not contain '..'"},

		{"staging", `staging: [{minSize: 1Ki}, {maxSize: 1048576}, {minAge: 1.5s}, {filenameMatch: '^rec_\d+'}, {companionFile: .done},
			{sortBy: {key: MTime, reverse: true}}, {sortBy: {}}, {maxStaged: 1}, {maxBatch: 20}, {callable: 'a.b:c'}]`, ""},
		{"staging without a member", "staging: [{}]", "exactly one of the fields"},
		{"staging with two members", "staging: [{minSize: 1, maxSize: 2}]", "exactly one of the fields"},
		{"staging of size 0", "staging: [{minSize: 0}]", "minSize must be more than 0"},
		{"staging of negative size", "staging: [{maxSize: -1}]", "maxSize must be more than 0"},
		{"staging of age 0", "staging: [{minAge: 0s}]", "must be a duration of more than 0s"},
		{"staging by an unknown key", "staging: [{sortBy: {key: ctime}}]", "spec.staging[0].sortBy.key: Unsupported value"},
		{"staging companion", "staging: [{companionFile: done}]", "extension must start with a dot"},
		{"staging reserved companion", "staging: [{companionFile: .err}]", "must not end in .err"},
		{"staging none at once", "staging: [{maxStaged: -1}]", "greater than or equal to 1"},
		{"callable of a path", "staging: [{callable: 'a.py:f'}]", ""},
		{"callable without function", "staging: [{callable: module}]", "spec.staging[0].callable"},
		{"callable of two functions", "staging: [{callable: 'a:b:c'}]", "spec.staging[0].callable"},
	}
	a := mustAdmission(t, "Pipeline")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			obj := patchedPipeline(t, test.patch)
			checkRefusal(t, a.admit(obj, nil).ToAggregate(), test.want)
			if test.want == "" {
				roundTrip(t, a, obj)
			}
		})
	}
}

func TestPipelineNames(t *testing.T) {
	a := mustAdmission(t, "Pipeline")
	obj := decode(t, minimalPipeline)
	obj["metadata"].(map[string]any)["name"] = strings.Repeat("a", 64)
	checkRefusal(t, a.admit(obj, nil).ToAggregate(), "the name must be at most 63 characters")
}

func TestPipelineImmutability(t *testing.T) {
	const (
		mend   = " is immutable: delete the Pipeline (outputs and progress stay) and apply it anew"
		graph  = "tasks: [{name: a, type: Local, output: {extension: .x}, handler: {builtin: echo}}, "
		second = "{name: b, dependsOn: a, input: {extension: .x}, type: Local, output: {extension: .y}, handler: {builtin: echo}}]"
	)
	tests := []struct {
		name  string
		after string
		want  string
	}{
		{"nothing changed", graph + second, ""},
		{"the order of the list", "tasks: [" + strings.TrimSuffix(second, "]") + ", " + strings.TrimPrefix(strings.TrimSuffix(graph, ", "), "tasks: [") + "]", ""},
		{"workspace", graph + second + ", workspace: {path: /x}", "spec.workspace: Forbidden: workspace" + mend},
		{"input", graph + second + ", input: {directory: x}", "spec.input: Forbidden: input" + mend},
		{"output", graph + second + ", output: {directory: x}", "spec.output: Forbidden: output" + mend},
		{"a task less", strings.TrimSuffix(graph, ", ") + "]", "tasks cannot be added, removed or renamed"},
		{"another name", graph + strings.Replace(second, "name: b", "name: c", 1), "tasks cannot be added, removed or renamed"},
		{"type", graph + strings.Replace(second, "type: Local", "type: LocalAsync, localAsync: {concurrency: 2}", 1), "type" + mend},
		{"parent", graph + strings.Replace(second, "dependsOn: a, ", "", 1), "dependsOn" + mend},
		{"extension of inputs", graph + strings.Replace(second, "input: {extension: .x}", "input: {extension: .z}", 1), "input" + mend},
		{"extension of outputs", graph + strings.Replace(second, ".y", ".z", 1), "output" + mend},
		{"policy of outputs", graph + strings.Replace(second, "type: Local", "type: Local, outputPolicy: Delete", 1), "outputPolicy is immutable, as it decides where outputs lie"},
		{"all else", `suspend: true, completeAfterIdle: 1m, inputPolicy: Delete, maxIntermediates: 3, staging: [{maxBatch: 1}], ` +
			strings.Replace(graph, "echo", "cat", 1) + strings.Replace(second, "type: Local", "type: Local, params: {a: 1}", 1), ""},
	}
	a := mustAdmission(t, "Pipeline")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, after := patchedPipeline(t, graph+second), patchedPipeline(t, test.after)
			if errs := a.admit(before, nil); len(errs) > 0 {
				t.Fatalf("before: %v", errs.ToAggregate())
			}
			checkRefusal(t, a.admit(after, before).ToAggregate(), test.want)
		})
	}
}

func TestPipelineStatusAdmission(t *testing.T) {
	a := mustAdmission(t, "Pipeline")
	for status, want := range map[string]string{
		"{}": "",
		`{observedGeneration: 3, files: {staged: 0, inProgress: 1, finished: 2, failed: 3},
			tasks: [{name: Shout_it, object: p-shout-it-1, state: Running, files: {staged: 0, pending: 1, running: 2, done: 3, failed: 4},
				workers: {pending: 1, running: 2, desired: 3}}, {name: b}],
			conditions: [{type: Ready, status: "True", reason: Running, message: "", lastTransitionTime: "2026-01-02T03:04:05Z"}]}`: "",
		"{files: {finished: 1}}":            "status.files.failed: Required",
		"{tasks: [{name: a}, {name: a}]}":   "Duplicate value",
		"{tasks: [{object: a}]}":            "status.tasks[0].name: Required",
		"{tasks: [{name: a, state: true}]}": "status.tasks[0].state",
	} {
		obj := decode(t, minimalPipeline)
		obj["status"] = decode(t, status)
		checkRefusal(t, a.admit(obj, nil).ToAggregate(), want)
		if want == "" {
			roundTrip(t, a, obj)
		}
	}
}

func TestPipelineAccessors(t *testing.T) {
	a := mustAdmission(t, "Pipeline")
	values := func(patch string) []any {
		data, err := json.Marshal(patchedPipeline(t, patch))
		if err != nil {
			t.Fatal(err)
		}
		p := a.strict(t, data).(*v1alpha1.Pipeline)
		s := &p.Spec
		idle, completes := s.IdleBeforeComplete()
		sortBy := s.Staging[0].SortBy
		return []any{s.IsSuspended(), idle.String(), completes, s.DeletesInputs(), s.Tasks[0].DeletesOutputs(), sortBy.SortKey(), sortBy.IsReverse()}
	}
	got := values("staging: [{sortBy: {}}]")
	if want := []any{false, "0s", false, false, false, v1alpha1.SortByName, false}; !reflect.DeepEqual(got, want) {
		t.Errorf("by default %v, want %v", got, want)
	}
	got = values(`suspend: true, completeAfterIdle: 1m, inputPolicy: Delete, staging: [{sortBy: {key: Size, reverse: true}}],
		tasks: [{name: a, type: Local, outputPolicy: Delete, output: {extension: .x}, handler: {builtin: echo}}]`)
	if want := []any{true, "1m0s", true, true, true, v1alpha1.SortBySize, true}; !reflect.DeepEqual(got, want) {
		t.Errorf("when set %v, want %v", got, want)
	}
}

// A field that an author sets on a Task, a task of a Pipeline needs too.
func TestTasksOfPipelinesHaveWhatTasksHave(t *testing.T) {
	fromTheGraph := []string{"TaskTemplate", "TaskName", "Workspace", "Input", "Output", "CompleteAfterIdle", "Suspend", "Pipeline"}
	for field := range reflect.TypeFor[v1alpha1.TaskSpec]().Fields() {
		if !slices.Contains(fromTheGraph, field.Name) {
			t.Errorf("TaskSpec.%s is not in tasks of Pipelines: move it to TaskTemplate, or list it here if the graph gives it", field.Name)
		}
	}
}
