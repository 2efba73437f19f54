// Package config reads TigerFlow's own config.yaml, of any of its releases, and says as a Pipeline what it asks for.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/pipeline"
)

// DefaultIdle is how long TigerFlow waits for new files before it ends.
const DefaultIdle = 10 * time.Minute

// Options are what TigerFlow takes from its command line.
type Options struct {
	// File is the path of the configuration, for messages and the default of Name.
	File string
	// Name is that of the Pipeline. Default: that of the file, or of its folder if the file is called config.
	Name string
	// WorkDir is the absolute current folder, in which TigerFlow runs tasks: relative paths are relative to it.
	WorkDir string
	// InputDir and OutputDir are the two folders.
	InputDir, OutputDir string
	// Idle is how long the Pipeline stays open without work.
	Idle time.Duration
	// WorkerIdle is how long a Slurm worker waits for work before it leaves. 0 is the usual.
	WorkerIdle time.Duration
	// DeleteInput removes inputs that are finished.
	DeleteInput bool
	// Exists reports whether there is a file; nil finds none. A module is looked for in WorkDir, as TigerFlow does, and
	// then beside the configuration.
	Exists func(path string) bool
}

// Error is what is wrong with a configuration: single lines that begin with file and line.
type Error struct {
	Faults []string
}

func (e *Error) Error() string { return strings.Join(e.Faults, "; ") }

// Is tells a TigerFlow configuration from a manifest of objects: it has tasks, and no apiVersion. What is no YAML is neither.
func Is(data []byte) bool {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return false
	}
	keys := map[string]bool{}
	for i := 0; i < len(doc.Content[0].Content); i += 2 {
		keys[doc.Content[0].Content[i].Value] = true
	}
	return keys["tasks"] && !keys["apiVersion"] && !keys["kind"]
}

// Read makes the Pipeline of a configuration. Warnings are about what TigerFlow passes over in silence, such as unknown
// keys. The error is an *Error.
func Read(data []byte, o Options) (p *v1alpha1.Pipeline, warnings []string, err error) {
	r := &reader{options: o}
	var doc, second yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(data))
	if err := documents.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, &Error{Faults: []string{r.syntax(err)}}
	}
	if err := documents.Decode(&second); err == nil {
		return nil, nil, &Error{Faults: []string{r.at(second.Line, "a second document begins here: a configuration is one, leave out the --- before it")}}
	} else if !errors.Is(err, io.EOF) {
		return nil, nil, &Error{Faults: []string{r.syntax(err)}}
	}
	if len(doc.Content) == 0 {
		return nil, nil, &Error{Faults: []string{o.File + ": it is empty: a configuration has tasks"}}
	}
	p = r.pipeline(doc.Content[0])
	if len(r.faults) == 0 {
		r.check(p)
	}
	if len(r.faults) > 0 {
		return nil, r.warnings, &Error{Faults: r.faults}
	}
	return p, r.warnings, nil
}

// reader gathers what is wrong and what is strange.
type reader struct {
	options  Options
	lines    map[string]int // of the tasks, by name
	faults   []string
	warnings []string
}

func (r *reader) at(line int, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", r.options.File, line) + fmt.Sprintf(format, args...)
}

func (r *reader) fault(line int, format string, args ...any) {
	r.faults = append(r.faults, r.at(line, format, args...))
}

func (r *reader) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, r.at(line, format, args...))
}

// syntax says in one line where the YAML is broken.
func (r *reader) syntax(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.Replace(text, "found character that cannot start any token", "a tab, @, % or a backquote begins a text here: indent with spaces, and quote such texts", 1)
	if broken, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = strings.Join(broken.Errors, ", ")
	}
	if line, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && line != text {
		return fmt.Sprintf("%s:%s: %s", r.options.File, line, strings.ReplaceAll(rest, "\n", " "))
	}
	return fmt.Sprintf("%s: %s", r.options.File, strings.ReplaceAll(text, "\n", " "))
}

func (r *reader) pipeline(n *yaml.Node) *v1alpha1.Pipeline {
	o := &r.options
	p := &v1alpha1.Pipeline{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Pipeline"},
		ObjectMeta: metav1.ObjectMeta{Name: cmp.Or(o.Name, nameOf(absolute(o.WorkDir, o.File)))},
		Spec: v1alpha1.PipelineSpec{
			Workspace:         v1alpha1.Workspace{Path: o.WorkDir},
			Input:             v1alpha1.FileSet{Directory: r.directory(o.InputDir)},
			Output:            v1alpha1.PipelineOutput{Directory: r.directory(o.OutputDir)},
			CompleteAfterIdle: &metav1.Duration{Duration: o.Idle},
		},
	}
	if o.DeleteInput {
		p.Spec.InputPolicy = v1alpha1.RetentionDelete
	}
	m := r.mapping(n, "the configuration")
	if steps := m.take("staging"); steps != nil {
		p.Spec.Staging = r.staging(steps)
	}
	tasks := m.take("tasks")
	m.rest()
	items := r.sequence(tasks, n.Line, "tasks")
	r.lines = map[string]int{}
	for _, item := range items {
		task := r.task(item)
		p.Spec.Tasks = append(p.Spec.Tasks, task)
		if _, seen := r.lines[task.Name]; !seen {
			r.lines[task.Name] = item.Line
		}
	}
	if len(items) == 0 && len(r.faults) == 0 {
		r.fault(n.Line, "tasks: there is none: add at least one")
	}
	for _, task := range p.Spec.Tasks {
		if task.DependsOn == "" && task.Input != nil {
			p.Spec.Input.Extension = task.Input.Extension
			break
		}
	}
	return p
}

// check has the graph checked, and says in the words of the configuration what is wrong.
func (r *reader) check(p *v1alpha1.Pipeline) {
	if p.Spec.Input.Extension == "" { // every task has a parent
		p.Spec.Input.Extension = p.Spec.Tasks[0].Input.Extension
	}
	_, err := pipeline.New(&p.Spec)
	bad, ok := errors.AsType[*pipeline.GraphError](err)
	if !ok {
		return
	}
	words := strings.NewReplacer("dependsOn", "depends_on", "input.extension", "input_ext", "output.extension", "output_ext", "output.directory", "OUTPUT_DIR")
	for _, fault := range bad.Faults {
		if fault.Task == "" && strings.HasPrefix(fault.Message, "input.extension") {
			continue // it is that of the first root, which is told
		}
		r.fault(r.lines[fault.Task], "%s", words.Replace(fault.String()))
	}
}

// directory is a folder as a Pipeline may have it, which is without "..".
func (r *reader) directory(dir string) string {
	if slices.Contains(strings.Split(filepath.ToSlash(dir), "/"), "..") {
		return filepath.Join(r.options.WorkDir, dir)
	}
	return filepath.Clean(dir)
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// nameOf makes a name of an object from the path of a configuration.
func nameOf(file string) string {
	base := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	if base == "config" {
		base = strings.Trim(filepath.Base(filepath.Dir(file)), "./")
	}
	var b strings.Builder
	for _, c := range strings.ToLower(base) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	name := b.String()
	return cmp.Or(strings.TrimRight(name[:min(len(name), 40)], "-"), "pipeline")
}
