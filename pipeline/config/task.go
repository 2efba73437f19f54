package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const (
	defaultOutputExt = ".out"
	maxConcurrency   = 1000
	maxWorkers       = 1000
)

// task reads one item of tasks.
func (r *reader) task(n *yaml.Node) v1alpha1.PipelineTask {
	m := r.mapping(n, "a task")
	task := v1alpha1.PipelineTask{Name: m.required("name")}
	m.what = fmt.Sprintf("task %q", task.Name)
	if m.line == 0 || n.Kind != yaml.MappingNode {
		return task
	}
	task.DependsOn = m.text("depends_on")
	task.Input = &v1alpha1.PipelineTaskFiles{Extension: m.required("input_ext")}
	task.Output.Extension = defaultOutputExt
	if ext := m.text("output_ext"); ext != "" {
		task.Output.Extension = ext
	}
	if !m.flag("keep_output", true) {
		task.OutputPolicy = v1alpha1.RetentionDelete
	}
	task.Handler.Python = &v1alpha1.PythonHandler{Module: r.module(m.required("module"))}
	task.Params = r.params(m)
	task.SetupCommands = r.commands(m)
	r.kind(m, &task)
	m.rest()
	return task
}

// kind reads what only one kind of task has.
func (r *reader) kind(m *mapping, task *v1alpha1.PipelineTask) {
	line := m.lines["kind"]
	switch kind := m.required("kind"); kind {
	case "local":
		task.Type = v1alpha1.TaskLocal
	case "local_async":
		task.Type = v1alpha1.TaskLocalAsync
		if m.values["concurrency_limit"] == nil {
			r.fault(m.line, "%s: concurrency_limit is missing: kind local_async needs it", m.what)
		}
		task.LocalAsync = &v1alpha1.LocalAsync{Concurrency: int32(m.number("concurrency_limit", 1, maxConcurrency, 1))}
	case "slurm":
		task.Type = v1alpha1.TaskSlurm
		r.slurm(m, task)
	case "":
	default:
		r.fault(line, "%s: kind %q: write local, local_async or slurm", m.what, kind)
	}
}

// module is the path of a module as the Pipeline has it, or its dotted name as it stands.
func (r *reader) module(module string) string {
	if !strings.HasSuffix(module, ".py") {
		return module
	}
	o := &r.options
	beside := filepath.Join(filepath.Dir(o.File), module)
	if o.Exists != nil && !filepath.IsAbs(module) && !o.Exists(absolute(o.WorkDir, module)) && o.Exists(absolute(o.WorkDir, beside)) {
		module = beside
	}
	return r.directory(module)
}

// params reads the parameters. TigerFlow hands them over as options --NAME, in which - and _ are the same.
func (r *reader) params(m *mapping) map[string]apiextensionsv1.JSON {
	n := m.take("params")
	if n == nil {
		return nil
	}
	values := r.mapping(n, m.what+": params")
	params := make(map[string]apiextensionsv1.JSON, len(values.values))
	for name := range values.values {
		line := values.lines[name]
		value := deref(values.values[name])
		if value.Tag == "!!null" {
			r.warn(line, "%s: params: %s has no value and counts as not given", m.what, name)
			continue
		}
		raw, err := r.param(value)
		if err != nil {
			r.fault(line, "%s: params: %s: %s", m.what, name, err)
			continue
		}
		name = strings.ReplaceAll(name, "-", "_")
		params[name] = apiextensionsv1.JSON{Raw: raw}
		one := v1alpha1.TaskTemplate{Params: map[string]apiextensionsv1.JSON{name: params[name]}}
		if _, err := one.DecodeParams(); err != nil {
			r.fault(line, "%s: %s", m.what, strings.TrimPrefix(err.Error(), "spec."))
		}
	}
	return params
}

// param is a value in JSON. Numbers stay as they are written.
func (r *reader) param(n *yaml.Node) ([]byte, error) {
	switch {
	case n.Kind == yaml.SequenceNode:
		items := make([]json.RawMessage, 0, len(n.Content))
		for _, item := range n.Content {
			item = deref(item)
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
				return nil, fmt.Errorf("%s is no item of a list: give texts, numbers, true and false", kindOf(item))
			}
			raw, err := r.param(item)
			if err != nil {
				return nil, err
			}
			items = append(items, raw)
		}
		return json.Marshal(items)
	case n.Kind != yaml.ScalarNode:
		return nil, fmt.Errorf("%s is no value: give a text, a number, true, false, or a list of these", kindOf(n))
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return json.Marshal(n.Value)
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		return []byte("true"), nil
	case "false", "no", "off":
		return []byte("false"), nil
	}
	if n.Tag == "!!int" || n.Tag == "!!float" {
		return number(n.Value)
	}
	return json.Marshal(n.Value)
}

// number is a number in JSON. What JSON has not, and what an object would round or refuse, is handed over as text, which
// tasks read as they read a command line.
func number(text string) ([]byte, error) {
	if infinite, ok := infinities[strings.ToLower(strings.TrimPrefix(text, "+"))]; ok {
		return json.Marshal(infinite)
	}
	whole, err := strconv.ParseInt(text, 0, 64)
	_, tooLarge := strconv.ParseFloat(text, 64)
	switch fraction := strings.ContainsAny(text, ".eE"); {
	case json.Valid([]byte(text)) && (err == nil || fraction && tooLarge == nil):
		return []byte(text), nil
	case err == nil:
		return json.Marshal(whole)
	}
	return json.Marshal(text)
}

// infinities are what YAML has and JSON has not, as command lines spell them.
var infinities = map[string]string{".inf": "inf", "-.inf": "-inf", ".nan": "nan"}

// commands reads setup_commands: a list, or a text with one command a line, as the first releases had it.
func (r *reader) commands(m *mapping) []string {
	n := m.take("setup_commands")
	if n == nil {
		return nil
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = r.sequence(n, n.Line, "setup_commands")
	}
	var commands []string
	for _, item := range items {
		if item.Kind != yaml.ScalarNode {
			r.fault(item.Line, "%s: setup_commands: a command is a text, and this is %s", m.what, kindOf(item))
			continue
		}
		text := strings.ReplaceAll(item.Value, "\\\n", " ")
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				commands = append(commands, line)
			}
		}
	}
	return commands
}
