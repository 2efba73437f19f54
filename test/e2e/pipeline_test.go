package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shoutAndCount is a TigerFlow configuration of two Python modules: the second counts the words of what the first leaves it.
const shoutAndCount = `
tasks:
  - name: shout
    kind: local
    module: ./shout.py
    input_ext: .txt
    output_ext: .loud
    keep_output: false
    params: {mark: "!"}
  - name: count
    depends_on: shout
    kind: local_async
    module: ./count.py
    input_ext: .loud
    output_ext: .json
    params: {}
    concurrency_limit: 4
`

const shoutModule = `
from typing import Annotated
import typer
from tigerflow.tasks import LocalTask

class Shout(LocalTask):
    class Params:
        mark: Annotated[str, typer.Option(help="What follows")]

    @staticmethod
    def run(context, input_file, output_file):
        text = input_file.read_text()
        if "silence" in text:
            raise ValueError("nothing to shout")
        output_file.write_text(text.upper() + context.mark)

Shout.cli()
`

const countModule = `
import json
from tigerflow.tasks import LocalAsyncTask

class Count(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        text = input_file.read_text()
        if "BAD" in text:
            raise RuntimeError("cannot count")
        output_file.write_text(json.dumps({"words": len(text.split()), "text": text}))

Count.cli()
`

// newPipeline is a workspace with a configuration and its modules.
func newPipeline(t *testing.T, config string) *work {
	t.Helper()
	w := newWork(t)
	w.write("config.yaml", config)
	w.write("shout.py", shoutModule)
	w.write("count.py", countModule)
	return w
}

// tiger runs the configuration until nothing is left, and checks the exit code.
func (w *work) tiger(code int, more ...string) result {
	w.Helper()
	r := w.run(append([]string{"run", "config.yaml", "in", "out", "--idle-timeout", "0"}, more...)...)
	if r.code != code {
		w.Fatalf("exit code %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

func (w *work) files(dir string) []string {
	w.Helper()
	found, err := filepath.Glob(w.path(dir, "*"))
	w.must(err)
	names := []string{}
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	return names
}

func (w *work) has(dir string, names ...string) {
	w.Helper()
	if got := w.files(dir); fmt.Sprint(got) != fmt.Sprint(append([]string{}, names...)) {
		w.Errorf("%s has %q, want %q", dir, got, names)
	}
}

func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
}

// A configuration of TigerFlow runs unmodified; a second run takes what is new, and a retry what had failed.
func TestConfig(t *testing.T) {
	w := newPipeline(t, shoutAndCount)
	w.put("a.txt", "one two")
	w.put("b.txt", "silence")
	w.put("c.txt", "bad word")
	r := w.tiger(1)
	w.output("count/a.json", `{"words": 2, "text": "ONE TWO!"}`)
	w.has("out", ".tigerflow", "count")
	w.has("out/count", "a.json", "c.err")
	w.has("out/.tigerflow/tasks/shout/outputs", "b.err", "c.loud")
	says(t, r.stdout, "STAGED", "3 files in", "results in "+w.path("out"), `failed in shout: "b.txt": ValueError: nothing to shout`, `failed in count: "c.loud": RuntimeError: cannot count`)
	says(t, r.stderr, "2 of 3 files failed")

	w.put("d.txt", "three")
	w.put("b.txt", "no more")
	if r = w.run("retry", "out", "--task", "shout"); r.code != 0 {
		t.Fatal(r)
	}
	r = w.tiger(1)
	says(t, r.stdout, ": 2 files in")
	w.has("out/count", "a.json", "b.json", "c.err", "d.json")
	w.has("out/.tigerflow/tasks/shout/outputs", "c.loud")
}

// A failure in one branch leaves the others going, and counts once.
func TestFanOut(t *testing.T) {
	branch := func(name string) string {
		return strings.Replace(shoutAndCount[strings.Index(shoutAndCount, "  - name: count"):], "name: count", "name: "+name, 1)
	}
	w := newPipeline(t, shoutAndCount+branch("again")+strings.Replace(branch("copy"), "./count.py", "tigerflow.library.echo", 1))
	w.write("config.yaml", strings.Replace(w.text("config.yaml"), "name: copy\n    depends_on: shout\n    kind: local_async", "name: copy\n    depends_on: shout\n    kind: local", 1))
	w.write("config.yaml", w.withoutLastLines("config.yaml", 2))
	w.put("a.txt", "one")
	w.put("b.txt", "bad")
	r := w.tiger(1)
	says(t, r.stderr, "1 of 2 files failed")
	w.has("out/count", "a.json", "b.err")
	w.has("out/again", "a.json", "b.err")
	w.has("out/copy", "a.json", "b.json")
	w.has("out/.tigerflow/tasks/shout/outputs", "b.loud")
}

func (w *work) text(name string) string {
	w.Helper()
	text, err := os.ReadFile(w.path(name))
	w.must(err)
	return string(text)
}

func (w *work) withoutLastLines(name string, n int) string {
	all := lines(w.text(name))
	return strings.Join(all[:len(all)-n], "\n") + "\n"
}

func TestDeleteInput(t *testing.T) {
	w := newPipeline(t, shoutAndCount)
	w.put("a.txt", "one")
	w.put("b.txt", "silence")
	w.tiger(1, "--delete-input")
	w.has("in", "b.txt")
	w.has("out/count", "a.json")
	w.tiger(1, "--delete-input")
	w.has("out/count", "a.json")
}

// A run that is killed goes on where it stood.
func TestPipelineKilled(t *testing.T) {
	w := newPipeline(t, shoutAndCount)
	const n = 300
	for i := range n {
		w.put(numbered(i), "word")
	}
	for _, until := range []int{1, 40, 120} {
		cmd := w.command("run", "config.yaml", "in", "out", "--idle-timeout", "0")
		w.must(cmd.Start())
		w.wait("outputs", func() bool { return len(w.files("out/count")) >= until })
		w.must(cmd.Process.Signal(syscall.SIGKILL))
		w.waitFor(cmd)
		w.noneLeft()
	}
	w.tiger(0)
	if got := len(w.files("out/count")); got != n {
		t.Errorf("%d outputs of %d", got, n)
	}
	w.has("out/.tigerflow/tasks/shout/outputs")
}

func TestDryRun(t *testing.T) {
	w := newPipeline(t, strings.Replace(shoutAndCount, "\ntasks:", "\nstaging:\n  steps:\n    - {kind: max_batch, count: 2}\ntasks:", 1))
	for i := range 5 {
		w.put(numbered(i), "word")
	}
	r := w.tiger(0, "--dry-run")
	says(t, r.stdout, "shout", "python3 shout.py", "in/*.txt", "out/count/*.json", "(until they are read)", "5 files in", "2 files would be staged first", "f00000.txt")
	if exists(w.path("out")) {
		t.Error("a dry run has made the output folder")
	}
}

// A run in the background is under way when the command returns, and goes on without it.
func TestBackground(t *testing.T) {
	w := newPipeline(t, shoutAndCount)
	w.put("a.txt", "one")
	r := w.run("run", "config.yaml", "in", "out", "--idle-timeout", "1h", "-b")
	if r.code != 0 {
		t.Fatal(r)
	}
	says(t, r.stdout, "Started (pid ", "tigerflow stop "+w.path("out"))
	w.wait("the output", func() bool { return exists(w.path("out/count/a.json")) })
	if r := w.run("run", "config.yaml", "in", "out", "-b"); r.code != 2 || !strings.Contains(r.stderr, "is in use by") {
		t.Errorf("a second run: %v", r)
	}
	w.put("b.txt", "two")
	w.wait("the later output", func() bool { return exists(w.path("out/count/b.json")) })
	var pid int
	if _, err := fmt.Sscanf(r.stdout, "Started (pid %d)", &pid); err != nil {
		t.Fatal(err)
	}
	w.must(syscall.Kill(pid, syscall.SIGTERM))
	w.wait("its end", func() bool { return syscall.Kill(pid, 0) != nil })
	says(t, w.text("out/.tigerflow/run.log"), "results in "+w.path("out"))
}

func TestRunUsage(t *testing.T) {
	w := newPipeline(t, shoutAndCount)
	w.task("handler: {builtin: echo}")
	w.write("circle.yaml", strings.Replace(shoutAndCount, "kind: local\n", "kind: local\n    depends_on: count\n", 1))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"config.yaml"}, "config.yaml is a TigerFlow configuration: give its folders as well, tigerflow run config.yaml INPUT_DIR OUTPUT_DIR"},
		{[]string{"t.yaml", "in", "out"}, "t.yaml is no TigerFlow configuration"},
		{[]string{"t.yaml", "--delete-input"}, "--delete-input: a Pipeline has inputPolicy: Delete for that"},
		{[]string{"config.yaml", "in"}, "takes FILE, or CONFIG INPUT_DIR OUTPUT_DIR, and got 2 arguments"},
		{[]string{"config.yaml", "nowhere", "out"}, "InputNotFound: the input directory " + w.path("nowhere") + " does not exist"},
		{[]string{"circle.yaml", "in", "out"}, `circle.yaml:3: task "shout": it depends on itself`},
		{[]string{"config.yaml", "in", "out", "--idle-timeout", "soon"}, "give a number of minutes, or a duration such as 30s"},
	} {
		r := w.run(append([]string{"run"}, tt.args...)...)
		if r.code != 2 || !strings.Contains(r.stderr, tt.want) || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
			t.Errorf("%q: exit code %d, %s%s", tt.args, r.code, r.stdout, r.stderr)
		}
	}
}

// Our own Pipelines run as well: their staging, their limit of what is between two tasks, their end.
func TestPipeline(t *testing.T) {
	w := newPipeline(t, "")
	w.write("choose.py", "def odd(candidates, context):\n    return [c for c in candidates if int(c.stem) % 2]\n")
	w.write("p.yaml", `
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: p}
spec:
  workspace: {path: .}
  input: {directory: in, extension: .txt}
  output: {directory: out}
  staging: [{minSize: 2}, {callable: "choose:odd"}, {sortBy: {key: Name, reverse: true}}]
  maxIntermediates: 2
  tasks:
    - {name: shout, type: Local, outputPolicy: Delete, durability: None, output: {extension: .loud}, handler: {python: {module: shout.py}}, params: {mark: "?"}}
    - {name: copy, dependsOn: shout, type: Local, durability: None, output: {extension: .txt}, handler: {builtin: echo}}
    - {name: other, type: LocalAsync, localAsync: {concurrency: 2}, durability: None, output: {extension: .md}, handler: {builtin: echo}}
`)
	for i := range 9 {
		w.put(fmt.Sprint(i)+".txt", "word")
	}
	w.put("11.txt", "")
	began := time.Now()
	if r := w.run("run", "p.yaml"); r.code != 0 {
		t.Fatal(r)
	}
	t.Log(time.Since(began))
	w.has("out/copy", "1.txt", "3.txt", "5.txt", "7.txt")
	w.has("out/other", "1.md", "3.md", "5.md", "7.md")
	w.has("out/.tigerflow/tasks/shout/outputs")
	w.output("copy/7.txt", "WORD?")
}

// What a run of TigerFlow has left unfinished is finished: what it has done is not done again.
func TestTakeOver(t *testing.T) {
	w := newPipeline(t, shoutAndCount)
	for _, name := range []string{"through", "halfway", "failed", "waiting"} {
		w.put(name+".txt", name)
	}
	for path, content := range map[string]string{
		".tigerflow/.symlinks/halfway.txt": "",
		".tigerflow/.symlinks/failed.txt":  "",
		".tigerflow/.finished/through.txt": "",
		".tigerflow/shout/halfway.loud":    "as it was left",
		".tigerflow/shout/failed.err":      `{"file": "failed.txt", "timestamp": "2026-01-02T03:04:05", "exception_type": "ValueError", "message": "theirs", "traceback": ""}`,
		".tigerflow/count/.keep":           "",
		".tigerflow/run.pid":               "999999999",
		"count/through.json":               "theirs",
	} {
		w.must(os.MkdirAll(filepath.Dir(w.path("out", path)), 0o755))
		w.must(os.WriteFile(w.path("out", path), []byte(content), 0o644))
	}
	r := w.tiger(1)
	says(t, r.stderr, "1 of 4 files failed")
	says(t, r.stdout, `failed in shout: "failed.txt": ValueError: theirs`)
	w.output("count/through.json", "theirs")
	w.output("count/halfway.json", `{"words": 4, "text": "as it was left"}`)
	w.output("count/waiting.json", `{"words": 1, "text": "WAITING!"}`)
	w.has("out/count", "halfway.json", "through.json", "waiting.json")
}
