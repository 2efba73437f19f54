package task

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

func sampleTask() *v1alpha1.Task {
	return &v1alpha1.Task{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "words"},
		Spec: v1alpha1.TaskSpec{
			Workspace: v1alpha1.Workspace{Path: "/work space"},
			Input:     v1alpha1.FileSet{Directory: "in", Extension: ".txt"},
			Output:    v1alpha1.FileSet{Directory: "/elsewhere/out/", Extension: ".json"},
			TaskTemplate: v1alpha1.TaskTemplate{
				Type:    v1alpha1.TaskLocal,
				Handler: v1alpha1.Handler{Python: &v1alpha1.PythonHandler{Module: "words.py"}},
				Params:  map[string]apiextensionsv1.JSON{"top": {Raw: []byte("5")}, "name": {Raw: []byte(`"x"`)}},
			},
		},
	}
}

func specOf(t *testing.T, task *v1alpha1.Task) spool.Spec {
	t.Helper()
	spec, err := spoolSpec(task)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestSpoolSpec(t *testing.T) {
	spec := specOf(t, sampleTask())
	spec.Revision = ""
	want := spool.Spec{
		Task: "words", Type: spool.TypeLocal, WorkDir: "/work space", Concurrency: 1,
		InputDir: "/work space/in", InputExt: ".txt", OutputDir: "/elsewhere/out", OutputExt: ".json",
		Handler:    spool.Handler{Python: &spool.PythonHandler{Module: "words.py", Interpreter: "python3"}},
		Params:     map[string]json.RawMessage{"top": json.RawMessage("5"), "name": json.RawMessage(`"x"`)},
		Durability: spool.Fsync,
		Retry:      spool.Retry{Attempts: 1, Backoff: spool.Duration(30 * time.Second), CrashLimit: 3},
		Breaker:    spool.Breaker{First: 20, InARow: 100},
	}
	if !reflect.DeepEqual(spec, want) {
		t.Errorf("got  %+v\nwant %+v", spec, want)
	}
}

func TestSpoolSpecPaths(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler v1alpha1.Handler
		want    spool.Handler
	}{
		{
			"interpreter on the PATH",
			v1alpha1.Handler{Python: &v1alpha1.PythonHandler{Module: "m", Interpreter: "python3.12"}},
			spool.Handler{Python: &spool.PythonHandler{Module: "m", Interpreter: "python3.12"}},
		},
		{
			"interpreter of the workspace",
			v1alpha1.Handler{Python: &v1alpha1.PythonHandler{Module: "m", Interpreter: "venv/bin/python"}},
			spool.Handler{Python: &spool.PythonHandler{Module: "m", Interpreter: "/work space/venv/bin/python"}},
		},
		{
			"program on the PATH",
			v1alpha1.Handler{Program: &v1alpha1.ProgramHandler{Path: "resize", Args: []string{"-q"}}},
			spool.Handler{Program: &spool.ProgramHandler{Path: "resize", Args: []string{"-q"}}},
		},
		{
			"program of the workspace",
			v1alpha1.Handler{Program: &v1alpha1.ProgramHandler{Path: "./resize"}},
			spool.Handler{Program: &spool.ProgramHandler{Path: "/work space/resize"}},
		},
		{
			"program elsewhere",
			v1alpha1.Handler{Program: &v1alpha1.ProgramHandler{Path: "/bin/resize"}},
			spool.Handler{Program: &spool.ProgramHandler{Path: "/bin/resize"}},
		},
		{"builtin", v1alpha1.Handler{Builtin: "echo"}, spool.Handler{Builtin: "echo"}},
		{"command", v1alpha1.Handler{Command: []string{"cp", "{input}"}}, spool.Handler{Command: []string{"cp", "{input}"}}},
	} {
		task := sampleTask()
		task.Spec.Handler = tt.handler
		if got := specOf(t, task).Handler; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A revision changes with what a running worker has read once and for all, and with nothing else.
func TestRevision(t *testing.T) {
	hour := &metav1.Duration{Duration: time.Hour}
	memory := func(text string) *v1alpha1.Resources {
		q := resource.MustParse(text)
		return &v1alpha1.Resources{Memory: &q}
	}
	for _, tt := range []struct {
		name   string
		change func(s *v1alpha1.TaskSpec)
		new    bool
	}{
		{"nothing", func(*v1alpha1.TaskSpec) {}, false},
		{"suspend", func(s *v1alpha1.TaskSpec) { s.Suspend = new(true) }, false},
		{"scaling", func(s *v1alpha1.TaskSpec) { s.Scaling = &v1alpha1.Scaling{MaxWorkers: 9, WorkerIdleTimeout: hour} }, false},
		{"retry", func(s *v1alpha1.TaskSpec) { s.Retry = &v1alpha1.Retry{Attempts: 5, Backoff: hour, CrashLimit: 7} }, false},
		{"failureBreaker", func(s *v1alpha1.TaskSpec) { s.FailureBreaker = &v1alpha1.FailureBreaker{First: new(int32(0))} }, false},
		{"completeAfterIdle", func(s *v1alpha1.TaskSpec) { s.CompleteAfterIdle = hour }, false},
		{"drainTimeout", func(s *v1alpha1.TaskSpec) { s.DrainTimeout = hour }, false},
		{"params", func(s *v1alpha1.TaskSpec) { s.Params["top"] = apiextensionsv1.JSON{Raw: []byte("6")} }, true},
		{"one param less", func(s *v1alpha1.TaskSpec) { delete(s.Params, "top") }, true},
		{"handler", func(s *v1alpha1.TaskSpec) { s.Handler.Python.Module = "w.py" }, true},
		{"interpreter", func(s *v1alpha1.TaskSpec) { s.Handler.Python.Interpreter = "pypy3" }, true},
		{"timeout", func(s *v1alpha1.TaskSpec) { s.Timeout = hour }, true},
		{"setup", func(s *v1alpha1.TaskSpec) { s.SetupCommands = []string{"module load x"} }, true},
		{"durability", func(s *v1alpha1.TaskSpec) { s.Durability = v1alpha1.DurabilityNone }, true},
		{"image", func(s *v1alpha1.TaskSpec) { s.Container = &v1alpha1.Container{Image: "x.sif"} }, true},
		{"env", func(s *v1alpha1.TaskSpec) {
			s.Container = &v1alpha1.Container{Env: []v1alpha1.EnvVar{{Name: "A", Value: "1"}}}
		}, true},
		{"envFile", func(s *v1alpha1.TaskSpec) { s.Container = &v1alpha1.Container{EnvFile: "x.env"} }, true},
		{"resources", func(s *v1alpha1.TaskSpec) { s.Resources = memory("2Gi") }, true},
		{"processes", func(s *v1alpha1.TaskSpec) { s.Processes = 2 }, true},
		{"one process", func(s *v1alpha1.TaskSpec) { s.Processes = 1 }, false},
		{"rateLimit", func(s *v1alpha1.TaskSpec) {
			s.RateLimit = &v1alpha1.RateLimit{Requests: 5, Per: metav1.Duration{Duration: time.Hour}}
		}, true},
		{"concurrency", func(s *v1alpha1.TaskSpec) {
			s.Type, s.LocalAsync = v1alpha1.TaskLocalAsync, &v1alpha1.LocalAsync{Concurrency: 8}
		}, true},
	} {
		before, after := sampleTask(), sampleTask()
		tt.change(&after.Spec)
		if changed := specOf(t, before).Revision != specOf(t, after).Revision; changed != tt.new {
			t.Errorf("%s: new revision %v, want %v", tt.name, changed, tt.new)
		}
	}
	// What one release wrote, the next must read as the same: a new revision ends all workers.
	if got, want := specOf(t, sampleTask()).Revision, "3cc79ac0a317"; got != want {
		t.Errorf("the revision of the sample is %s, was %s", got, want)
	}
}

func TestPipelineOf(t *testing.T) {
	s := &v1alpha1.TaskSpec{Workspace: v1alpha1.Workspace{Path: "/w"}, Output: v1alpha1.FileSet{Directory: "results/b"}}
	if pipelineOf(s) != nil || recordsOf(s) != "/w/results/b" {
		t.Error("a Task by itself is taken for one of a Pipeline")
	}
	s.Pipeline = &v1alpha1.PipelinePart{
		Directory: "results", InputExtension: ".mp4", Parent: "a", Children: []string{"c", "d"}, Siblings: []string{"e"},
		OutputPolicy: v1alpha1.RetentionDelete, InputPolicy: v1alpha1.RetentionRetain, MaxIntermediates: 9, StagedBy: "a",
		Lead: &v1alpha1.PipelineLead{
			Tasks:   []v1alpha1.PipelineMember{{Name: "a"}, {Name: "b", Parent: "a"}},
			Staging: []v1alpha1.StagingStep{{MaxBatch: 3}},
		},
	}
	dir := "/w/results/.tigerflow/tasks/"
	want := &flow.Pipeline{
		Records: "/w/results", RootExt: ".mp4", Staging: []staging.Step{{MaxBatch: 3}},
		Chain: dispatcher.Chain{
			Parent: dir + "a", Children: []string{dir + "c", dir + "d"}, Siblings: []string{dir + "e"}, DeleteOutputs: true, MaxIntermediates: 9,
			StagedBy: dir + "a", Lead: &dispatcher.Lead{Tasks: []dispatcher.Member{{Name: "a", Dir: dir + "a"}, {Name: "b", Dir: dir + "b", Parent: "a"}}},
		},
	}
	if got := pipelineOf(s); !reflect.DeepEqual(got, want) || recordsOf(s) != "/w/results" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
