package serve

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setJSON sets a field from JSON. Numbers and booleans may be spelled as strings too, for that is how a command line has
// them.
func setJSON(field reflect.Value, raw json.RawMessage) bool {
	if field.Kind() == reflect.Slice {
		return setList(field, raw)
	}
	if raw[0] == '"' {
		var text string
		return json.Unmarshal(raw, &text) == nil && setText(field, text)
	}
	// The text of a JSON number or boolean is as good as a string of it, except where a string or duration is asked
	// for: a version 1.10 that YAML took for a number has already lost its zero.
	if field.Kind() == reflect.String || field.Type() == reflect.TypeFor[time.Duration]() {
		return false
	}
	return setText(field, string(raw))
}

func setList(field reflect.Value, raw json.RawMessage) bool {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return false
	}
	list := reflect.MakeSlice(field.Type(), len(elements), len(elements))
	for i, element := range elements {
		if !setJSON(list.Index(i), element) {
			return false
		}
	}
	field.Set(list)
	return true
}

// setDefault sets a field from its default tag.
func setDefault(field reflect.Value, text string) bool {
	if field.Kind() != reflect.Slice {
		return setText(field, text)
	}
	var elements []string
	if text != "" {
		elements = strings.Split(text, ",")
	}
	list := reflect.MakeSlice(field.Type(), len(elements), len(elements))
	for i, element := range elements {
		if !setText(list.Index(i), element) {
			return false
		}
	}
	field.Set(list)
	return true
}

// The words that Python tasks take for booleans.
var (
	yes = []string{"true", "yes", "on", "t", "y", "1"}
	no  = []string{"false", "no", "off", "f", "n", "0"}
)

func setText(field reflect.Value, text string) bool {
	if field.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		field.SetInt(int64(d))
		return err == nil
	}
	bits := func() int { return field.Type().Bits() }
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
		return true
	case reflect.Bool:
		text = strings.ToLower(text)
		field.SetBool(slices.Contains(yes, text))
		return slices.Contains(yes, text) || slices.Contains(no, text)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, bits())
		field.SetInt(n)
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, bits())
		field.SetUint(n)
		return err == nil
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, bits())
		field.SetFloat(n)
		return err == nil
	}
	return false
}
