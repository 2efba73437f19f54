package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

func TestDecodeParams(t *testing.T) {
	const any100 = "n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789"
	tests := []struct {
		name string
		raw  string
		want map[string]any
		err  string
	}{
		{"none", `{}`, map[string]any{}, ""},
		{"scalars", `{"a":"x","b":true,"_c":1.50}`, map[string]any{"a": "x", "b": true, "_c": json.Number("1.50")}, ""},
		{"a number that float64 cannot hold", `{"id":7501870786337115434}`, map[string]any{"id": json.Number("7501870786337115434")}, ""},
		{"list", `{"a":["x",1,false]}`, map[string]any{"a": []any{"x", json.Number("1"), false}}, ""},
		{"empty list", `{"a":[]}`, map[string]any{"a": []any{}}, ""},
		{"null is not given", `{"a":null}`, map[string]any{}, ""},
		{"longest name", `{"` + any100 + `":1}`, map[string]any{any100: json.Number("1")}, ""},
		{"longer name", `{"` + any100 + `x":1}`, nil, "has more than 100 characters: shorten it"},
		{"name with hyphen", `{"my-param":1}`, nil, `"my-param" is no name`},
		{"name empty", `{"":1}`, nil, `"" is no name`},
		{"reserved", `{"time":"2h"}`, nil, "spec.params.time: the name is reserved"},
		{"object", `{"a":{"b":1}}`, nil, "spec.params.a: an object is not supported"},
		{"object in a list", `{"a":[{}]}`, nil, "spec.params.a: item 0: an object is not supported"},
		{"list in a list", `{"a":[1,[2]]}`, nil, "spec.params.a: item 1: a list in a list is not supported"},
		{"null in a list", `{"a":[null]}`, nil, "spec.params.a: item 0: an item must not be null"},
		{"long list", `{"a":[` + strings.Repeat("1,", 1000) + `1]}`, nil, "at most 1000 items"},
		{"long string", `{"a":["` + strings.Repeat("x", 8193) + `"]}`, nil, "at most 8192 bytes"},
		{"first of several", `{"b":{},"a":{}}`, nil, "spec.params.a:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var spec v1alpha1.TaskSpec
			if err := json.Unmarshal([]byte(test.raw), &spec.Params); err != nil {
				t.Fatal(err)
			}
			got, err := spec.DecodeParams()
			checkRefusal(t, err, test.err)
			if test.err == "" && !reflect.DeepEqual(got, test.want) {
				t.Errorf("decoded to %#v, expected %#v", got, test.want)
			}
		})
	}
}

func FuzzDecodeParams(f *testing.F) {
	f.Add("a", []byte(`[1,"x",true]`))
	f.Add("a", []byte(`1e400`))
	f.Add("a", []byte(`"\ud800"`))
	f.Add("a", []byte(`1 2`))
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		spec := v1alpha1.TaskTemplate{Params: map[string]apiextensionsv1.JSON{name: {Raw: raw}}}
		params, err := spec.DecodeParams()
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("the error is not one line: %q", err)
			}
			return
		}
		value, given := params[name]
		if !given {
			return
		}
		if err := checkValue(value, true); err != nil {
			t.Errorf("%q decoded to %#v: %v", raw, value, err)
		}
	})
}

func checkValue(value any, listAllowed bool) error {
	switch value := value.(type) {
	case string, bool, json.Number:
		return nil
	case []any:
		if !listAllowed {
			return fmt.Errorf("a list in a list")
		}
		for _, item := range value {
			if err := checkValue(item, false); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("the type %T", value)
	}
}
