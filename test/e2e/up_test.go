package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plane is a running `tigerflow up`.
type plane struct {
	*work
	cmd            *exec.Cmd
	stdout, stderr string // the files with what it prints
	kubeconfig     string
}

// up starts `tigerflow up` and waits for the line that a shell evaluates.
func (w *work) up(args ...string) *plane {
	w.Helper()
	p := &plane{work: w, cmd: w.command(append([]string{"up"}, args...)...)}
	stdout, stderr := w.file("up.out"), w.file("up.err")
	p.stdout, p.stderr = stdout.Name(), stderr.Name()
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	w.must(p.cmd.Start())
	w.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	w.wait("the export line", func() bool { return strings.HasSuffix(w.read(p.stdout), "\n") })
	line := w.read(p.stdout)
	path, ok := strings.CutPrefix(line, "export KUBECONFIG=")
	if !ok || strings.Count(line, "\n") != 1 {
		w.Fatalf("up printed %q", line)
	}
	p.kubeconfig = strings.TrimSpace(path)
	return p
}

func (w *work) read(path string) string {
	w.Helper()
	text, err := os.ReadFile(path)
	w.must(err)
	return string(text)
}

// stop sends SIGTERM and checks that the end comes soon and leaves nothing.
func (p *plane) stop() {
	p.Helper()
	began := time.Now()
	p.must(p.cmd.Process.Signal(syscall.SIGTERM))
	if code := p.waitFor(p.cmd); code != 0 {
		p.Errorf("exit code %d: %s", code, p.read(p.stderr))
	}
	took := time.Since(began)
	p.Logf("up ended in %s", took)
	if took > 2*time.Second {
		p.Errorf("up took %s to end", took)
	}
	if exists(p.kubeconfig) {
		p.Errorf("%s is still there", p.kubeconfig)
	}
	p.noneLeft()
}

// kubectl runs kubectl and returns what it prints.
func (p *plane) kubectl(args ...string) string {
	p.Helper()
	out, err := p.kubectlCommand(args...).CombinedOutput()
	if err != nil {
		p.Fatalf("kubectl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (p *plane) kubectlCommand(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.Context(), "kubectl", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig, "HOME="+p.dir)
	cmd.Dir = p.dir
	return cmd
}

// needKubectl skips where there is no kubectl; make test brings one.
func needKubectl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("kubectl"); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no kubectl on the PATH: use make test, which brings one")
	}
	t.Skip("there is no kubectl on the PATH; make test brings one")
}

func TestKubectl(t *testing.T) {
	needKubectl(t)
	w := newWork(t)
	w.put("hello.txt", "hello\n")
	sample, err := os.ReadFile("../../config/samples/task.yaml")
	w.must(err)
	w.write("task.yaml", strings.ReplaceAll(string(sample), "/tmp/tigerflow-sample", w.dir))
	p := w.up()
	if got := w.read(p.stderr); !strings.Contains(got, "The objects end with this process") {
		t.Errorf("up does not say that objects end with it: %q", got)
	}
	if info, err := os.Stat(p.kubeconfig); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig is %v, %v", info, err)
	}
	watch := p.kubectlCommand("get", "tasks", "--watch")
	seen := w.file("watch")
	watch.Stdout = seen
	w.must(watch.Start())
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()

	if got := p.kubectl("apply", "-f", "task.yaml"); got != "task.tigerflow.dev/echo created\n" {
		t.Errorf("apply printed %q", got)
	}
	p.kubectl("wait", "task/echo", "--for=jsonpath={.status.files.done}=1", "--timeout=60s")
	w.output("hello.txt", "> HELLO\n")
	p.kubectl("wait", "task/echo", "--for=condition=Ready", "--timeout=60s")
	if got := p.kubectl("get", "tft", "echo"); !strings.HasPrefix(got, "NAME   TYPE    STATE") || !strings.Contains(got, "echo   Local   Idle") {
		t.Errorf("get printed\n%s", got)
	}
	if got := p.kubectl("explain", "task.spec.input.extension"); !strings.Contains(got, "which marks failures") {
		t.Errorf("explain printed\n%s", got)
	}
	if got := p.kubectl("describe", "task", "echo"); !strings.Contains(got, "no files to process") {
		t.Errorf("describe printed\n%s", got)
	}
	if got := p.kubectl("apply", "-f", "task.yaml"); got != "task.tigerflow.dev/echo unchanged\n" {
		t.Errorf("the second apply printed %q", got)
	}
	p.kubectl("patch", "task", "echo", "--type=merge", "-p", `{"spec":{"completeAfterIdle":"0s"}}`)
	p.kubectl("wait", "task/echo", "--for=condition=Complete", "--timeout=60s")
	if got := p.kubectl("delete", "task", "echo", "--timeout=60s"); !strings.Contains(got, `task.tigerflow.dev "echo" deleted`) {
		t.Errorf("delete printed %q", got)
	}
	if got := p.kubectl("get", "tasks"); !strings.Contains(got, "No resources found") {
		t.Errorf("after delete, get printed %q", got)
	}
	w.output("hello.txt", "> HELLO\n")
	w.wait("the watch to show the end", func() bool { return strings.Contains(w.read(seen.Name()), "Complete") })
	p.stop()
	if text := w.read(p.stderr); strings.Contains(text, "error") {
		t.Errorf("stderr: %s", text)
	}
}

// A signal ends `up` within two seconds, watches and busy workers or not, and the next one goes on.
func TestUpEndsSoon(t *testing.T) {
	w := newWork(t)
	w.put("a.txt", "a")
	w.must(syscall.Mkfifo(w.path("gate"), 0o600))
	w.must(os.Mkdir(w.path("tasks"), 0o777))
	w.task(`{workspace: {path: ..}, handler: {command: [sh, -c, 'touch "$2/begun"; trap "" TERM; cat "$2/gate" >/dev/null; cp "$0" "$1"', "{input}", "{output}", $DIR]}}`)
	w.must(os.Rename(w.path("t.yaml"), w.path("tasks", "t.yaml")))
	p := w.up("-f", "tasks")
	if got := w.read(p.stderr); !strings.Contains(got, "1 file of tasks applied") {
		t.Errorf("up says %q", got)
	}
	w.wait("a file in hand", func() bool { return exists(w.path("begun")) })
	if _, err := exec.LookPath("kubectl"); err == nil {
		watch := p.kubectlCommand("get", "tasks", "--watch")
		out, err := watch.StdoutPipe()
		w.must(err)
		w.must(watch.Start())
		_, err = out.Read(make([]byte, 1)) // it watches once it has printed what there is
		w.must(err)
		defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()
	}
	p.stop()

	w.must(os.Remove(w.path("gate")))
	w.write("gate", "")
	p = w.up("-f", "tasks")
	w.wait("the output", func() bool { return exists(w.path("out", "a.txt")) })
	w.output("a.txt", "a")
	p.stop()
}
