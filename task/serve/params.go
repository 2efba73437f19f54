package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/task/protocol"
)

// reserved names belong to the options that tasks of one kind or another have: its author chooses the kind later, with Main.
var reserved = []string{
	"input_dir", "output_dir", "input_ext", "output_ext", "task_name",
	"max_workers", "cpus", "memory", "time", "gpus", "concurrency_limit", "sbatch_option", "setup_command", "help",
}

var paramName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

type param struct {
	field    reflect.Value
	fallback string // the default tag
	help     string
	required bool
}

type params struct {
	task string // name of the task's type
	all  map[string]param
	// order is that of the fields.
	order []string
}

// paramsOf finds the tagged fields of the struct that pointer leads to, those of embedded structs too.
func paramsOf(pointer any) (*params, error) {
	v := reflect.ValueOf(pointer).Elem()
	all := map[string]param{}
	var order []string
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, tagged := f.Tag.Lookup("param")
		if !tagged {
			continue
		}
		_, twice := all[name]
		switch {
		case !f.IsExported():
			return nil, fmt.Errorf("field %s has a param tag but is not exported: begin its name with a capital letter", f.Name)
		case !paramName.MatchString(name):
			return nil, fmt.Errorf("field %s: param name %q must be letters, digits and underscores", f.Name, name)
		case slices.Contains(reserved, name):
			return nil, fmt.Errorf("field %s: param name %q is reserved for an option of the engine: rename it", f.Name, name)
		case twice:
			return nil, fmt.Errorf("field %s: param %q is there twice", f.Name, name)
		case expected(f.Type) == "":
			return nil, fmt.Errorf("field %s: a param cannot be a %s", f.Name, f.Type)
		}
		field, err := v.FieldByIndexErr(f.Index)
		if err != nil {
			return nil, fmt.Errorf("field %s: params cannot come from an embedded pointer", f.Name)
		}
		fallback, optional := f.Tag.Lookup("default")
		order = append(order, name)
		all[name] = param{field: field, fallback: fallback, help: f.Tag.Get("help"), required: !optional && f.Type.Kind() != reflect.Bool}
		if optional && !setDefault(field, fallback) {
			return nil, fmt.Errorf("field %s: default %q is not %s", f.Name, fallback, expected(f.Type))
		}
	}
	return &params{task: v.Type().Name(), all: all, order: order}, nil
}

// set gives every param the value that the Task has for it; null counts as none.
func (ps *params) set(given map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := ps.all[name]; !known {
			return ps.unknown(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ps.all)) {
		p := ps.all[name]
		raw, has := given[name]
		if !has || string(raw) == "null" {
			if p.required {
				return fmt.Errorf("param %q is required: set it under params", name)
			}
			continue
		}
		if !setJSON(p.field, raw) {
			return fmt.Errorf("param %q must be %s: it is %s", name, expected(p.field.Type()), protocol.Head(string(raw), 60))
		}
	}
	return nil
}

func (ps *params) unknown(name string) error {
	if len(ps.all) == 0 {
		return fmt.Errorf("unknown param %q: %s has none", name, ps.task)
	}
	return fmt.Errorf("unknown param %q: known are %s", name, strings.Join(slices.Sorted(maps.Keys(ps.all)), ", "))
}

// expected words what a value of the type looks like; it is empty for types that no param can have.
func expected(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return `a duration such as "1m30s"`
	}
	switch t.Kind() {
	case reflect.String:
		return "text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "an integer"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "an integer, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		if element := expected(t.Elem()); element != "" && t.Elem().Kind() != reflect.Slice {
			return "a list (" + element + ")"
		}
	}
	return ""
}
