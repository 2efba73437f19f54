package config

import (
	"math"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/pipeline"
	"tigerflow.dev/tigerflow/staging"
)

const (
	maxCount = 1_000_000_000
	maxBytes = 1 << 60
)

var function = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*:[a-zA-Z_][a-zA-Z0-9_]*$`)

// staging reads staging.steps.
func (r *reader) staging(n *yaml.Node) []v1alpha1.StagingStep {
	m := r.mapping(n, "staging")
	steps := m.take("steps")
	m.rest()
	if steps == nil {
		return nil
	}
	var all []v1alpha1.StagingStep
	for _, item := range r.sequence(steps, n.Line, "staging.steps") {
		all = append(all, r.step(item))
	}
	return all
}

// kinds are the steps and how each is read.
var kinds = map[string]func(r *reader, m *mapping, step *v1alpha1.StagingStep){
	"min_size": func(_ *reader, m *mapping, step *v1alpha1.StagingStep) { step.MinSize = m.size() },
	"max_size": func(_ *reader, m *mapping, step *v1alpha1.StagingStep) { step.MaxSize = m.size() },
	"min_age":  func(r *reader, m *mapping, step *v1alpha1.StagingStep) { step.MinAge = r.age(m) },
	"filename_match": func(r *reader, m *mapping, step *v1alpha1.StagingStep) {
		line := m.lines["pattern"]
		step.FilenameMatch = m.required("pattern")
		if _, err := staging.CompilePattern(step.FilenameMatch); err != nil {
			r.fault(line, "%s: %s", m.what, err)
		}
	},
	"companion_file": func(r *reader, m *mapping, step *v1alpha1.StagingStep) {
		line := m.lines["ext"]
		step.CompanionFile = m.required("ext")
		if fault := pipeline.CheckExtension(step.CompanionFile); fault != "" && step.CompanionFile != "" {
			r.fault(line, "%s: ext %q: %s", m.what, step.CompanionFile, fault)
		}
	},
	"max_staged": func(_ *reader, m *mapping, step *v1alpha1.StagingStep) { step.MaxStaged = m.count() },
	"max_batch":  func(_ *reader, m *mapping, step *v1alpha1.StagingStep) { step.MaxBatch = m.count() },
	"sort_by":    func(r *reader, m *mapping, step *v1alpha1.StagingStep) { step.SortBy = r.sortBy(m) },
	"callable": func(r *reader, m *mapping, step *v1alpha1.StagingStep) {
		line := m.lines["function"]
		step.Callable = m.required("function")
		if step.Callable != "" && !function.MatchString(step.Callable) {
			r.fault(line, "%s: function %q: write MODULE:FUNCTION", m.what, step.Callable)
		}
	},
}

func (r *reader) step(n *yaml.Node) (step v1alpha1.StagingStep) {
	m := r.mapping(n, "a step of staging")
	if deref(n).Kind != yaml.MappingNode {
		return step
	}
	line := m.lines["kind"]
	kind := m.required("kind")
	read := kinds[kind]
	if read == nil {
		if kind != "" {
			r.fault(line, "staging: kind %q: write min_size, max_size, min_age, filename_match, companion_file, max_staged, max_batch, sort_by or callable", kind)
		}
		return step
	}
	m.what = "staging: " + kind
	read(r, m, &step)
	m.rest()
	return step
}

func (m *mapping) size() *resource.Quantity {
	return resource.NewQuantity(m.requiredNumber("bytes", maxBytes), resource.DecimalSI)
}

func (m *mapping) count() int64 { return m.requiredNumber("count", maxCount) }

func (m *mapping) requiredNumber(key string, most int64) int64 {
	if m.values[key] == nil {
		m.r.fault(m.line, "%s: %s is missing", m.what, key)
	}
	return m.number(key, 1, most, 1)
}

// age reads seconds, which may have a fraction. Less than a millisecond is one.
func (r *reader) age(m *mapping) *metav1.Duration {
	line := m.lines["seconds"]
	text := m.required("seconds")
	seconds, err := strconv.ParseFloat(text, 64)
	if text != "" && (err != nil || !(seconds > 0 && seconds <= 8760*3600)) {
		r.fault(line, "%s: seconds: give a number that is more than 0 and at most a year, not %q", m.what, text)
		return nil
	}
	return &metav1.Duration{Duration: time.Duration(math.Ceil(seconds*1000)) * time.Millisecond}
}

func (r *reader) sortBy(m *mapping) *v1alpha1.SortBy {
	line := m.lines["key"]
	by := new(v1alpha1.SortBy)
	switch key := m.text("key"); key {
	case "", "name":
		by.Key = v1alpha1.SortByName
	case "size":
		by.Key = v1alpha1.SortBySize
	case "mtime":
		by.Key = v1alpha1.SortByMTime
	default:
		r.fault(line, "%s: key %q: write name, size or mtime", m.what, key)
	}
	if m.flag("reverse", false) {
		reverse := true
		by.Reverse = &reverse
	}
	return by
}
