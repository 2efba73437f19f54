package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

var word = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// Real source files, run by each kind of handler, give what is told otherwise from the same files.
func TestHandlers(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src", "strings", "*.go"))
	if err != nil || len(sources) < 10 {
		t.Fatalf("the Go sources are %q, %v", sources, err)
	}
	markers, err := filepath.Abs("../../examples/markers/markers.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, spec string
		check      func(input, output string) bool
	}{
		{"builtin", `handler: {builtin: echo}
params: {prefix: "// "}`, func(in, out string) bool { return out == "// "+in }},
		{"program", fmt.Sprintf(`handler: {program: {path: %q}}`, identifiers), countsWords},
		{"python", fmt.Sprintf(`handler: {python: {module: %q}}
params: {marker: TODO}`, markers), func(in, out string) bool {
			want := regexp.MustCompile(`(?m)^.*\bTODO\b.*$`).FindAllString(in, -1)
			return len(want) == strings.Count(out, "\n")
		}},
		{"command", `handler: {command: [sort, -o, "{output}", "{input}"]}
container: {env: [{name: LC_ALL, value: C}]}`, func(in, out string) bool {
			all := lines(in)
			slices.Sort(all)
			return out == strings.Join(all, "\n")+"\n"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWork(t)
			for _, path := range sources {
				w.must(os.Symlink(path, w.path("in", filepath.Base(path))))
			}
			w.task("{type: LocalAsync, localAsync: {concurrency: 2}, input: {directory: in, extension: .go}}")
			text, err := os.ReadFile(w.path("t.yaml"))
			w.must(err)
			w.write("t.yaml", string(text)+indent(tt.spec))
			r := w.good()
			if !strings.Contains(r.stdout, fmt.Sprintf("t: %d files in ", len(sources))) {
				t.Errorf("no summary in\n%s", r.stdout)
			}
			for _, path := range sources {
				in, err := os.ReadFile(path)
				w.must(err)
				out, err := os.ReadFile(w.path("out", strings.TrimSuffix(filepath.Base(path), ".go")+".txt"))
				w.must(err)
				if !tt.check(string(in), string(out)) {
					t.Errorf("%s: wrong output", path)
				}
			}
		})
	}
}

// indent makes fields of the spec of the text that is appended to a manifest, which ends with the spec.
func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") + "\n" }

func countsWords(in, out string) bool {
	counts := map[string]int{}
	for _, name := range word.FindAllString(in, -1) {
		counts[name]++
	}
	for _, line := range lines(out) {
		var name string
		var n int
		if _, err := fmt.Sscanf(line, "%s %d", &name, &n); err != nil || counts[name] != n {
			return false
		}
		delete(counts, name)
	}
	return len(counts) == 0
}

func TestRerun(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "a")
	w.put("b.txt", "b")
	w.task(`{handler: {builtin: echo}}`)
	w.good()
	before, err := os.Stat(w.path("out", "a.txt"))
	w.must(err)

	if r := w.good(); !strings.Contains(r.stdout, "t: 0 files in ") {
		t.Errorf("the second run did something:\n%s", r.stdout)
	}
	w.put("c.txt", "c")
	if r := w.good(); !strings.Contains(r.stdout, "t: 1 file in ") {
		t.Errorf("the third run did not do the one new file:\n%s", r.stdout)
	}
	after, err := os.Stat(w.path("out", "a.txt"))
	w.must(err)
	if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("an output was made anew")
	}
	for _, name := range []string{"a", "b", "c"} {
		w.output(name+".txt", name)
	}
}

func TestFailedFiles(t *testing.T) {
	w := newWork(t)
	w.put("good.txt", "x")
	w.put("bad.txt", "x")
	w.task(`{handler: {command: [sh, -c, 'echo no luck with "$0" >&2; case "$0" in *bad*) exit 7;; esac; cp "$0" "$1"', "{input}", "{output}"]}}`)
	r := w.run("run", "t.yaml")
	if r.code != 1 || !strings.HasSuffix(r.stderr, "error: t: 1 of 2 files failed\n") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if !strings.Contains(r.stdout, `  failed: "bad.txt": `) {
		t.Errorf("the summary does not name the file:\n%s", r.stdout)
	}
	w.output("good.txt", "x")
	text, err := os.ReadFile(w.path("out", "bad.err"))
	if err != nil || !bytes.Contains(text, []byte("no luck with")) {
		t.Errorf("bad.err is %s, %v", text, err)
	}
	if exists(w.path("out", "bad.txt")) {
		t.Error("the failed file has an output")
	}
}

// A signal ends a run in good order, with the file in hand done if it is quick, and the next run goes on.
func TestInterrupt(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP) // a child does not ignore what its parent catches
	t.Cleanup(func() { signal.Stop(caught) })
	for _, number := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		t.Run(number.String(), func(t *testing.T) {
			t.Parallel()
			w := newWork(t)
			for i := range 3 {
				w.put(numbered(i), "x")
			}
			w.task(`{handler: {command: [sh, -c, 'touch "$2/begun"; cat "$2/gate" >/dev/null; cp "$0" "$1"', "{input}", "{output}", $DIR]}, drainTimeout: 1s}`)
			w.must(syscall.Mkfifo(w.path("gate"), 0o600))
			cmd := w.command("run", "t.yaml")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			w.must(cmd.Start())
			w.wait("a handler with a file in hand", func() bool { return exists(w.path("begun")) })
			w.must(cmd.Process.Signal(number))
			if got, want := w.waitFor(cmd), 128+int(number); got != want {
				t.Errorf("exit code %d, want %d: %s", got, want, stderr.String())
			}
			w.noneLeft()
			w.must(os.Remove(w.path("gate")))
			w.write("gate", "")
			w.good()
			for i := range 3 {
				w.output(numbered(i), "x")
			}
		})
	}
}

// A run that nobody listens to ends in good order, and the next one goes on.
func TestUnread(t *testing.T) {
	w := newWork(t)
	w.put(numbered(0), "x")
	w.task(`{handler: {command: [sh, -c, 'cat "$2/gate" >/dev/null; cp "$0" "$1"', "{input}", "{output}", $DIR]}, drainTimeout: 1s}`)
	w.must(syscall.Mkfifo(w.path("gate"), 0o600))
	cmd := w.command("run", "t.yaml")
	out, into, err := os.Pipe()
	w.must(err)
	cmd.Stderr = into
	w.must(out.Close())
	w.must(cmd.Start())
	w.must(into.Close())
	if got, want := w.waitFor(cmd), 128+int(syscall.SIGPIPE); got != want {
		t.Errorf("exit code %d, want %d", got, want)
	}
	w.noneLeft()
	w.must(os.Remove(w.path("gate")))
	w.write("gate", "")
	w.good()
	w.output(numbered(0), "x")
}

// Where nobody watches, progress is plain lines; on a terminal it is a bar.
func TestProgress(t *testing.T) {
	w := newWork(t)
	for i := range 200 {
		w.put(numbered(i), "x")
	}
	w.task(`{handler: {builtin: echo}}`)
	if r := w.good(); strings.ContainsAny(r.stderr, "\r\x1b") {
		t.Errorf("control characters in %q", r.stderr)
	}

	w.must(os.RemoveAll(w.path("out")))
	terminal, err := pty.StartWithSize(w.command("run", "t.yaml"), &pty.Winsize{Rows: 24, Cols: 80})
	w.must(err)
	defer terminal.Close()
	var shown bytes.Buffer
	_, _ = shown.ReadFrom(terminal) // ends with EIO when the command has
	text := shown.String()
	if !strings.Contains(text, "\r") || !strings.Contains(text, "200/200") {
		t.Errorf("no bar in %q", text)
	}
	if !strings.Contains(text, "t: 200 files in ") {
		t.Errorf("no summary in %q", text)
	}
}

func TestWorkspaceIsRelativeToTheFile(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "a")
	w.task(`{handler: {builtin: echo}}`)
	cmd := exec.CommandContext(t.Context(), tigerflow, "run", w.path("t.yaml"))
	cmd.Dir = "/"
	if r := w.finish(cmd); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	w.output("a.txt", "a")
}
