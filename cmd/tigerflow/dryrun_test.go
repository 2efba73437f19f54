package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/internal/cli"
)

// A dry run refuses what a run would, in the same words.
func TestDryRunRefuses(t *testing.T) {
	for spec, want := range map[string]string{
		"type: local":                       `t.yaml: Task words: spec.type: Unsupported value: "local": supported values: "Local", "LocalAsync", "Slurm"`,
		"type: Local, inputs: {}":           `t.yaml: Task words: unknown field "spec.inputs"`,
		"type: Local, resources: {cpus: x}": `t.yaml: Task words: spec.resources.cpus: "string": spec.resources.cpus in body must be of type integer: "string"`,
		"type: Local, timeout: 1d":          `t.yaml: Task words: spec.timeout: "1d": must be a duration of at most 8760h, such as 90s, 2h or 1h30m`,
		"type: Local, params: {a-b: 1}":     `task words: spec.params: "a-b" is no name: start with a letter or _ and go on with letters, digits and _`,
	} {
		if _, err := planOf(t, spec, ""); err == nil || err.Error() != want || !errors.As(err, new(cli.UsageError)) {
			t.Errorf("%s: %v,\nwant %s", spec, err, want)
		}
	}
}

func TestDryRunCountsInputs(t *testing.T) {
	for input, want := range map[string]string{
		"":                  "\n  a.txt\n  c.txt\n",
		", recursive: true": "\n  a.txt\n  c.txt\n  sub/b.txt\n",
	} {
		if plan, err := planOf(t, "type: Local", input); err != nil || !strings.HasSuffix(plan, want) {
			t.Errorf("%q: %v\n%s", input, err, plan)
		}
	}
}

// planOf is what a dry run says of a Task with three inputs.
func planOf(t *testing.T, spec, input string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"in/c.txt": "", "in/a.txt": "", "in/sub/b.txt": "",
		"t.yaml": `apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata: {name: words}
spec: {` + spec + `, workspace: {path: .}, input: {directory: in, extension: .txt` + input + `}, output: {directory: out, extension: .n}, handler: {builtin: echo}}
`,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err := runFile(t.Context(), &out, &out, runOptions{args: []string{"t.yaml"}, dryRun: true})
	return out.String(), err
}
