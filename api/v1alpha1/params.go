package v1alpha1

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// Bounds of spec.params, which its schema leaves open.
const (
	maxParamName  = 100
	maxParamItems = 1000
	maxParamText  = 8192
)

var (
	paramName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

	// reservedParams are the engine's own options of every task run as a command.
	reservedParams = []string{
		"input_dir", "output_dir", "input_ext", "output_ext", "task_name",
		"max_workers", "cpus", "memory", "time", "gpus", "concurrency_limit",
	}
)

// DecodeParams returns the parameters by name: a string, a json.Number, a bool, or an []any of these. A parameter that is
// null counts as not given. The error names the first parameter that breaks a rule of spec.params.
func (s *TaskTemplate) DecodeParams() (map[string]any, error) {
	params := make(map[string]any, len(s.Params))
	for _, name := range slices.Sorted(maps.Keys(s.Params)) {
		if err := checkParamName(name); err != nil {
			return nil, err
		}
		value, err := decodeParam(s.Params[name].Raw)
		if err != nil {
			return nil, fmt.Errorf("spec.params.%s: %w", name, err)
		}
		if value != nil {
			params[name] = value
		}
	}
	return params, nil
}

func checkParamName(name string) error {
	switch {
	case len(name) > maxParamName:
		return fmt.Errorf("spec.params: the name %.20q… has more than %d characters: shorten it", name, maxParamName)
	case !paramName.MatchString(name):
		return fmt.Errorf("spec.params: %q is no name: start with a letter or _ and go on with letters, digits and _", name)
	case slices.Contains(reservedParams, name):
		return fmt.Errorf("spec.params.%s: the name is reserved for the engine's own option: rename the parameter", name)
	}
	return nil
}

func decodeParam(raw []byte) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	// A number stays as it was written: float64 would change large integers.
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("decoding the value: %w", err)
	}
	items, isList := value.([]any)
	if !isList {
		return value, checkScalar(value)
	}
	if len(items) > maxParamItems {
		return nil, fmt.Errorf("a list has at most %d items: put longer ones into a file", maxParamItems)
	}
	for i, item := range items {
		if err := checkListItem(item); err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
	}
	return value, nil
}

func checkListItem(item any) error {
	switch item.(type) {
	case nil:
		return fmt.Errorf("an item must not be null: leave it out")
	case []any:
		return fmt.Errorf("a list in a list is not supported: use a list of strings, numbers and booleans")
	}
	return checkScalar(item)
}

func checkScalar(value any) error {
	switch value := value.(type) {
	case map[string]any:
		return fmt.Errorf("an object is not supported: use a string, a number, a boolean, or a list of these")
	case string:
		if len(value) > maxParamText {
			return fmt.Errorf("a string has at most %d bytes: put longer ones into a file", maxParamText)
		}
	}
	return nil
}
