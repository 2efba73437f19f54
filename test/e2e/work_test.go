package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

const patience = time.Minute

// work is a workspace with inputs and a Task over them.
type work struct {
	*testing.T
	dir string
}

// newWork makes an empty workspace. At the end of the test its spool must be in order and no process of it left.
func newWork(t *testing.T) *work {
	t.Helper()
	w := &work{T: t, dir: t.TempDir()}
	w.must(os.Mkdir(w.path("in"), 0o777))
	t.Cleanup(func() {
		w.noneLeft()
		tasks, err := spool.Tasks(w.path("out"))
		w.must(err)
		for _, task := range tasks {
			spooltest.Check(t, spool.Dir(w.path("out"), task))
		}
	})
	return w
}

func (w *work) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *work) path(names ...string) string {
	return filepath.Join(append([]string{w.dir}, names...)...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// put makes an input file that is old enough to be taken at once.
func (w *work) put(name, content string) {
	w.Helper()
	w.must(os.WriteFile(w.path("in", name), []byte(content), 0o644))
	past := time.Now().Add(-time.Hour)
	w.must(os.Chtimes(w.path("in", name), past, past))
}

func (w *work) write(name, content string) string {
	w.Helper()
	w.must(os.WriteFile(w.path(name), []byte(content), 0o644))
	return w.path(name)
}

// task writes t.yaml: a Task of type Local over in and out, whose spec has the further fields in YAML.
func (w *work) task(spec string) string {
	w.Helper()
	fields := map[string]any{}
	w.must(yaml.Unmarshal([]byte("{type: Local, workspace: {path: .}, input: {directory: in, extension: .txt}, output: {directory: out, extension: .txt}}"), &fields))
	more := map[string]any{}
	w.must(yaml.Unmarshal([]byte(strings.ReplaceAll(spec, "$DIR", w.dir)), &more))
	maps.Copy(fields, more)
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "tigerflow.dev/v1alpha1", "kind": "Task", "metadata": map[string]any{"name": "t"}, "spec": fields,
	})
	w.must(err)
	return w.write("t.yaml", string(text))
}

// result is what became of a command.
type result struct {
	code           int
	stdout, stderr string
}

// command is tigerflow with arguments, not started, in the workspace.
func (w *work) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.Context(), tigerflow, args...)
	cmd.Dir = w.dir
	return cmd
}

// run runs tigerflow to its end.
func (w *work) run(args ...string) result {
	w.Helper()
	return w.finish(w.command(args...))
}

func (w *work) finish(cmd *exec.Cmd) result {
	w.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	w.must(cmd.Start())
	return result{w.waitFor(cmd), stdout.String(), stderr.String()}
}

// waitFor waits for a command that has been started, and returns its exit code.
func (w *work) waitFor(cmd *exec.Cmd) int {
	w.Helper()
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // its goroutines are then on stderr
	defer timer.Stop()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	w.must(err)
	return 0
}

// good runs the Task and fails the test unless it succeeds.
func (w *work) good() result {
	w.Helper()
	r := w.run("run", "t.yaml")
	if r.code != 0 {
		w.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return r
}

func (w *work) output(name, want string) {
	w.Helper()
	got, err := os.ReadFile(w.path("out", name))
	if err != nil || string(got) != want {
		w.Errorf("output %q is %.100q, want %.100q (%v)", name, got, want, err)
	}
}

func (w *work) wait(what string, ok func() bool) {
	w.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

// processes lists the processes that belong to workers of this workspace: those with the id of one of its spools in their
// cookie.
func (w *work) processes() []int {
	tasks, err := spool.Tasks(w.path("out"))
	w.must(err)
	var cookies [][]byte
	for _, task := range tasks {
		if s, err := spool.Open(spool.Dir(w.path("out"), task)); err == nil { // else no worker was ever started
			cookies = append(cookies, []byte(tether.CookieEnv+"="+s.ID()))
		}
	}
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	w.must(err)
	var pids []int
	for _, path := range found {
		environ, err := os.ReadFile(path)
		ours := func(cookie []byte) bool { return bytes.Contains(environ, cookie) }
		if err != nil || !slices.ContainsFunc(cookies, ours) {
			continue // it has ended, or is another's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (w *work) noneLeft() {
	w.Helper()
	w.wait("the end of all workers and handlers", func() bool { return len(w.processes()) == 0 })
}

// lines returns the lines of a text that is not empty.
func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

func numbered(i int) string { return fmt.Sprintf("f%05d.txt", i) }
