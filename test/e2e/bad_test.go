package e2e

import (
	"os"
	"strings"
	"testing"
)

// Each mistake gives one line that names it and the mend, and exit code 2: the mistake is the user's.
func TestBadInput(t *testing.T) {
	const other = "kind: Task\napiVersion: tigerflow.dev/v1alpha1\nmetadata: {name: u}\n"
	for _, tt := range []struct {
		name    string
		spec    string        // of a Task that is else in order
		text    string        // or all of the file
		prepare func(w *work) // after an input was put
		args    []string      // instead of run t.yaml
		env     []string
		stderr  string // all of it, after "error: "; $DIR is the workspace
	}{
		{
			name: "no input directory", spec: `{input: {directory: nowhere, extension: .txt}, handler: {builtin: echo}}`,
			stderr: "t: InputNotFound: the input directory $DIR/nowhere does not exist: create it, or correct workspace.path and input.directory",
		},
		{
			name: "input directory is a file", spec: `{input: {directory: t.yaml, extension: .txt}, handler: {builtin: echo}}`,
			stderr: "t: InputNotFound: the input directory $DIR/t.yaml is a file: name its folder in input.directory",
		},
		{
			name: "workspace is a file", spec: `{workspace: {path: t.yaml}, handler: {builtin: echo}}`,
			stderr: "t: InputNotFound: the input directory $DIR/t.yaml/in does not exist: create it, or correct workspace.path and input.directory",
		},
		{
			name: "output is the input", spec: `{output: {directory: in, extension: .txt}, handler: {builtin: echo}}`,
			stderr: "t.yaml: Task t: spec.output.extension: outputs would become inputs: choose another output.directory, or an output.extension that does not end with input.extension",
		},
		{
			name: "output is the input by another name", spec: `{handler: {builtin: echo}}`,
			prepare: func(w *work) { w.must(os.Symlink("in", w.path("out"))) },
			stderr:  "t: InvalidDirectories: input and output are the same folder, $DIR/in, and outputs (.txt) would be taken for inputs (.txt): use another output.directory or extension",
		},
		{
			name: "reserved extension", spec: `{output: {directory: out, extension: .err}, handler: {builtin: echo}}`,
			stderr: `t.yaml: Task t: spec.output.extension: ".err": extension must not end in .err, which marks failed files: choose another`,
		},
		{
			name: "unknown param", spec: `{handler: {builtin: echo}, params: {frob: 1}}`,
			stderr: `t: InvalidParams: unknown param "frob": known are prefix, suffix, uppercase`,
		},
		{
			name: "missing param", spec: `{handler: {python: {module: m.py}}}`,
			prepare: module("class T(LocalTask):\n    class Params:\n        must: str\n    def run(context, i, o): pass\n"),
			stderr:  `t: InvalidParams: param "must" is required: set it under params`,
		},
		{
			name: "no class", spec: `{handler: {python: {module: m.py}}}`, prepare: module("x = 1\n"),
			stderr: "t: InvalidHandler: module m.py has no task class: subclass tigerflow.tasks.LocalTask (or LocalAsyncTask, SlurmTask) and define run",
		},
		{
			name: "syntax error", spec: `{handler: {python: {module: m.py}}}`, prepare: module("def f(:\n"),
			stderr: "t: InvalidHandler: SyntaxError: invalid syntax (m.py, line 2)",
		},
		{
			name: "no such python", spec: `{handler: {python: {module: m.py, interpreter: python9}}}`, prepare: module(""),
			stderr: `t: HandlerNotFound: interpreter "python9": not found in PATH: install it, load it in setupCommands, or name another under handler.python.interpreter`,
		},
		{
			name: "empty PATH", spec: `{handler: {python: {module: m.py}}}`, prepare: module(""), env: []string{"PATH="},
			stderr: `t: HandlerNotFound: interpreter "python3": not found in PATH: install it, load it in setupCommands, or name another under handler.python.interpreter`,
		},
		{
			name: "no such command", spec: `{handler: {command: [no-such-command]}}`,
			stderr: `t: HandlerNotFound: command "no-such-command": not found in PATH: install it, load it in setupCommands, or correct handler.command`,
		},
		{
			name: "no such builtin", spec: `{handler: {builtin: nope}}`,
			stderr: `t: InvalidHandler: unknown builtin "nope": known are echo, http-request`,
		},
		{name: "unknown field", spec: `{handler: {builtin: echo}, frob: 1}`, stderr: `t.yaml: Task t: unknown field "spec.frob"`},
		{
			name: "type and its fields", spec: `{type: LocalAsync, handler: {builtin: echo}}`,
			stderr: "t.yaml: Task t: spec.localAsync: localAsync is required when type is LocalAsync and must be left out otherwise",
		},
		{
			name: "unknown type", spec: `{type: Frob, handler: {builtin: echo}}`,
			stderr: `t.yaml: Task t: spec.type: Unsupported value: "Frob": supported values: "Local", "LocalAsync", "Slurm"`,
		},
		{
			name: "Slurm", spec: `{type: Slurm, slurm: {time: 1h}, handler: {builtin: echo}}`,
			stderr: "t.yaml: spec.type Slurm: there is no Slurm here (no sbatch on the PATH): run it where Slurm is, or use type Local or LocalAsync",
		},
		{
			name: "image", spec: `{handler: {builtin: echo}, container: {image: x.sif}}`,
			stderr: "t: InvalidHandler: spec.container.image: Local workers here are plain processes: remove it, or apply the Task to a cluster",
		},
		{name: "invalid YAML", text: "a: [1,\n", stderr: "t.yaml: document 1: line 1: did not find expected node content"},
		{
			name: "tabs", text: "spec:\n\ttype: Local\n",
			stderr: "t.yaml: document 1: line 2: found character that cannot start any token: indent with spaces, not with tabs",
		},
		{name: "a key twice", text: other + "kind: Task\n", stderr: `t.yaml: document 1: line 4: key "kind" already set in map`},
		{name: "text", text: "hello\n", stderr: "t.yaml: document 1: no fields in it: a Task begins with apiVersion, kind, metadata and spec"},
		{name: "empty", text: "# nothing\n---\n", stderr: "t.yaml: no Task or Pipeline in it"},
		{
			name: "another kind", text: "apiVersion: v1\nkind: Pod\n",
			stderr: `t.yaml: document 1: apiVersion "v1", kind "Pod": only kinds Task and Pipeline of apiVersion tigerflow.dev/v1alpha1 can be run`,
		},
		{name: "no name", text: "apiVersion: tigerflow.dev/v1alpha1\nkind: Task\n", stderr: "t.yaml: document 1: metadata.name is missing"},
		{
			name: "bad second document", text: strings.ReplaceAll(other, "u}", "u}\nspec: {workspace: {path: .}}") + "---\n[]\n",
			stderr: "t.yaml: document 2: no fields in it: a Task begins with apiVersion, kind, metadata and spec",
		},
		{name: "no such file", args: []string{"run", "none.yaml"}, stderr: "open none.yaml: no such file or directory"},
		{name: "a folder", args: []string{"run", "in"}, stderr: "read in: is a directory"},
		{name: "no file named", args: []string{"run"}, stderr: "tigerflow run takes FILE, or CONFIG INPUT_DIR OUTPUT_DIR, and got 0 arguments; see tigerflow run --help"},
		{name: "two files named", args: []string{"run", "a", "b"}, stderr: "tigerflow run takes FILE, or CONFIG INPUT_DIR OUTPUT_DIR, and got 2 arguments; see tigerflow run --help"},
		{name: "negative idle time", spec: `{handler: {builtin: echo}}`, args: []string{"run", "t.yaml", "--idle-timeout=-1s"}, stderr: `invalid argument "-1s" for "--idle-timeout" flag: give a number of minutes, or a duration such as 30s; see tigerflow run --help`},
		{name: "folder without manifests", args: []string{"up", "-f", "in"}, stderr: "-f in: there is no .yaml file in that folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWork(t)
			w.put("a.txt", "a")
			switch {
			case tt.text != "":
				w.write("t.yaml", tt.text)
			case tt.spec != "":
				w.task(tt.spec)
			}
			if tt.prepare != nil {
				tt.prepare(w)
			}
			args := tt.args
			if args == nil {
				args = []string{"run", "t.yaml"}
			}
			cmd := w.command(args...)
			cmd.Env = append(os.Environ(), tt.env...)
			r := w.finish(cmd)
			if r.code != 2 {
				t.Errorf("exit code %d, want 2", r.code)
			}
			if want := "error: " + strings.ReplaceAll(tt.stderr, "$DIR", w.dir) + "\n"; r.stderr != want {
				t.Errorf("stderr\n%swant\n%s", r.stderr, want)
			}
			if r.stdout != "" {
				t.Errorf("stdout %q", r.stdout)
			}
		})
	}
}

// module writes a Python module, m.py.
func module(text string) func(w *work) {
	return func(w *work) { w.write("m.py", "from tigerflow.tasks import LocalTask\n"+text) }
}

// What is no mistake in the file, but in what it starts, has exit code 1.
func TestSetupFails(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "a")
	w.task(`{handler: {python: {module: m.py}}}`)
	module("class T(LocalTask):\n    @staticmethod\n    def setup(context): raise ValueError('no model')\n    @staticmethod\n    def run(context, i, o): pass\n")(w)
	r := w.run("run", "t.yaml")
	if r.code != 1 || !strings.HasSuffix(r.stderr, "error: t: SetupFailed: ValueError: no model\n") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}
