package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/spool"
)

const (
	maxName  = 63 // of a Task, whose name becomes a label
	hashSize = 8  // characters
)

// TaskName is the name of the Task that runs a task of a Pipeline: NAME-TASK in the letters that names of objects may have.
// It ends in a hash of both when that lost anything, so that no two tasks get one name.
func TaskName(pipeline, task string) string {
	slug := strings.ReplaceAll(strings.ToLower(task), "_", "-")
	name := pipeline + "-" + slug
	if slug == task && len(name) <= maxName && !strings.HasSuffix(name, "-") {
		return name
	}
	sum := sha256.Sum256([]byte(pipeline + "/" + task))
	hash := hex.EncodeToString(sum[:])[:hashSize]
	name = name[:min(len(name), maxName-1-hashSize)]
	return strings.TrimRight(name, "-.") + "-" + hash
}

// OutputDir is where the outputs of a task go: a directory of its name in that of the Pipeline, or among the records if
// they are removed again.
func OutputDir(spec *v1alpha1.PipelineSpec, task *v1alpha1.PipelineTask) string {
	if task.DeletesOutputs() {
		return spool.OutputsDir(spec.Output.Directory, task.Name)
	}
	return path.Join(spec.Output.Directory, task.Name)
}

// Tasks are the objects that run the Pipeline, each after its parent. Applying them again changes nothing.
func (g *Graph) Tasks(p *v1alpha1.Pipeline) []*v1alpha1.Task {
	tasks := make([]*v1alpha1.Task, 0, len(g.nodes))
	for _, node := range g.nodes {
		tasks = append(tasks, g.task(p, node))
	}
	return tasks
}

func (g *Graph) task(p *v1alpha1.Pipeline, node *Node) *v1alpha1.Task {
	input := *g.spec.Input.DeepCopy() // what is recursive is so for all tasks: their outputs lie in folders, too
	input.Extension = node.InputExt
	if node.Parent != nil {
		input.Directory = OutputDir(g.spec, node.Parent.Task)
	}
	suspend := g.spec.IsSuspended()
	task := &v1alpha1.Task{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Task"},
		ObjectMeta: metav1.ObjectMeta{
			Name: TaskName(p.Name, node.Task.Name), Namespace: p.Namespace,
			Labels: map[string]string{v1alpha1.LabelPipeline: p.Name},
		},
		Spec: v1alpha1.TaskSpec{
			TaskTemplate: *node.Task.TaskTemplate.DeepCopy(),
			TaskName:     node.Task.Name,
			Workspace:    *g.spec.Workspace.DeepCopy(),
			Input:        input,
			Output:       v1alpha1.FileSet{Directory: OutputDir(g.spec, node.Task), Extension: node.OutputExt},
			Suspend:      &suspend,
			Pipeline:     g.part(node),
		},
	}
	if g.lead() == node { // it is complete when all are
		task.Spec.CompleteAfterIdle = g.spec.CompleteAfterIdle
	}
	return task
}

// lead is the task that counts and stages for all of the Pipeline: the first root by name, so that it stays the same one,
// with its records, in whatever order the tasks are listed.
func (g *Graph) lead() *Node {
	return slices.MinFunc(g.Roots(), func(a, b *Node) int { return strings.Compare(a.Task.Name, b.Task.Name) })
}

// part says how the Task of a node hangs together with the others.
func (g *Graph) part(node *Node) *v1alpha1.PipelinePart {
	part := &v1alpha1.PipelinePart{
		Directory: g.spec.Output.Directory, InputExtension: g.spec.Input.Extension, Children: taskNames(node.Children), Siblings: taskNames(g.Siblings(node)),
		InputPolicy: v1alpha1.RetentionRetain, OutputPolicy: v1alpha1.RetentionRetain,
	}
	if node.Parent != nil {
		part.Parent = node.Parent.Task.Name
	}
	if len(node.Children) > 0 {
		part.MaxIntermediates = g.spec.MaxIntermediates
		if node.Task.DeletesOutputs() {
			part.OutputPolicy = v1alpha1.RetentionDelete
		}
	}
	if node == g.lead() {
		part.InputPolicy = cmp.Or(g.spec.InputPolicy, v1alpha1.RetentionRetain)
		part.Lead = &v1alpha1.PipelineLead{Tasks: g.members()}
		for i := range g.spec.Staging {
			part.Lead.Staging = append(part.Lead.Staging, *g.spec.Staging[i].DeepCopy())
		}
	} else if node.Parent == nil && len(g.spec.Staging) > 0 {
		part.StagedBy = g.lead().Task.Name
	}
	return part
}

func (g *Graph) members() []v1alpha1.PipelineMember {
	members := make([]v1alpha1.PipelineMember, len(g.nodes))
	for i, node := range g.nodes {
		members[i].Name = node.Task.Name
		if node.Parent != nil {
			members[i].Parent = node.Parent.Task.Name
		}
	}
	return members
}

func taskNames(nodes []*Node) []string {
	var names []string
	for _, node := range nodes {
		names = append(names, node.Task.Name)
	}
	return names
}
