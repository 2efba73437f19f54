package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"tigerflow.dev/tigerflow/controllers/dispatcher"
	"tigerflow.dev/tigerflow/controllers/task"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube/wiretest"
)

func TestDispatcherServes(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.create("t", "{}", "{}")
	s.begin(dispatcher.KindTask, "t")
	s.done("t", 1)
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ok\n", "/metrics": `tigerflow_task_files{state="done",task="t"} 1`,
	} {
		answer, err := http.Get("http://" + s.listen + path)
		s.must(err)
		text, err := io.ReadAll(answer.Body)
		s.must(err)
		s.must(answer.Body.Close())
		if answer.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			t.Errorf("%s is %s %.200s", path, answer.Status, text)
		}
	}
}

// While the API server is away workers are started and files are done; the status catches up.
func TestDispatcherOutlivesTheAPIServer(t *testing.T) {
	for name, tt := range map[string]struct{ away, back func(*wiretest.Wire) }{
		"Cut":          {func(w *wiretest.Wire) { w.Set(wiretest.Cut) }, func(w *wiretest.Wire) { w.Set(wiretest.Whole) }},
		"Silent":       {func(w *wiretest.Wire) { w.Set(wiretest.Frozen) }, func(w *wiretest.Wire) { w.Set(wiretest.Whole) }},
		"Unauthorized": {func(w *wiretest.Wire) { w.Denied.Store(true) }, func(w *wiretest.Wire) { w.Denied.Store(false) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.put("1.txt")
			s.create("t", "{}", "{scaling: {workerIdleTimeout: 0s}}")
			s.begin(dispatcher.KindTask, "t")
			s.done("t", 1)
			tt.away(s.wire)
			for i := 2; i <= 4; i++ {
				name := fmt.Sprintf("%d.txt", i)
				s.put(name)
				s.wait("output "+name, func() bool { return exists(s.path("out", name)) })
			}
			if f := s.task("t").Status.Files; f.Done != 1 {
				t.Errorf("the API server was not away: %+v", f)
			}
			tt.back(s.wire)
			s.done("t", 4)
		})
	}
}

// A Task that is deleted and applied again goes on where it was.
func TestTaskIsAppliedAgain(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.create("t", "{}", "{}")
	end := s.begin(dispatcher.KindTask, "t")
	s.done("t", 1)
	s.must(os.Remove(s.path("in", "a.txt"))) // what is done stays done
	s.must(s.client.Delete(t.Context(), s.task("t")))
	end() // with its Pod, which the garbage collector deletes
	s.put("b.txt")
	s.create("t", "{}", "{}")
	s.begin(dispatcher.KindTask, "t")
	s.done("t", 2)
}

// Of all Tasks of a namespace only the owner's are dispatched.
func TestDispatcherOwnsNoOthers(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	controlled := "{labels: {tigerflow.dev/pipeline: %s}, ownerReferences: [{apiVersion: tigerflow.dev/v1alpha1, kind: Pipeline, name: %s, uid: '1', controller: true}]}"
	s.create("alone", "{}", "{output: {directory: o1, extension: .txt}}")
	s.create("alike", "{labels: {tigerflow.dev/pipeline: p}}", "{output: {directory: o2, extension: .txt}}")
	s.create("other", fmt.Sprintf(controlled, "q", "q"), "{output: {directory: o3, extension: .txt}}")
	s.create("slurm", fmt.Sprintf(controlled, "p", "p"), "{type: Slurm, slurm: {time: 1h}, output: {directory: o4, extension: .txt}}")
	s.create("t", fmt.Sprintf(controlled, "p", "p"), "{}")
	s.begin(dispatcher.KindPipeline, "p")
	s.done("t", 1)
	for _, name := range []string{"alone", "alike", "other", "slurm"} {
		if got := s.task(name).Status; got.Files != nil || got.Conditions != nil {
			t.Errorf("Task %s has the status %+v", name, got)
		}
	}
}

// childVariable has a test's process be a dispatcher instead: it is what childConfig is.
const childVariable = "TIGERFLOW_TEST_DISPATCHER"

type childConfig struct {
	Host      string
	TLS       rest.TLSClientConfig
	Owner     dispatcher.Owner
	Worker    string
	Listening string
}

func child(ctx context.Context) error {
	var c childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		return err
	}
	workers, err := process.New(c.Worker)
	if err != nil {
		return err
	}
	config := &rest.Config{Host: c.Host, TLSClientConfig: c.TLS}
	d := &server{settings: &settings{rest: config, owner: c.Owner, listen: c.Listening}, backend: task.Backend{Executor: workers}, log: logr.Discard()}
	return d.run(ctx)
}

// A dispatcher that is killed loses nothing: the next one goes on at once.
func TestDispatcherIsKilled(t *testing.T) {
	s := newSite(t)
	s.put("a.txt")
	s.create("t", "{}", "{}")
	text, err := json.Marshal(childConfig{
		shared.Config.Host, shared.Config.TLSClientConfig, dispatcher.Owner{Kind: dispatcher.KindTask, Namespace: s.namespace, Name: "t"}, shared.Worker, "0",
	})
	s.must(err)
	first := exec.CommandContext(t.Context(), os.Args[0])
	first.Env = append(os.Environ(), childVariable+"="+string(text))
	s.must(first.Start())
	s.done("t", 1)
	s.must(first.Process.Kill())
	_ = first.Wait()
	s.put("b.txt")
	s.begin(dispatcher.KindTask, "t")
	s.done("t", 2)
}

func TestFlagsThatAreWrong(t *testing.T) {
	for args, want := range map[string]string{
		"--task=t":                            "error: --namespace: give that of the Task or Pipeline\n",
		"--namespace=n":                       "error: give either --task or --pipeline\n",
		"--namespace=n --task=t --pipeline=p": "error: give either --task or --pipeline\n",
		"--namespace=n --task=t --uid=0":      "error: --uid \"0\": give a number from 1 to 2147483647\n",
		"--namespace=n --task=t --same-node":  "error: --same-node: TIGERFLOW_NODE does not name the node of this process\n",
		"--namespace=n --task=t --uid=1 --gid=1 --image-pull-policy=x": "error: --image-pull-policy \"x\": give IfNotPresent, Always, Never\n",
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), &stderr, &stderr); code != cli.ExitUsage || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("%s: %d %s", args, code, stderr.String())
		}
	}
}
