package pipeline

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// GraphError is why the tasks of a Pipeline do not fit together.
type GraphError struct {
	Faults []Fault
}

// Fault is one line about one task, with its mend.
type Fault struct {
	Task    string // its name; empty if the fault is none of a single task
	Message string
}

func (f Fault) String() string {
	if f.Task == "" {
		return f.Message
	}
	return fmt.Sprintf("task %q: %s", f.Task, f.Message)
}

func (e *GraphError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, fault := range e.Faults {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "; ")
}

// maxDirectory is the longest path that a Task takes.
const maxDirectory = 1024

var (
	taskName  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,99}$`)
	extension = regexp.MustCompile(`^(\.[a-zA-Z0-9_]+)+$`)
)

// checker gathers faults. A Pipeline from a file is checked before an API server sees it, so the rules of the schema on
// which a graph rests are here too.
type checker struct {
	spec   *v1alpha1.PipelineSpec
	faults []Fault
}

func (c *checker) fault(task, format string, args ...any) {
	c.faults = append(c.faults, Fault{Task: task, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) files() {
	if fault := CheckExtension(c.spec.Input.Extension); fault != "" {
		c.fault("", "input.extension %q: %s", c.spec.Input.Extension, fault)
	}
	if len(c.spec.Tasks) == 0 {
		c.fault("", "tasks: there is none: add at least one")
	}
}

// task checks what one task shows by itself.
func (c *checker) task(task *v1alpha1.PipelineTask, seen bool) {
	switch {
	case task.Name == "":
		c.fault("", "a task has no name: give each one")
		return
	case !taskName.MatchString(task.Name):
		c.fault(task.Name, "the name must start with a letter and go on with letters, digits, - and _, 100 in all: rename it")
		return
	case seen:
		c.fault(task.Name, "two tasks have this name: rename one")
		return
	}
	if fault := CheckExtension(task.Output.Extension); fault != "" {
		c.fault(task.Name, "output.extension %q: %s", task.Output.Extension, fault)
	}
	if task.Input != nil {
		if fault := CheckExtension(task.Input.Extension); fault != "" {
			c.fault(task.Name, "input.extension %q: %s", task.Input.Extension, fault)
		}
	}
	dir := OutputDir(c.spec, task)
	if len(dir) > maxDirectory {
		c.fault(task.Name, "the path of its outputs has more than %d characters: choose a shorter output.directory or name", maxDirectory)
	}
	if path.Clean(dir) == path.Clean(c.spec.Input.Directory) && strings.HasSuffix(task.Output.Extension, c.spec.Input.Extension) {
		c.fault(task.Name, "its outputs go into the input directory %s and would be taken for inputs: choose another output.directory", dir)
	}
}

// CheckExtension says what is wrong with an extension, and the mend; nothing if it is right.
func CheckExtension(ext string) string {
	switch {
	case !extension.MatchString(ext):
		return "an extension starts with a dot and goes on with letters, digits, _ and dots between them, such as .txt or .tar.gz"
	case strings.HasSuffix(strings.ToLower(ext), ".err"):
		return ".err is reserved for failed files: choose another"
	}
	return ""
}

func (c *checker) unknownParent(task *v1alpha1.PipelineTask, named map[string]*Node) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(named)), func(name string) bool { return name == task.Name })
	mend := "leave out dependsOn to read the inputs of the Pipeline"
	for _, name := range names {
		if strings.EqualFold(name, task.DependsOn) {
			c.fault(task.Name, "dependsOn %q: there is no such task; write %q as it is written there", task.DependsOn, name)
			return
		}
	}
	if len(names) > 0 && len(names) <= 8 {
		mend = fmt.Sprintf("name one of %s, or %s", strings.Join(names, ", "), mend)
	}
	c.fault(task.Name, "dependsOn %q: there is no such task: %s", task.DependsOn, mend)
}

func (c *checker) mismatch(node *Node) {
	task := node.Task
	if node.Parent == nil {
		c.fault(task.Name, "it expects %s, but the inputs of the Pipeline, which tasks without dependsOn read, end in %s: give all of them one extension, or name a task in dependsOn", task.Input.Extension, node.InputExt)
		return
	}
	c.fault(task.Name, "it expects %s, but task %q that it depends on makes %s: change input.extension here or output.extension there", task.Input.Extension, node.Parent.Task.Name, node.InputExt)
}

// cycles finds tasks that no root leads to, which then lead round in a circle.
func (c *checker) cycles(g *Graph) {
	done := map[*Node]bool{}
	for _, node := range g.nodes {
		done[node] = true
	}
	for i := range c.spec.Tasks {
		var path []*Node
		at := g.named[c.spec.Tasks[i].Name]
		for ; at != nil && !done[at]; at = at.Parent {
			done[at] = true
			path = append(path, at)
		}
		if start := slices.Index(path, at); start >= 0 {
			c.circle(path[start:])
		}
	}
}

func (c *checker) circle(nodes []*Node) {
	var text strings.Builder
	for _, node := range nodes {
		text.WriteString(node.Task.Name + " → ")
	}
	first := nodes[0].Task.Name
	c.fault(first, "it depends on itself, by %s%s: leave out dependsOn of the one that is to be first", &text, first)
}
