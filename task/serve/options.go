package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/task/cmdline"
)

// Options is the params of a task as options of its command line, in the order of its fields. The error is the author's
// mistake.
func Options[T Runner]() ([]cmdline.Option, error) {
	task := newInstance[T]()
	if err := task.check(); err != nil {
		return nil, err
	}
	ps, err := paramsOf(task.pointer)
	if err != nil {
		return nil, err
	}
	var options []cmdline.Option
	for _, name := range ps.order {
		p := ps.all[name]
		t := p.field.Type()
		o := cmdline.Option{Name: name, Help: p.help, Required: p.required, Default: p.fallback, Param: true}
		if t.Kind() == reflect.Slice {
			o.Repeated, t = true, t.Elem()
		}
		o.Metavar = metavar(t)
		if t.Kind() == reflect.Bool {
			if o.Default = ""; p.field.Bool() { // it can be switched off only by a value
				o.Default = "true"
			}
		}
		options = append(options, o)
	}
	return options, nil
}

func metavar(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return cmdline.Flag
	case reflect.Float32, reflect.Float64:
		return cmdline.Float
	case reflect.String:
		return cmdline.Text
	default:
		if t == reflect.TypeFor[time.Duration]() {
			return cmdline.Text
		}
		return cmdline.Integer
	}
}

// Params is what a command line gives of the params, as a worker passes them on. Their kinds are checked by Check.
func Params(options []cmdline.Option, values cmdline.Values) (map[string]json.RawMessage, error) {
	params := map[string]json.RawMessage{}
	for _, o := range options {
		if !o.Param || !values.Has(o.Name) {
			continue
		}
		var value any = values.Get(o.Name)
		if o.Repeated {
			value = values[o.Name]
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		params[o.Name] = text
	}
	return params, nil
}

// Check reports, in one line, the first of the params that the task does not take.
func Check[T Runner](given map[string]json.RawMessage) error {
	ps, err := paramsOf(new(T))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p, known := ps.all[name]
		if !known {
			return ps.unknown(name)
		}
		if !setJSON(p.field, given[name]) {
			return cmdline.Invalid(cmdline.Option{Name: name}, fmt.Sprintf("it must be %s, and is %s", expected(p.field.Type()), given[name]))
		}
	}
	return nil
}
