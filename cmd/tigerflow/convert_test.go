package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/internal/cli"
)

func TestConvert(t *testing.T) {
	t.Chdir(t.TempDir())
	const task = "tasks:\n- {name: a, kind: local, module: a.py, input_ext: .txt}\n"
	for name, text := range map[string]string{
		"config.yaml": task, "odd.yaml": "# odd\nextra: 1\n" + task, "wrong.yaml": strings.Replace(task, "local", "lokal", 1), "broken.yaml": "tasks: [\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string // must contain
		stderr string // is
	}{
		{name: "without folders", args: []string{"config.yaml"}, stdout: "  workspace:\n    path: " + here + "\n  input:\n    directory: input\n"},
		{name: "with folders", args: []string{"config.yaml", "../data", filepath.Join(here, "out")}, stdout: "  output:\n    directory: " + filepath.Join(here, "out") + "\n"},
		{name: "an unknown key", args: []string{"odd.yaml"}, stdout: "kind: Pipeline\n", stderr: "warning: odd.yaml:2: the configuration: extra is unknown and has no effect\n"},
		{name: "a mistake", args: []string{"wrong.yaml"}, code: cli.ExitUsage, stderr: "error: wrong.yaml:2: task \"a\": kind \"lokal\": write local, local_async or slurm\n"},
		{name: "no YAML", args: []string{"broken.yaml"}, code: cli.ExitUsage, stderr: "error: broken.yaml:1: did not find expected node content\n"},
		{name: "no file", args: []string{"none.yaml"}, code: cli.ExitUsage, stderr: "error: open none.yaml: no such file or directory\n"},
		{name: "no argument", code: cli.ExitUsage, stderr: "error: tigerflow convert takes CONFIG, or CONFIG INPUT_DIR OUTPUT_DIR, and got 0 arguments; see tigerflow convert --help\n"},
		{name: "one folder", args: []string{"config.yaml", "in"}, code: cli.ExitUsage, stderr: "error: tigerflow convert takes CONFIG, or CONFIG INPUT_DIR OUTPUT_DIR, and got 2 arguments; see tigerflow convert --help\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), append([]string{"convert"}, tt.args...), &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) {
				t.Errorf("stdout %q, want in it %q", &stdout, tt.stdout)
			}
			if stderr.String() != tt.stderr {
				t.Errorf("stderr %q, want %q", &stderr, tt.stderr)
			}
		})
	}
}
