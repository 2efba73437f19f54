package pipeline

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

func TestTaskName(t *testing.T) {
	long := strings.Repeat("x", 60)
	tests := []struct{ pipeline, task, want string }{
		{"books", "count", "books-count"},
		{"books", "count-words", "books-count-words"},
		{"a.b", "c", "a.b-c"},
		{"books", "Count", "books-count-b0c80d33"},
		{"books", "count_words", "books-count-words-4d0c4a12"},
		{"books", "count-", "books-count-54f8eb4c"},
		{"books", long, "books-" + strings.Repeat("x", 48) + "-a66e363d"},
	}
	seen := map[string]bool{}
	valid := regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])$`)
	for _, test := range tests {
		got := TaskName(test.pipeline, test.task)
		if got != test.want {
			t.Errorf("TaskName(%s, %s) is %s, want %s", test.pipeline, test.task, got, test.want)
		}
		if seen[got] || !valid.MatchString(got) {
			t.Errorf("%s is no name, or that of another", got)
		}
		seen[got] = true
	}
	if a, b := TaskName(long+"1", "t2345"), TaskName(long+"2", "t2345"); a == b {
		t.Errorf("two Pipelines have a Task %s", a)
	}
}

func TestTasks(t *testing.T) {
	spec := specOf("a →.a", "B_2<a →.b", "c<B_2 →.c", "d →.d")
	spec.Tasks[0].OutputPolicy = v1alpha1.RetentionDelete
	spec.Tasks[1].SetupCommands = []string{"true"}
	suspend := true
	spec.Suspend, spec.InputPolicy, spec.MaxIntermediates = &suspend, v1alpha1.RetentionDelete, 7
	spec.CompleteAfterIdle = &metav1.Duration{}
	spec.Staging = []v1alpha1.StagingStep{{MaxBatch: 5}}
	p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns"}, Spec: *spec}
	g, err := New(&p.Spec)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ name, task, in, inExt, out, outExt string }{
		{"p-a", "a", "in", ".txt", "out/.tigerflow/tasks/a/outputs", ".a"},
		{TaskName("p", "B_2"), "B_2", "out/.tigerflow/tasks/a/outputs", ".a", "out/B_2", ".b"},
		{"p-c", "c", "out/B_2", ".b", "out/c", ".c"},
		{"p-d", "d", "in", ".txt", "out/d", ".d"},
	}
	tasks := g.Tasks(p)
	if len(tasks) != len(want) {
		t.Fatalf("%d Tasks", len(tasks))
	}
	for i, w := range want {
		task, s := tasks[i], &tasks[i].Spec
		if task.Name != w.name || task.Namespace != "ns" || task.Kind != "Task" || task.Labels[v1alpha1.LabelPipeline] != "p" {
			t.Errorf("metadata %v", task.ObjectMeta)
		}
		got := struct{ name, task, in, inExt, out, outExt string }{task.Name, s.TaskName, s.Input.Directory, s.Input.Extension, s.Output.Directory, s.Output.Extension}
		if got != w {
			t.Errorf("task %d:\n got %v\nwant %v", i, got, w)
		}
		if !s.IsSuspended() || (s.CompleteAfterIdle != nil) != (i == 0) || s.Workspace.Path != "/w" {
			t.Errorf("%s: %+v", task.Name, s)
		}
	}
	parts := []v1alpha1.PipelinePart{
		{Children: []string{"B_2"}, Siblings: []string{"d"}, InputPolicy: v1alpha1.RetentionDelete, OutputPolicy: v1alpha1.RetentionDelete, MaxIntermediates: 7, Lead: &v1alpha1.PipelineLead{
			Tasks:   []v1alpha1.PipelineMember{{Name: "a"}, {Name: "B_2", Parent: "a"}, {Name: "c", Parent: "B_2"}, {Name: "d"}},
			Staging: spec.Staging,
		}},
		{Parent: "a", Children: []string{"c"}, InputPolicy: v1alpha1.RetentionRetain, OutputPolicy: v1alpha1.RetentionRetain, MaxIntermediates: 7},
		{Parent: "B_2", InputPolicy: v1alpha1.RetentionRetain, OutputPolicy: v1alpha1.RetentionRetain},
		{Siblings: []string{"a"}, StagedBy: "a", InputPolicy: v1alpha1.RetentionRetain, OutputPolicy: v1alpha1.RetentionRetain},
	}
	for i, part := range parts {
		part.Directory, part.InputExtension = "out", ".txt"
		if got := tasks[i].Spec.Pipeline; !reflect.DeepEqual(*got, part) {
			t.Errorf("part %d:\n got %+v\nwant %+v", i, *got, part)
		}
	}
	tasks[1].Spec.SetupCommands[0] = "changed"
	if spec.Tasks[1].SetupCommands[0] != "true" {
		t.Error("a Task shares memory with the Pipeline")
	}
}

// The order of the list is the author's to change: the task that has the records of the whole Pipeline stays the same.
func TestLeadStaysWhateverTheOrder(t *testing.T) {
	for _, tasks := range [][]string{{"c<b →.c", "b →.b", "a<b →.a", "d →.d"}, {"d →.d", "b →.b", "a<b →.a", "c<b →.c"}} {
		p := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: *specOf(tasks...)}
		g, err := New(&p.Spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range g.Tasks(p) {
			if leads := task.Spec.Pipeline.Lead != nil; leads != (task.Name == "p-b") {
				t.Errorf("of %q, %s leads: %t", tasks, task.Name, leads)
			}
		}
	}
}
