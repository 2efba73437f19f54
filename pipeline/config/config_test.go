package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/pipeline"
)

var update = flag.Bool("update", false, "write the golden files")

var options = Options{
	File: "config.yaml", WorkDir: "/home/me/project", InputDir: "data", OutputDir: "results", Idle: DefaultIdle,
	Exists: func(path string) bool { return !strings.HasSuffix(path, "missing.py") },
}

// Each configuration of testdata has beside it the Pipeline that it is, and the warnings as its first lines.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !Is(data) {
				t.Error("it does not look like a configuration of TigerFlow")
			}
			o := options
			o.File = filepath.Base(file)
			p, warnings, err := Read(data, o)
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := pipeline.Manifest(p)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, warning := range warnings {
				got.WriteString("# warning: " + warning + "\n")
			}
			got.Write(manifest)
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("%s is\n%s\nwant\n%s", file, &got, want)
			}
		})
	}
}

const good = "tasks:\n- name: a\n  kind: local\n  module: a.py\n  input_ext: .txt\n"

func TestFaults(t *testing.T) {
	slurm := func(rest string) string {
		return strings.Replace(good, "local", "slurm", 1) + rest
	}
	tests := []struct {
		name string
		text string
		want string // the beginning of the error
	}{
		{"empty", "", "config.yaml: it is empty"},
		{"a list", "- a\n", "config.yaml:1: the configuration: there must be keys with values here, and there is a list"},
		{"no YAML", "tasks: [\n", "config.yaml:1: did not find expected node content"},
		{"tabs", "tasks:\n\t- a\n", "config.yaml:2: a tab, @, % or a backquote begins a text here: indent with spaces, and quote such texts"},
		{"two documents", good + "---\ntasks: []\n", "config.yaml:6: a second document begins here"},
		{"a broken second document", good + "---\n[\n", "config.yaml:"},
		{"no tasks", "staging: {}\n", "config.yaml:1: tasks is missing: give a list"},
		{"empty tasks", "tasks: []\n", "config.yaml:1: tasks: there is none"},
		{"tasks no list", "tasks: {a: b}\n", "config.yaml:1: tasks: there must be a list here, and there is a mapping"},
		{"a task no mapping", "tasks: [a]\n", `config.yaml:1: a task: there must be keys with values here, and there is "a"`},
		{"no name", "tasks:\n- kind: local\n  module: a.py\n  input_ext: .x\n", "config.yaml:2: a task: name is missing"},
		{"no kind", "tasks:\n- name: a\n  module: a.py\n  input_ext: .x\n", `config.yaml:2: task "a": kind is missing`},
		{"kind", strings.Replace(good, "local", "locl", 1), `config.yaml:3: task "a": kind "locl": write local, local_async or slurm`},
		{"module", "tasks:\n- name: a\n  kind: local\n  input_ext: .x\n", `config.yaml:2: task "a": module is missing`},
		{"input_ext", "tasks:\n- name: a\n  kind: local\n  module: a.py\n", `config.yaml:2: task "a": input_ext is missing`},
		{"extension", good + "  output_ext: txt\n", `config.yaml:2: task "a": output_ext "txt": an extension starts with a dot`},
		{"reserved extension", good + "  output_ext: .err\n", `config.yaml:2: task "a": output_ext ".err": .err is reserved`},
		{"unknown parent", good + "  depends_on: b\n", `config.yaml:2: task "a": depends_on "b": there is no such task`},
		{"itself", good + "  depends_on: a\n", `config.yaml:2: task "a": it`},
		{"root extensions", good + "- {name: b, kind: local, module: b.py, input_ext: .csv}\n", `config.yaml:6: task "b": it expects .csv, but the inputs of the Pipeline`},
		{"mismatch", good + "- {name: b, kind: local, module: b.py, input_ext: .csv, depends_on: a}\n", `config.yaml:6: task "b": it expects .csv, but task "a" that it depends on makes .out: change input_ext here or output_ext there`},
		{"two of one name", good + strings.TrimPrefix(good, "tasks:\n"), `config.yaml:2: task "a": two tasks have this name`},
		{"keep_output", good + "  keep_output: maybe\n", `config.yaml:6: task "a": keep_output: give true or false, not "maybe"`},
		{"concurrency", strings.Replace(good, "local", "local_async", 1), `config.yaml:2: task "a": concurrency_limit is missing`},
		{"concurrency 0", strings.Replace(good, "local", "local_async", 1) + "  concurrency_limit: 0\n", `config.yaml:6: task "a": concurrency_limit: give a whole number from 1 to 1000, not "0"`},
		{"params", good + "  params: [a]\n", `config.yaml:6: task "a": params: there must be keys`},
		{"a param with keys", good + "  params:\n    x: {a: b}\n", `config.yaml:7: task "a": params: x: a mapping is no value`},
		{"a param in lists", good + "  params:\n    x: [[1]]\n", `config.yaml:7: task "a": params: x: a list is no item`},
		{"a reserved param", good + "  params: {cpus: 1}\n", `config.yaml:6: task "a": params.cpus: the name is reserved`},
		{"setup_commands", good + "  setup_commands: {a: b}\n", `config.yaml:6: task "a": setup_commands: a command is a text`},
		{"no resources", slurm("  max_workers: 1\n"), `config.yaml:2: task "a": worker_resources is missing`},
		{"no workers", slurm("  worker_resources: {cpus: 1, memory: 1G, time: '60'}\n"), `config.yaml:2: task "a": max_workers is missing`},
		{"memory", slurm("  max_workers: 1\n  worker_resources: {cpus: 1, memory: 8, time: '60'}\n"), `config.yaml:7: task "a": worker_resources: memory "8": give a number and a unit`},
		{"memory 0", slurm("  max_workers: 1\n  worker_resources: {cpus: 1, memory: 0G, time: '60'}\n"), `config.yaml:7: task "a": worker_resources: memory "0G": it must be more than 0`},
		{"time", slurm("  max_workers: 1\n  worker_resources: {cpus: 1, memory: 8G, time: 2h}\n"), `config.yaml:7: task "a": worker_resources: time "2h": it is no time`},
		{"cpus", slurm("  max_workers: 1\n  worker_resources: {memory: 8G, time: '60'}\n"), `config.yaml:7: task "a": worker_resources: cpus is missing`},
		{"step", "staging: {steps: [{kind: min}]}\n" + good, `config.yaml:1: staging: kind "min": write min_size, max_size`},
		{"step without bytes", "staging: {steps: [{kind: min_size}]}\n" + good, `config.yaml:1: staging: min_size: bytes is missing`},
		{"step of 0 bytes", "staging: {steps: [{kind: max_size, bytes: 0}]}\n" + good, `config.yaml:1: staging: max_size: bytes: give a whole number from 1`},
		{"step of no time", "staging: {steps: [{kind: min_age, seconds: -1}]}\n" + good, `config.yaml:1: staging: min_age: seconds: give a number`},
		{"step with a lookahead", "staging:\n  steps:\n  - kind: filename_match\n    pattern: '^(?!tmp)'\n" + good, `config.yaml:4: staging: filename_match: the pattern "^(?!tmp)" has a lookahead`},
		{"step with a companion", "staging: {steps: [{kind: companion_file, ext: .err}]}\n" + good, `config.yaml:1: staging: companion_file: ext ".err": .err is reserved`},
		{"step by an unknown key", "staging: {steps: [{kind: sort_by, key: age}]}\n" + good, `config.yaml:1: staging: sort_by: key "age"`},
		{"step with a callable", "staging: {steps: [{kind: callable, function: f}]}\n" + good, `config.yaml:1: staging: callable: function "f": write MODULE:FUNCTION`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, _, err := Read([]byte(test.text), options)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("no Error: %v, %v", p, err)
			}
			if !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%q\ndoes not begin with\n%q", err, test.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for text, want := range map[string]string{
		good + "  keep_outputs: false\n":  `config.yaml:6: task "a": keep_outputs is unknown and has no effect (did you mean keep_output?)`,
		good + "  zzz: false\n":           `config.yaml:6: task "a": zzz is unknown and has no effect`,
		good + "  input_ext: .txt\n":      `config.yaml:6: a task: input_ext stands here a second time, and the last one counts`,
		good + "  params: {x: }\n":        `config.yaml:6: task "a": params: x has no value and counts as not given`,
		"stagging: {steps: []}\n" + good:  `config.yaml:1: the configuration: stagging is unknown and has no effect (did you mean staging?)`,
		"base: &b {kind: local}\n" + good: "",
		"staging:\n" + good:               "",
		good + "  max_workers: 3\n":       `config.yaml:6: task "a": max_workers is unknown and has no effect`,
	} {
		_, warnings, err := Read([]byte(text), options)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := strings.Join(warnings, "\n"); got != want {
			t.Errorf("%s: warnings %q, want %q", text, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for file, want := range map[string]string{
		"config.yaml": "pipeline", "/home/me/My Books/config.yaml": "my-books", "tiktok_2.yml": "tiktok-2", "/x/__.yaml": "pipeline",
		strings.Repeat("a", 39) + "_b.yaml": strings.Repeat("a", 39),
	} {
		if got := nameOf(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	o := options
	o.File, o.InputDir, o.OutputDir, o.DeleteInput = "conf/config.yaml", "../data/", "/scratch/me/./out", true
	o.Exists = func(path string) bool { return path == "/home/me/project/conf/beside.py" }
	text := strings.Replace(good, "a.py", "beside.py", 1) + "- {name: b, kind: local, module: ../b.py, input_ext: .txt}\n"
	p, _, err := Read([]byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	s := &p.Spec
	for what, is := range map[string][2]string{
		"workspace": {s.Workspace.Path, "/home/me/project"}, "input": {s.Input.Directory, "/home/me/data"},
		"output": {s.Output.Directory, "/scratch/me/out"}, "name": {p.Name, "conf"},
		"module beside the configuration": {s.Tasks[0].Handler.Python.Module, "conf/beside.py"},
		"module above":                    {s.Tasks[1].Handler.Python.Module, "/home/me/b.py"},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %s, want %s", what, is[0], is[1])
		}
	}
	if !s.DeletesInputs() {
		t.Error("inputs stay")
	}
}

// TestNumbers: those that an object would round, or that JSON has not, go to the task as text.
func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"9223372036854775807": `9223372036854775807`, "9223372036854775808": `"9223372036854775808"`, "0x1f": `31`, "1e3": `1e3`,
		"1e400": `"1e400"`, ".inf": `"inf"`, "+.inf": `"inf"`, "-.Inf": `"-inf"`, ".NaN": `"nan"`, "'.inf'": `".inf"`,
	} {
		p, _, err := Read([]byte(good+"  params: {x: "+text+"}\n"), options)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := string(p.Spec.Tasks[0].Params["x"].Raw); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		good: true, "apiVersion: tigerflow.dev/v1alpha1\nkind: Task\n": false, "": false, "- tasks\n": false, "tasks: [": false,
		"apiVersion: x\ntasks: []\n": false,
	} {
		if Is([]byte(text)) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}

// FuzzRead: whatever the file, there is either a Pipeline whose tasks fit together or faults of one line each.
func FuzzRead(f *testing.F) {
	f.Add(good)
	f.Add("a: &a\n  <<: *a\ntasks:\n- *a\n")
	f.Add("staging: {steps: [{kind: sort_by, key: size}]}\n" + good)
	f.Add("tasks: [{name: a, params: {x: [0x1f, .inf, 1_000, ~]}}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, warnings, err := Read([]byte(text), options)
		if err != nil {
			bad, ok := errors.AsType[*Error](err)
			if !ok || len(bad.Faults) == 0 || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q", err)
			}
			return
		}
		if _, err := pipeline.New(&p.Spec); err != nil {
			t.Errorf("read, and then: %v", err)
		}
		if _, err := pipeline.Manifest(p); err != nil {
			t.Error(err)
		}
		for _, w := range warnings {
			if strings.Contains(w, "\n") {
				t.Errorf("warning %q", w)
			}
		}
	})
}
