package main

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/cli"
)

func TestVerdict(t *testing.T) {
	const yes, no = metav1.ConditionTrue, metav1.ConditionFalse
	for _, tt := range []struct {
		name     string
		complete metav1.ConditionStatus
		stalled  v1alpha1.Reason // "" is not
		files    *v1alpha1.FileCounts
		done     bool
		err      string
		usage    bool
	}{
		{name: "new"},
		{name: "running", complete: no},
		{name: "complete", complete: yes, files: &v1alpha1.FileCounts{Done: 3}, done: true},
		{name: "files failed", complete: yes, files: &v1alpha1.FileCounts{Done: 3, Failed: 1}, done: true, err: "t: 1 of 4 files failed"},
		{name: "full disk", complete: no, stalled: v1alpha1.ReasonStorageFull},
		{name: "bad disk", complete: no, stalled: v1alpha1.ReasonStorageError},
		{name: "setup", complete: no, stalled: v1alpha1.ReasonSetupFailed, done: true, err: "t: SetupFailed: why"},
		{name: "params", complete: no, stalled: v1alpha1.ReasonInvalidParams, done: true, err: "t: InvalidParams: why", usage: true},
	} {
		task := &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Name: "t"}}
		task.Status.Files = tt.files
		if tt.complete != "" {
			task.Status.Conditions = append(task.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionComplete, Status: tt.complete})
		}
		if tt.stalled != "" {
			task.Status.Conditions = append(task.Status.Conditions,
				metav1.Condition{Type: v1alpha1.ConditionStalled, Status: yes, Reason: string(tt.stalled), Message: "why\n"})
		}
		done, err := verdict(task)
		if done != tt.done || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || errors.As(err, new(cli.UsageError)) != tt.usage {
			t.Errorf("%s: got %v, %v", tt.name, done, err)
		}
	}
}

func TestVerdictOfPipeline(t *testing.T) {
	condition := func(kind string, reason v1alpha1.Reason) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: metav1.ConditionTrue, Reason: string(reason), Message: "why"}}
	}
	for _, tt := range []struct {
		name     string
		pipeline []metav1.Condition
		task     []metav1.Condition
		failed   int64
		done     bool
		err      string
		usage    bool
	}{
		{name: "new"},
		{name: "complete", pipeline: condition(v1alpha1.ConditionComplete, v1alpha1.ReasonComplete), done: true},
		{name: "files failed", pipeline: condition(v1alpha1.ConditionComplete, v1alpha1.ReasonComplete), failed: 2, done: true, err: "p: 2 of 5 files failed"},
		{name: "no graph", pipeline: condition(v1alpha1.ConditionStalled, v1alpha1.ReasonInvalidGraph), done: true, err: "p: InvalidGraph: why", usage: true},
		{
			name: "setup of a task", pipeline: condition(v1alpha1.ConditionStalled, v1alpha1.ReasonTaskStalled),
			task: condition(v1alpha1.ConditionStalled, v1alpha1.ReasonSetupFailed), done: true, err: "p-a: SetupFailed: why",
		},
		{
			name: "full disk of a task", pipeline: condition(v1alpha1.ConditionStalled, v1alpha1.ReasonTaskStalled),
			task: condition(v1alpha1.ConditionStalled, v1alpha1.ReasonStorageFull),
		},
		{name: "a task complete, others not", task: condition(v1alpha1.ConditionComplete, v1alpha1.ReasonComplete), failed: 2},
	} {
		p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
		p.Status = v1alpha1.PipelineStatus{Conditions: tt.pipeline, Files: &v1alpha1.PipelineFileCounts{Finished: 3, Failed: tt.failed}}
		task := &followed{}
		task.object.Name, task.object.Status.Conditions = "p-a", tt.task
		task.object.Status.Files = &v1alpha1.FileCounts{Failed: tt.failed}
		done, err := verdictOfPipeline(p, []*followed{task})
		if done != tt.done || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || errors.As(err, new(cli.UsageError)) != tt.usage {
			t.Errorf("%s: got %v, %v", tt.name, done, err)
		}
	}
}

func TestIdleTime(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Minute, "0": 0, "90s": 90 * time.Second, "1h": time.Hour, "-1": -1, "-5s": -1, "ten": -1, "": -1} {
		var i idleTime
		err := i.Set(text)
		if (err != nil) != (want < 0) || err == nil && (i.Duration != want || !i.set) {
			t.Errorf("%q: got %v, %v", text, i, err)
		}
	}
}

func TestForRun(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given any // completeAfterIdle of the Task
		idle  idleTime
		want  any
	}{
		{"nothing said", nil, idleTime{}, "0s"},
		{"the Task says", "5s", idleTime{}, "5s"},
		{"the flag says", nil, idleTime{Duration: time.Minute, set: true}, "1m0s"},
		{"both say", "5s", idleTime{Duration: time.Minute, set: true}, "1m0s"},
	} {
		u := &unstructured.Unstructured{Object: map[string]any{"kind": "Task", "spec": map[string]any{"type": "Local"}}}
		if tt.given != nil {
			u.Object["spec"].(map[string]any)["completeAfterIdle"] = tt.given
		}
		if err := forRun(u, tt.idle); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "completeAfterIdle"); got != tt.want {
			t.Errorf("%s: completeAfterIdle %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDrainGrace(t *testing.T) {
	task := func(spec map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"kind": "Task", "spec": spec}}
	}
	for _, tt := range []struct {
		objects []*unstructured.Unstructured
		want    time.Duration
	}{
		{[]*unstructured.Unstructured{task(map[string]any{})}, v1alpha1.DefaultDrainTimeout},
		{[]*unstructured.Unstructured{task(map[string]any{"drainTimeout": "5s"}), task(map[string]any{"drainTimeout": "5m"})}, 5 * time.Minute},
		{[]*unstructured.Unstructured{task(map[string]any{"drainTimeout": "soon"})}, v1alpha1.DefaultDrainTimeout},
	} {
		if got := drainGrace(tt.objects); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestBrokenConfig says where a configuration is broken, and not that it is none.
func TestBrokenConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, want := range map[string]string{
		"tasks: [\n":       "error: config.yaml:1: did not find expected node content\n",
		"tasks:\n\t- a\n":  "error: config.yaml:2: a tab, @, % or a backquote begins a text here: indent with spaces, and quote such texts\n",
		"\n":               "error: config.yaml: it is empty: a configuration has tasks\n",
		"kind: Pipeline\n": "error: config.yaml is no TigerFlow configuration (tasks: at its top): leave out INPUT_DIR and OUTPUT_DIR, which its objects name themselves\n",
	} {
		if err := os.WriteFile("config.yaml", []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"run", "--dry-run", "config.yaml", "in", "out"}, &stdout, &stderr)
		if code != cli.ExitUsage || stderr.String() != want {
			t.Errorf("%q: exit code %d, stderr %q, want %q", text, code, &stderr, want)
		}
	}
}
