package pipeline

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// specOf makes a Pipeline of tasks written as "name<parent input→output", the parent and the input being optional.
func specOf(tasks ...string) *v1alpha1.PipelineSpec {
	spec := &v1alpha1.PipelineSpec{
		Workspace: v1alpha1.Workspace{Path: "/w"},
		Input:     v1alpha1.FileSet{Directory: "in", Extension: ".txt"},
		Output:    v1alpha1.PipelineOutput{Directory: "out"},
	}
	for _, text := range tasks {
		name, exts, _ := strings.Cut(text, " ")
		name, parent, _ := strings.Cut(name, "<")
		input, output, _ := strings.Cut(exts, "→")
		task := v1alpha1.PipelineTask{Name: name, DependsOn: parent, Output: v1alpha1.PipelineTaskFiles{Extension: output}}
		if input != "" {
			task.Input = &v1alpha1.PipelineTaskFiles{Extension: input}
		}
		spec.Tasks = append(spec.Tasks, task)
	}
	return spec
}

func names(nodes []*Node) string {
	var all []string
	for _, node := range nodes {
		all = append(all, node.Task.Name)
	}
	return strings.Join(all, " ")
}

func TestGraph(t *testing.T) {
	g, err := New(specOf("d<b →.d", "a .txt→.a", "c →.c", "b<a .a→.b", "e<a →.e"))
	if err != nil {
		t.Fatal(err)
	}
	for what, is := range map[string][2]string{
		"Nodes":         {names(g.Nodes()), "a b d e c"},
		"Roots":         {names(g.Roots()), "a c"},
		"Terminal":      {names(g.Terminal()), "d e c"},
		"Siblings of a": {names(g.Siblings(g.Node("a"))), "c"},
		"Siblings of e": {names(g.Siblings(g.Node("e"))), "b"},
		"Siblings of d": {names(g.Siblings(g.Node("d"))), ""},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %q, want %q", what, is[0], is[1])
		}
	}
	if d := g.Node("d"); d.InputExt != ".b" || d.OutputExt != ".d" || d.Parent != g.Node("b") {
		t.Errorf("d: %+v", d)
	}
	if a := g.Node("a"); a.InputExt != ".txt" || a.Parent != nil {
		t.Errorf("a: %+v", a)
	}
	if g.Node("f") != nil {
		t.Error("a task that is not there")
	}
}

func TestGraphFaults(t *testing.T) {
	tests := []struct {
		name  string
		tasks []string
		want  []string // part of each fault, in order
	}{
		{"none", nil, []string{"tasks: there is none: add at least one"}},
		{"no name", []string{" →.a"}, []string{"a task has no name"}},
		{"name", []string{"1 →.a"}, []string{`task "1": the name must start with a letter`}},
		{"long name", []string{strings.Repeat("a", 101) + " →.a"}, []string{"100 in all"}},
		{"one name twice", []string{"a →.a", "b →.b", "a<b →.c"}, []string{`task "a": two tasks have this name: rename one`}},
		{"unknown parent", []string{"a<c →.a", "b →.b"}, []string{`task "a": dependsOn "c": there is no such task: name one of b, or leave out dependsOn`}},
		{"unknown parent of the only task", []string{"a<c →.a"}, []string{`task "a": dependsOn "c": there is no such task: leave out dependsOn`}},
		{"parent in other letters", []string{"Load →.a", "b<load →.b"}, []string{`there is no such task; write "Load"`}},
		{"itself", []string{"a<a →.a"}, []string{`task "a": it depends on itself, by a → a`}},
		{"cycle", []string{"r →.r", "a<c →.a", "b<a →.b", "c<b →.c", "d<c →.d"}, []string{`task "a": it depends on itself, by a → c → b → a: leave out dependsOn`}},
		{"cycle found from a task that leads to it", []string{"d<c →.d", "a<c →.a", "c<a →.c"}, []string{`task "c": it depends on itself, by c → a → c`}},
		{"two cycles", []string{"a<b →.a", "b<a →.b", "c<d →.c", "d<c →.d"}, []string{`task "a"`, `task "c"`}},
		{"root extension", []string{"a .csv→.a", "b →.b"}, []string{`task "a": it expects .csv, but the inputs of the Pipeline, which tasks without dependsOn read, end in .txt`}},
		{"extension mismatch", []string{"a →.a", "b<a .txt→.b"}, []string{`task "b": it expects .txt, but task "a" that it depends on makes .a: change input.extension here or output.extension there`}},
		{"reserved", []string{"a →.err"}, []string{`task "a": output.extension ".err": .err is reserved for failed files: choose another`}},
		{"reserved in capitals", []string{"a .x.Err→.a"}, []string{`task "a": input.extension ".x.Err": .err is reserved`}},
		{"no dot", []string{"a →a"}, []string{`task "a": output.extension "a": an extension starts with a dot`}},
		{"several", []string{"a →a", "2 →.b"}, []string{`task "a"`, `task "2"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, err := New(specOf(test.tasks...))
			bad, ok := errors.AsType[*GraphError](err)
			if !ok {
				t.Fatalf("no GraphError: %v, %v", g, err)
			}
			if len(bad.Faults) != len(test.want) {
				t.Fatalf("faults %q, want %q", bad.Faults, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(bad.Faults[i].String(), want) {
					t.Errorf("%q does not say %q", bad.Faults[i].String(), want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestGraphRefusesOutputsAmongInputs(t *testing.T) {
	spec := specOf("in →.x.txt")
	spec.Output.Directory = "."
	if _, err := New(spec); err == nil || !strings.Contains(err.Error(), "would be taken for inputs") {
		t.Errorf("got %v", err)
	}
	spec.Tasks[0].Output.Extension = ".json"
	if _, err := New(spec); err != nil {
		t.Error(err)
	}
	spec.Output.Directory = strings.Repeat("x", 1024)
	if _, err := New(spec); err == nil || !strings.Contains(err.Error(), "choose a shorter output.directory") {
		t.Errorf("got %v", err)
	}
}

// Whatever the connections, either every task comes once and after its parent, or there is a fault.
func FuzzGraph(f *testing.F) {
	f.Add(uint64(1), 5, 0)
	f.Add(uint64(2), 64, 3)
	f.Fuzz(func(t *testing.T, seed uint64, n, unknown int) {
		n, unknown = 1+abs(n)%64, abs(unknown)%4
		random := rand.New(rand.NewPCG(seed, 0))
		var tasks []string
		for i := range n {
			text := fmt.Sprintf("t%d", i)
			if random.IntN(4) > 0 {
				text += fmt.Sprintf("<t%d", random.IntN(n+unknown))
			}
			tasks = append(tasks, text+" →.x")
		}
		checkGraph(t, specOf(tasks...))
	})
}

func checkGraph(t *testing.T, spec *v1alpha1.PipelineSpec) {
	t.Helper()
	g, err := New(spec)
	if err != nil {
		if bad, ok := errors.AsType[*GraphError](err); !ok || len(bad.Faults) == 0 {
			t.Errorf("an error without a fault: %v", err)
		}
		return
	}
	if len(g.Nodes()) != len(spec.Tasks) {
		t.Fatalf("%d of %d tasks", len(g.Nodes()), len(spec.Tasks))
	}
	for i, node := range g.Nodes() {
		if node.Parent != nil && !slices.Contains(g.Nodes()[:i], node.Parent) {
			t.Errorf("%s comes before its parent", node.Task.Name)
		}
	}
}

func abs(n int) int {
	if n < 0 {
		n = -(n + 1)
	}
	return n
}
