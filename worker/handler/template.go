package handler

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/task/protocol"
)

// Environment of a command.
const (
	envInput  = "TIGERFLOW_INPUT"
	envOutput = "TIGERFLOW_OUTPUT"
	envStem   = "TIGERFLOW_STEM"
	envParam  = "TIGERFLOW_PARAM_" // and the param's name in capitals
)

// template is a command with its placeholders {input}, {output}, {stem} and {params.NAME}. Everything else in braces
// stands for itself.
type template struct {
	argv      []string
	script    int               // index of the argument that a shell reads as code; -1 if there is none
	params    map[string]string // texts by name
	extension string            // of inputs, which a stem lacks
}

var paramPlaceholder = regexp.MustCompile(`\{params\.([^{}]*)\}`)

// newTemplate checks the params that argv asks for, and makes a shell script in it take file names from the
// environment: put into the script as text, a file name would be run as code.
func newTemplate(argv []string, params map[string]json.RawMessage, extension string) (*template, error) {
	t := &template{argv: slices.Clone(argv), script: scriptIndex(argv), params: map[string]string{}, extension: extension}
	variables := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		text, ok := paramText(params[name])
		if !ok {
			return nil, setupError(protocol.StageParams, "TaskError", "param %q contains a NUL, which no argument can", name)
		}
		variable := strings.ToUpper(name)
		if other, taken := variables[variable]; taken {
			return nil, setupError(protocol.StageParams, "TaskError",
				"params %q and %q are the same variable %s: rename one", other, name, envParam+variable)
		}
		variables[variable], t.params[name] = name, text
	}
	for _, arg := range argv {
		for _, match := range paramPlaceholder.FindAllStringSubmatch(arg, -1) {
			if _, given := t.params[match[1]]; !given {
				return nil, setupError(protocol.StageParams, "TaskError",
					"the command asks for %s: set %s under params", match[0], match[1])
			}
		}
	}
	if t.script >= 0 {
		t.argv[t.script] = quoteForShell(argv[t.script], t.variable)
	}
	return t, nil
}

// paramText is a string's content, and the JSON text of anything else. A null is empty.
func paramText(raw json.RawMessage) (text string, ok bool) {
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	return text, !strings.Contains(text, "\x00")
}

// expand gives the argv and the variables for one file.
func (t *template) expand(r Request) (argv, env []string) {
	stem := strings.TrimSuffix(filepath.Base(r.Input), t.extension)
	pairs := []string{"{input}", r.Input, "{output}", r.Output, "{stem}", stem}
	env = []string{envInput + "=" + r.Input, envOutput + "=" + r.Output, envStem + "=" + stem}
	for name, text := range t.params {
		pairs = append(pairs, "{params."+name+"}", text)
		env = append(env, envParam+strings.ToUpper(name)+"="+text)
	}
	replacer := strings.NewReplacer(pairs...)
	argv = slices.Clone(t.argv)
	for i := range argv {
		if i != t.script {
			argv[i] = replacer.Replace(argv[i])
		}
	}
	return argv, env
}

// variable is the name of the environment variable that a placeholder stands for, empty if it is none.
func (t *template) variable(placeholder string) string {
	switch placeholder {
	case "input":
		return envInput
	case "output":
		return envOutput
	case "stem":
		return envStem
	}
	name, isParam := strings.CutPrefix(placeholder, "params.")
	if _, given := t.params[name]; isParam && given {
		return envParam + strings.ToUpper(name)
	}
	return ""
}
