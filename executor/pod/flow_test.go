package pod

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

// solo is the author's code of a Task that must never run twice at once: it waits for a word, and tells if it is not alone.
func solo(input, output string) error {
	dir := filepath.Dir(filepath.Dir(input))
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(err, os.WriteFile(filepath.Join(dir, "two"), nil, 0o600))
	}
	if err := os.WriteFile(filepath.Join(dir, "begun"), nil, 0o666); err != nil { //nolint:gosec // the test removes it
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "gate")); err == nil {
			return os.WriteFile(output, []byte("alone"), 0o600)
		}
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // user code may
	}
}

// plant is a Task at work in a lab: a dispatcher in this process, and workers in Pods.
type plant struct {
	*lab
	flow  flow.Flow
	e     executor.Executor
	spec  spool.Spec
	need  fleet.Need
	state flow.State

	changed func(*dispatcher.Snapshot)
}

func newPlant(l *lab, e executor.Executor, change func(*spool.Spec)) *plant {
	l.Helper()
	p := &plant{lab: l, e: e, need: fleet.Need{Task: "demo", Max: 1, DrainTimeout: 5 * time.Second, IdleTimeout: time.Hour}}
	p.spec = spool.Spec{
		Task: "demo", Type: spool.TypeLocal, WorkDir: spool.Name(l.workspace), InputDir: spool.Name(l.path("in")), InputExt: ".a",
		OutputDir: spool.Name(l.path("out")), OutputExt: ".b", Handler: spool.Handler{Builtin: "echo"}, Concurrency: 1,
		Retry: spool.Retry{Attempts: 1, CrashLimit: 3}, Revision: "1",
	}
	change(&p.spec)
	l.must(os.MkdirAll(l.path("in"), 0o777))
	l.must(os.MkdirAll(l.path("out"), 0o777))
	l.open(l.workspace)
	old := syscall.Umask(0) // what this process makes, the workers' user writes, too
	l.Cleanup(func() {
		syscall.Umask(old)
		l.must(p.flow.Close())
		if !l.exists("out") {
			return
		}
		spooltest.Check(l, spool.Dir(l.path("out"), "demo"))
	})
	return p
}

func (l *lab) path(names ...string) string {
	return filepath.Join(append([]string{l.workspace}, names...)...)
}

func (l *lab) put(names ...string) {
	l.Helper()
	past := time.Now().Add(-time.Hour)
	for _, name := range names {
		path := l.path("in", name)
		l.must(os.WriteFile(path, []byte(name), 0o666)) //nolint:gosec // another user reads it
		l.must(os.Chtimes(path, past, past))
	}
}

func (l *lab) exists(names ...string) bool {
	_, err := os.Lstat(l.path(names...))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.Error(err)
	}
	return err == nil
}

// step has the Task go on.
func (p *plant) step() {
	p.Helper()
	err := p.flow.Open(p.spec, flow.Config{
		Owner: spool.Owner{Plane: "test", Namespace: p.namespace, Name: "demo"}, Executor: p.e, Log: slog.New(slog.DiscardHandler), Changed: p.changed,
	})
	p.must(err)
	p.state, err = p.flow.Step(p.Context(), time.Now(), flow.Want{Need: p.need})
	p.must(err)
}

// until lets the Task go on until ok holds.
func (p *plant) until(what string, ok func() bool) {
	p.Helper()
	deadline := time.After(10 * time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		p.step()
		if ok() {
			return
		}
		select {
		case <-deadline:
			p.Fatalf("waiting for %s: %+v, %+v", what, p.state, p.state.Snapshot)
		case <-p.e.(executor.Notifier).Changes():
		case <-tick.C:
		}
	}
}

func (p *plant) list() []corev1.Pod {
	p.Helper()
	all, err := p.pods.List(p.Context(), metav1.ListOptions{})
	p.must(err)
	return all.Items
}

// Setup commands want a shell, which not every image has.
func TestNoShell(t *testing.T) {
	l := newLab(t)
	l.image = l.load("images/worker")
	e := l.executor()
	defer e.Close()
	e.cfg.Images.Python = l.image
	p := newPlant(l, e.For(l.task), func(s *spool.Spec) { s.SetupCommands = []string{"true"} })
	l.put("1.a")
	p.until("the reason", func() bool { return p.state.Fleet.Stall != nil && p.state.Fleet.Stall.Reason == spool.ExitNoShell })
	want := "setup commands: there is neither /bin/bash nor /bin/sh: leave setupCommands out, or use an image that has one"
	if got := p.state.Fleet.Stall.Failure.Message; got != want {
		t.Errorf("told is %q, want %q", got, want)
	}
}

// An image that brings the worker needs no other put into its Pods.
func TestWorkerOfTheImage(t *testing.T) {
	l := newLab(t)
	l.image = "test.local/absent:1"
	e := l.executor()
	defer e.Close()
	image := l.load("images/worker")
	l.task.Spec.Container = &v1alpha1.Container{Image: image, WorkerPath: "/tigerflow-worker"}
	p := newPlant(l, e.For(l.task), func(*spool.Spec) {})
	p.need.Container.Image = image
	l.put("1.a")
	p.until("the file", func() bool { return p.state.Snapshot.Done == 1 })
}

// While the kubelet is stopped, its Node object deleted, and with it by the control plane the Pod, the container runs on. There
// is no second worker then, and none until the first one's end is certain.
func TestNeverTwoWithoutTheKubelet(t *testing.T) {
	l := newOwnLab(t)
	l.image = l.load("images/worker")
	e := l.executor()
	t.Cleanup(e.Close)
	e.cfg.Images.Python = l.build()
	p := newPlant(l, e.For(l.task), func(s *spool.Spec) {
		s.Handler = spool.Handler{Command: []string{"/tigerflow-worker", "solo", "{input}", "{output}"}}
	})
	l.put("1.a", "2.a", "3.a")
	p.until("the first file in hand", func() bool { return l.exists("begun") })

	l.node("component.sh", "kill", "kubelet")
	l.kubectl("delete", "node", "node0")
	p.until("the Pod to be collected", func() bool { return len(p.list()) == 0 })
	var seen time.Time
	p.until("the executor to tell so", func() bool {
		workers, err := p.e.List(t.Context())
		l.must(err)
		seen = time.Now()
		return len(workers) == 1 && workers[0].Phase == executor.Lost && !workers[0].Witnessed
	})
	// For longer than a worker without signs of life is waited for: 90 seconds.
	p.until("the time to pass", func() bool {
		if r := p.state.Fleet; r.Running != 1 || r.Unreachable.Ref == "" || len(p.list()) > 0 {
			t.Fatalf("%+v, %d Pods", r, len(p.list()))
		}
		return time.Since(seen) > 100*time.Second
	})
	l.must(os.WriteFile(l.path("gate"), nil, 0o600))
	p.until("the files to be done by the one that goes on", func() bool { return p.state.Snapshot.Done == 3 })
	l.must(os.Remove(l.path("gate")))
	l.must(os.Remove(l.path("begun")))

	// The kubelet ends what the API server does not know of. The next worker comes after that.
	l.put("4.a")
	p.until("the next file in hand", func() bool { return l.exists("begun") })
	l.node("component.sh", "start", "kubelet")
	p.until("a successor", func() bool { return len(p.list()) > 0 })
	l.must(os.WriteFile(l.path("gate"), nil, 0o600))
	p.until("the last file", func() bool { return p.state.Snapshot.Done == 4 })
	if l.exists("two") {
		t.Error("there were two at once")
	}
}

func (l *lab) kubectl(args ...string) string {
	l.Helper()
	return l.run(filepath.Join(l.dir, "bin", "kubectl"), append([]string{"--kubeconfig", filepath.Join(l.dir, "admin.kubeconfig")}, args...)...)
}
