package pod

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

// What real kubelets say of workers that do not come to work, in words that name the mend.
func TestFaultsOfPods(t *testing.T) {
	l := newLab(t)
	l.image = l.load("images/worker")
	l.must(os.MkdirAll(l.path("workers"), 0o777))
	l.open(l.workspace)
	scripted := l.build()
	for i, tt := range []struct {
		name   string
		change func(*Config, *v1alpha1.Task, *executor.Spec)
		phase  executor.Phase
		reason string // part
		stall  string // part
	}{
		{
			"an image that nobody has", func(_ *Config, _ *v1alpha1.Task, s *executor.Spec) { s.Container.Image = "test.local/absent:1" },
			executor.Held, "ErrImage", "correct spec.container.image, or name a secret",
		},
		{
			"a worker's image that nobody has", func(c *Config, _ *v1alpha1.Task, _ *executor.Spec) { c.Images.Worker = "test.local/absent:1" },
			executor.Held, "ErrImage", "ask the administrator of the manager",
		},
		{
			"an image without a name", func(_ *Config, _ *v1alpha1.Task, s *executor.Spec) { s.Container.Image = "a::b" },
			executor.Held, "InvalidImageName", "the image a::b cannot be had",
		},
		{
			"no node", func(_ *Config, _ *v1alpha1.Task, s *executor.Spec) { s.Resources.CPUs = 4000 },
			executor.Pending, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu", "",
		},
		{
			"a worker that the image lacks",
			func(_ *Config, t *v1alpha1.Task, _ *executor.Spec) {
				t.Spec.Container = &v1alpha1.Container{WorkerPath: "/absent"}
			},
			executor.Failed, "StartError: exit status 128: ", "spec.container.workerPath: the image's worker cannot be run: ",
		},
		{
			"too little memory",
			func(c *Config, _ *v1alpha1.Task, s *executor.Spec) {
				c.Images.Worker, c.Images.Python, s.Args, s.Resources.Memory = scripted, scripted, []string{"--eat"}, 128<<20
			},
			executor.OutOfMemory, "OOMKilled: signal: killed", "",
		},
		{
			"a log that cannot be written", func(_ *Config, _ *v1alpha1.Task, s *executor.Spec) { s.Log = "/proc/log" },
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
			task := l.task.DeepCopy()
			tt.change(&own.cfg, task, &s)
			l.must(own.For(task).Start(t.Context(), []executor.Spec{s}))
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

// What becomes of workers at work that others end.
func TestEndsByOthers(t *testing.T) {
	l := newLab(t)
	l.image = l.build()
	l.must(os.MkdirAll(l.path("workers"), 0o777))
	l.open(l.workspace)
	e := l.executor()
	defer e.Close()
	var avoid []string
	for i, tt := range []struct {
		name   string
		end    func(id executor.WorkerID, pod string)
		phase  executor.Phase
		reason string
	}{
		{"kubectl delete", func(_ executor.WorkerID, pod string) { l.must(l.pods.Delete(t.Context(), pod, metav1.DeleteOptions{})) }, executor.Lost, "somebody has deleted the Pod"},
		{
			"kubectl drain", func(_ executor.WorkerID, pod string) {
				l.must(l.pods.EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: l.namespace}}))
			},
			executor.Lost, "EvictionByEvictionAPI: Eviction API: evicting",
		},
		{"kill -9", func(id executor.WorkerID, _ string) { l.kill(id) }, executor.Failed, "signal: killed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := *l
			l.TB = t
			id := executor.WorkerID{Key: "e", Index: i, Restart: 1}
			s := executor.Spec{ID: id, Spool: l.workspace, Log: l.path("logs", id.String()), Args: []string{"--deaf"}, DrainTimeout: time.Second, Avoid: avoid}
			l.must(e.For(l.task).Start(t.Context(), []executor.Spec{s}))
			l.await(e, id, func(w executor.Worker) bool {
				return w.Phase == executor.Running && l.exists("workers", id.String(), "report")
			})
			tt.end(id, name(l.task, id))
			w := l.await(e, id, func(w executor.Worker) bool { return w.Phase.Terminal() })
			if w.Phase != tt.phase || w.Reason != tt.reason || !w.Witnessed || w.Node == "" {
				t.Errorf("%+v, want %s, %q, witnessed, on a node", w, tt.phase, tt.reason)
			}
			avoid = []string{w.Node, "another"} // the next one has no other, and is to come there all the same
		})
	}
}

// kill kills a worker's first process, which this machine sees as well.
func (l *lab) kill(id executor.WorkerID) {
	l.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	l.must(err)
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(l.workspace+"\x00--id\x00"+id.String()+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		l.must(err)
		l.must(syscall.Kill(pid, syscall.SIGKILL))
		return
	}
	l.Fatalf("no process of worker %s", id)
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
