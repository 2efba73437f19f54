package serve

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

type common struct {
	Model string `param:"model"`
}

type everyKind struct {
	common
	Verbose bool            `param:"verbose"`
	Top     int8            `param:"top" default:"5"`
	Size    uint16          `param:"size" default:"10"`
	Rate    float64         `param:"rate" default:"0.5"`
	Wait    time.Duration   `param:"wait" default:"1m30s"`
	Words   []string        `param:"words" default:"a,b"`
	Numbers []int           `param:"numbers" default:""`
	Pauses  []time.Duration `param:"pauses" default:"1s"`
	Ignored int
}

func defaults() everyKind {
	return everyKind{
		common: common{Model: "m"},
		Top:    5, Size: 10, Rate: 0.5, Wait: 90 * time.Second,
		Words: []string{"a", "b"}, Numbers: []int{}, Pauses: []time.Duration{time.Second},
	}
}

func TestParams(t *testing.T) {
	tests := []struct {
		name   string
		params string // beside model
		want   func(*everyKind)
	}{
		{"defaults", ``, func(*everyKind) {}},
		{"typed", `"verbose": true, "top": -3, "size": 7, "rate": 1e3, "wait": "2h"`, func(p *everyKind) {
			p.Verbose, p.Top, p.Size, p.Rate, p.Wait = true, -3, 7, 1000, 2*time.Hour
		}},
		{"strings, as a command line has them", `"verbose": "true", "top": "-3", "size": "7", "rate": "0.25"`, func(p *everyKind) {
			p.Verbose, p.Top, p.Size, p.Rate = true, -3, 7, 0.25
		}},
		{"lists", `"words": ["é", ""], "numbers": [1, "2"], "pauses": ["1ms"]`, func(p *everyKind) {
			p.Words, p.Numbers, p.Pauses = []string{"é", ""}, []int{1, 2}, []time.Duration{time.Millisecond}
		}},
		{"words for booleans", `"verbose": "Yes"`, func(p *everyKind) { p.Verbose = true }},
		{"null is not given", `"top": null, "words": null`, func(*everyKind) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got everyKind
			text := `"model": "m"`
			if tt.params != "" {
				text += ", " + tt.params
			}
			if err := setParams(&got, "{"+text+"}"); err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tt.want(&want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func setParams(pointer any, text string) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return err
	}
	ps, err := paramsOf(pointer)
	if err != nil {
		return err
	}
	return ps.set(given)
}

type paramless struct{}

func TestParamErrors(t *testing.T) {
	tests := []struct {
		name    string
		pointer any
		params  string
		want    string
	}{
		{"unknown", &everyKind{}, `{"x": 1}`, `unknown param "x": known are model, numbers, pauses, rate, size, top, verbose, wait, words`},
		{"unknown where there are none", &paramless{}, `{"x": 1}`, `unknown param "x": paramless has none`},
		{"missing", &everyKind{}, `{}`, `param "model" is required: set it under params`},
		{"null for a required one", &everyKind{}, `{"model": null}`, `param "model" is required: set it under params`},
		{"number for a string", &everyKind{}, `{"model": 1.10}`, `param "model" must be text in quotes: it is 1.10`},
		{"text for a number", &everyKind{}, `{"model": "", "top": "many"}`, `param "top" must be an integer: it is "many"`},
		{"too large", &everyKind{}, `{"model": "", "top": 128}`, `param "top" must be an integer: it is 128`},
		{"fraction", &everyKind{}, `{"model": "", "size": 1.5}`, `param "size" must be an integer, 0 or more: it is 1.5`},
		{"negative", &everyKind{}, `{"model": "", "size": -1}`, `param "size" must be an integer, 0 or more: it is -1`},
		{"no boolean", &everyKind{}, `{"model": "", "verbose": 2}`, `param "verbose" must be true or false: it is 2`},
		{"duration without unit", &everyKind{}, `{"model": "", "wait": 90}`, `param "wait" must be a duration such as "1m30s": it is 90`},
		{"object", &everyKind{}, `{"model": {"a": 1}}`, `param "model" must be text in quotes: it is {"a": 1}`},
		{"one for a list", &everyKind{}, `{"model": "", "numbers": 1}`, `param "numbers" must be a list (an integer): it is 1`},
		{"list element", &everyKind{}, `{"model": "", "numbers": [1, null]}`, `param "numbers" must be a list (an integer): it is [1, null]`},
		{"unexported", &struct {
			x int `param:"x"`
		}{}, `{}`, `field x has a param tag but is not exported: begin its name with a capital letter`},
		{"bad name", &struct {
			X int `param:"top-k"`
		}{}, `{}`, `field X: param name "top-k" must be letters, digits and underscores`},
		{"reserved", &struct {
			X int `param:"cpus"`
		}{}, `{}`, `field X: param name "cpus" is reserved for an option of the engine: rename it`},
		{"reserved for Slurm", &struct {
			X []string `param:"setup_command"`
		}{}, `{}`, `field X: param name "setup_command" is reserved for an option of the engine: rename it`},
		{"reserved for Slurm, too", &struct {
			X []string `param:"sbatch_option"`
		}{}, `{}`, `field X: param name "sbatch_option" is reserved for an option of the engine: rename it`},
		{"the help", &struct {
			X string `param:"help"`
		}{}, `{}`, `field X: param name "help" is reserved for an option of the engine: rename it`},
		{"twice", &struct {
			X int `param:"a"`
			Y int `param:"a"`
		}{}, `{}`, `field Y: param "a" is there twice`},
		{"type", &struct {
			X map[string]int `param:"x"`
		}{}, `{}`, `field X: a param cannot be a map[string]int`},
		{"list of lists", &struct {
			X [][]int `param:"x"`
		}{}, `{}`, `field X: a param cannot be a [][]int`},
		{"default", &struct {
			X []int `param:"x" default:"1,b"`
		}{}, `{}`, `field X: default "1,b" is not a list (an integer)`},
		{"embedded pointer", &struct{ *everyKind }{}, `{}`, `field Model: params cannot come from an embedded pointer`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := setParams(tt.pointer, tt.params); err == nil || err.Error() != tt.want {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
}

func FuzzParams(f *testing.F) {
	f.Add(`{"model": "m", "words": ["a"], "wait": "1s"}`)
	f.Add(`{"model": "m", "top": 1e2, "rate": "0x1p-2"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var got everyKind
		if err := setParams(&got, text); err != nil && strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
			t.Errorf("%s: error of several lines: %v", text, err)
		}
	})
}
