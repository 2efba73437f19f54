package pod

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	// For longer than a worker without signs of life is waited for.
	p.until("two minutes to pass", func() bool {
		if r := p.state.Fleet; r.Running != 1 || r.Unreachable.Ref == "" || len(p.list()) > 0 {
			t.Fatalf("%+v, %d Pods", r, len(p.list()))
		}
		return time.Since(seen) > 2*time.Minute
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

// What real kubelets say of workers that do not come to work, in words that name the mend.
func TestFaultsOfPods(t *testing.T) {
	l := newLab(t)
	l.image = l.load("images/worker")
	l.must(os.MkdirAll(l.path("workers"), 0o777))
	l.open(l.workspace)
	e := l.executor()
	defer e.Close()
	for i, tt := range []struct {
		name   string
		change func(*Config, *executor.Spec)
		phase  executor.Phase
		reason string // part
		stall  string // part
	}{
		{
			"an image that nobody has", func(_ *Config, s *executor.Spec) { s.Container.Image = "test.local/absent:1" },
			executor.Held, "ErrImage", "correct spec.container.image, or name a secret",
		},
		{
			"a worker's image that nobody has", func(c *Config, _ *executor.Spec) { c.Images.Worker = "test.local/absent:1" },
			executor.Held, "ErrImage", "ask the administrator of the manager",
		},
		{
			"an image without a name", func(_ *Config, s *executor.Spec) { s.Container.Image = "a::b" },
			executor.Held, "InvalidImageName", "the image a::b cannot be had",
		},
		{
			"no node", func(_ *Config, s *executor.Spec) { s.Resources.CPUs = 4000 },
			executor.Pending, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu", "",
		},
		{
			"a log that cannot be written", func(_ *Config, s *executor.Spec) { s.Log = "/proc/log" },
			executor.Failed, "exit status 1: error: opening the log: open /proc/log:", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := executor.WorkerID{Key: "f", Index: i, Restart: 1}
			s := executor.Spec{ID: id, Spool: l.workspace, Log: l.path("logs", id.String())}
			l := *l
			l.TB = t
			own := l.executor()
			defer own.Close()
			tt.change(&own.cfg, &s)
			l.must(own.For(l.task).Start(t.Context(), []executor.Spec{s}))
			w := l.await(own, id, func(w executor.Worker) bool {
				return w.Phase == tt.phase && strings.Contains(strings.ReplaceAll(w.Reason, "ImagePullBackOff", "ErrImagePull"), tt.reason)
			})
			if got := fmt.Sprint(w.Stall); (w.Stall == nil) != (tt.stall == "") || w.Stall != nil && !strings.Contains(got, tt.stall) {
				t.Errorf("stall %q, want %q", got, tt.stall)
			}
			l.must(own.Stop(t.Context(), []executor.WorkerID{id}, executor.Kill))
			end := l.await(own, id, func(w executor.Worker) bool { return w.Phase.Terminal() })
			if !end.Witnessed {
				t.Errorf("its end is not certain: %+v", end)
			}
		})
	}
}

// await waits until a worker is as wanted.
func (l *lab) await(e *Executor, id executor.WorkerID, is func(executor.Worker) bool) executor.Worker {
	l.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		list, err := e.List(l.Context())
		l.must(err)
		for _, w := range list {
			if w.ID == id && is(w) {
				return w
			}
		}
		select {
		case <-e.Changes():
		case <-deadline:
			l.Fatalf("the workers are %+v", list)
		}
	}
}
