// Package pipeline works out what a Pipeline means: whether its tasks fit together, in which order files go through them,
// and which Tasks run it. It decides from the spec alone and touches neither files nor an API server.
package pipeline

import (
	"slices"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// Graph is the tasks of a valid Pipeline, connected. Every task has at most one parent, so that each input file leads to
// exactly one file of every task.
type Graph struct {
	spec  *v1alpha1.PipelineSpec
	nodes []*Node // each after its parent, and before the next root: the order in which a reader follows them
	named map[string]*Node
}

// Node is a task in its place in the graph.
type Node struct {
	Task     *v1alpha1.PipelineTask
	Parent   *Node   // nil for a root, which reads the inputs of the Pipeline
	Children []*Node // the tasks that read its outputs; none for a terminal task

	// InputExt and OutputExt are what its inputs and outputs end in.
	InputExt, OutputExt string
}

// New connects the tasks of a Pipeline, or returns a *GraphError with all that keeps them from fitting together.
func New(spec *v1alpha1.PipelineSpec) (*Graph, error) {
	g := &Graph{spec: spec, named: map[string]*Node{}}
	c := checker{spec: spec}
	c.files()
	for i := range spec.Tasks {
		task := &spec.Tasks[i]
		c.task(task, g.named[task.Name] != nil)
		if g.named[task.Name] == nil {
			g.named[task.Name] = &Node{Task: task, OutputExt: task.Output.Extension}
		}
	}
	if len(c.faults) > 0 { // what follows from a wrong name says nothing new
		return nil, &GraphError{Faults: c.faults}
	}
	for i := range spec.Tasks {
		g.connect(&c, g.named[spec.Tasks[i].Name])
	}
	for i := range spec.Tasks {
		if node := g.named[spec.Tasks[i].Name]; node.Parent == nil {
			g.arrange(node)
		}
	}
	c.cycles(g)
	if len(c.faults) > 0 {
		return nil, &GraphError{Faults: c.faults}
	}
	return g, nil
}

// connect finds the parent of a task and checks that the two fit.
func (g *Graph) connect(c *checker, node *Node) {
	task := node.Task
	from := task.DependsOn
	node.InputExt = g.spec.Input.Extension
	if from != "" {
		parent := g.named[from]
		if parent == nil {
			c.unknownParent(task, g.named)
			return
		}
		node.Parent, node.InputExt = parent, parent.OutputExt
		parent.Children = append(parent.Children, node)
	}
	if task.Input != nil && task.Input.Extension != node.InputExt {
		c.mismatch(node)
	}
}

// arrange puts a task and all that build on it in order.
func (g *Graph) arrange(node *Node) {
	g.nodes = append(g.nodes, node)
	for _, child := range node.Children {
		g.arrange(child)
	}
}

// Nodes are all tasks, each after its parent.
func (g *Graph) Nodes() []*Node { return g.nodes }

// Node is the task of a name; nil if there is none.
func (g *Graph) Node(name string) *Node { return g.named[name] }

// Roots are the tasks that read the inputs of the Pipeline.
func (g *Graph) Roots() []*Node {
	return g.where(func(n *Node) bool { return n.Parent == nil })
}

// Terminal are the tasks whose outputs no other task reads. A file is finished when all of them have succeeded on it.
func (g *Graph) Terminal() []*Node {
	return g.where(func(n *Node) bool { return len(n.Children) == 0 })
}

func (g *Graph) where(keep func(*Node) bool) []*Node {
	var nodes []*Node
	for _, node := range g.nodes {
		if keep(node) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// Siblings are the other tasks that read the same files.
func (g *Graph) Siblings(node *Node) []*Node {
	all := g.Roots()
	if node.Parent != nil {
		all = slices.Clone(node.Parent.Children)
	}
	return slices.DeleteFunc(all, func(n *Node) bool { return n == node })
}
