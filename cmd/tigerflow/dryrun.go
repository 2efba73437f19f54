package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/embedded"
	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/pipeline"
	"tigerflow.dev/tigerflow/slurmbridge"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

// shownFiles is how many names a dry run shows.
const shownFiles = 10

// dryRun says what would be run, if a control plane takes the objects as they are.
func dryRun(ctx context.Context, out io.Writer, objects []*unstructured.Unstructured, path string) error {
	if err := admit(ctx, objects, path); err != nil {
		return err
	}
	for i, u := range objects {
		if i > 0 {
			fmt.Fprintln(out)
		}
		var err error
		if u.GetKind() == kindTask {
			err = dryRunTask(ctx, out, u)
		} else {
			err = dryRunPipeline(ctx, out, u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// admit has a control plane take the objects that does nothing about them, and ends with them.
func admit(ctx context.Context, objects []*unstructured.Unstructured, path string) (err error) {
	embedded.Quiet(logr.FromContextOrDiscard(ctx))
	crds, err := crd.All()
	if err != nil {
		return err
	}
	control, err := embedded.Start(ctx, embedded.Options{CRDs: crds})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, control.Stop()) }()
	c, err := client.New(control.RESTConfig(), client.Options{Scheme: newScheme()})
	if err != nil {
		return err
	}
	for _, u := range objects {
		if err := create(ctx, c, u, path); err != nil {
			return err
		}
	}
	return nil
}

func dryRunTask(ctx context.Context, out io.Writer, u *unstructured.Unstructured) error {
	var t v1alpha1.Task
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &t); err != nil {
		return cli.UsageError{Err: fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)}
	}
	fmt.Fprintf(out, "Task %s in %s\n", t.Name, t.Spec.Workspace.Path)
	if err := planTasks(out, []*v1alpha1.Task{&t}); err != nil {
		return err
	}
	if err := planInputs(ctx, out, &t, nil); err != nil {
		return err
	}
	return planJobs(out, []*v1alpha1.Task{&t})
}

func dryRunPipeline(ctx context.Context, out io.Writer, u *unstructured.Unstructured) error {
	var p v1alpha1.Pipeline
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p); err != nil {
		return cli.UsageError{Err: fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)}
	}
	g, err := pipeline.New(&p.Spec)
	if err != nil {
		return cli.UsageError{Err: fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)}
	}
	tasks := g.Tasks(&p)
	fmt.Fprintf(out, "Pipeline %s in %s\n", p.Name, p.Spec.Workspace.Path)
	if err := planTasks(out, tasks); err != nil {
		return err
	}
	lead := tasks[slices.IndexFunc(tasks, func(t *v1alpha1.Task) bool { return t.Spec.Pipeline.Lead != nil })]
	if err := planInputs(ctx, out, lead, pipeline.Steps(p.Spec.Staging)); err != nil {
		return err
	}
	return planJobs(out, tasks)
}

// planJobs is what would be handed to sbatch for the first worker of each Slurm task.
func planJobs(out io.Writer, tasks []*v1alpha1.Task) error {
	for _, t := range tasks {
		s, err := task.Preview(t)
		if err != nil {
			return cli.UsageError{Err: fmt.Errorf("task %s: %w", t.DisplayName(), err)}
		}
		if t.Spec.Type != v1alpha1.TaskSlurm {
			continue
		}
		command, script, err := slurmbridge.Preview(s, workerbin.Name)
		if err != nil {
			return cli.UsageError{Err: fmt.Errorf("task %s: %w", t.DisplayName(), err)}
		}
		fmt.Fprintf(out, "\nTask %s: %s <<'EOF'\n%sEOF\n", t.DisplayName(), command, script)
	}
	return nil
}

// planTasks is a table of what each task runs, and on what.
func planTasks(out io.Writer, tasks []*v1alpha1.Task) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "TASK\tTYPE\tWORKERS\tRUNS\tREADS\tWRITES")
	for _, t := range tasks {
		s := &t.Spec
		writes := filepath.Join(s.Output.Directory, "*"+s.Output.Extension)
		if s.Pipeline != nil && s.Pipeline.OutputPolicy == v1alpha1.RetentionDelete {
			writes += " (until they are read)"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", t.DisplayName(), s.Type, s.WorkersWithinLimit(), runsOf(&s.Handler),
			filepath.Join(s.Input.Directory, "*"+s.Input.Extension), writes)
	}
	return w.Flush()
}

func runsOf(h *v1alpha1.Handler) string {
	switch {
	case h.Python != nil:
		return h.Python.PythonInterpreter() + " " + h.Python.Module
	case h.Program != nil:
		return strings.Join(append([]string{h.Program.Path}, h.Program.Args...), " ")
	case h.Builtin != "":
		return h.Builtin
	}
	return strings.Join(h.Command, " ")
}

// planInputs says which inputs would be taken first: those that no result and no record tells of.
func planInputs(ctx context.Context, out io.Writer, first *v1alpha1.Task, steps []staging.Step) error {
	s := &first.Spec
	dir, output := directory(&s.Workspace, s.Input.Directory), directory(&s.Workspace, s.Output.Directory)
	settled, err := settledOf(first, output)
	if err != nil {
		return err
	}
	var names []string
	err = eachFile(dir, s.Input.Extension, s.Input.Recursive != nil && *s.Input.Recursive, func(stem string) {
		name := stem + s.Input.Extension
		if !settled[spool.Name(name)] && !there(output, spool.OutputName(stem, s.Output.Extension)) && !there(output, spool.ErrName(stem)) {
			names = append(names, name)
		}
	})
	if err != nil {
		return cli.UsageError{Err: fmt.Errorf("the input directory: %w", err)}
	}
	slices.Sort(names)
	fmt.Fprintf(out, "%s in %s to be processed\n", plural(int64(len(names)), "file", "files"), dir)
	if len(steps) > 0 {
		if names, err = planStaging(ctx, out, dir, names, steps); err != nil {
			return err
		}
	}
	for _, name := range names[:min(len(names), shownFiles)] {
		fmt.Fprintf(out, "  %s\n", name)
	}
	if more := len(names) - shownFiles; more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	return nil
}

// settledOf is the inputs that the records of a Task call done or failed.
func settledOf(t *v1alpha1.Task, output string) (map[spool.Name]bool, error) {
	records := output
	if t.Spec.Pipeline != nil {
		records = directory(&t.Spec.Workspace, t.Spec.Pipeline.Directory)
	}
	s, err := spool.Open(spool.Dir(records, t.DisplayName()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	settled := map[spool.Name]bool{}
	return settled, s.History().Read(func(e spool.Entry) error {
		for _, name := range e.Done {
			settled[name] = true
		}
		if e.Kind == spool.EntryFailed {
			settled[e.File] = true
		}
		if e.Kind == spool.EntryRequeued {
			for _, name := range e.Back {
				delete(settled, name)
			}
		}
		return nil
	})
}

// planStaging carries out the steps before the first callable, as if no file had been staged before.
func planStaging(ctx context.Context, out io.Writer, dir string, names []string, steps []staging.Step) ([]string, error) {
	callable := slices.IndexFunc(steps, func(s staging.Step) bool { return s.Callable != "" })
	rest := ""
	if callable >= 0 {
		rest = fmt.Sprintf(", before %s chooses", steps[callable].Callable)
		steps = steps[:callable]
	}
	compiled, err := staging.Compile(steps)
	if err != nil {
		return nil, cli.UsageError{Err: err}
	}
	chosen, err := compiled.Choose(ctx, names, staging.View{Now: time.Now(), Folder: folder(dir)})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%s would be staged first%s\n", plural(int64(len(chosen)), "file", "files"), rest)
	return chosen, nil
}

func there(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}

// folder is an input directory as the staging steps see it.
type folder string

// Stat looks at a file.
func (f folder) Stat(name string) (staging.Info, error) {
	info, err := os.Stat(filepath.Join(string(f), name))
	if err != nil {
		return staging.Info{}, err
	}
	return staging.Info{Size: info.Size(), MTime: info.ModTime()}, nil
}

// IsFile reports whether there is a regular file, or a link to one.
func (f folder) IsFile(name string) bool { return isFile(filepath.Join(string(f), name)) }
