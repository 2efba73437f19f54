package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/embedded"
	"tigerflow.dev/tigerflow/embedded/embeddedtest"
)

// A day of the bridge that is measured: ten Tasks, each with a tenth of a million files that are done and one worker that waits.
// Then come further files, a tenth of a million a day.
const (
	bridgeTasks = 10
	doneFiles   = 100_000
	aDay        = 24 * time.Hour
	eachFile    = aDay / doneFiles
)

const bridgeManifest = `apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata: {name: t%[1]d, namespace: default}
spec:
  type: Slurm
  slurm: {time: 1h}
  resources: {cpus: 1, memory: 100Mi}
  workspace: {path: %[2]s}
  input: {directory: in%[1]d, extension: .txt}
  output: {directory: out%[1]d, extension: .txt}
  handler: {python: {module: sleeper.py}}
  scaling: {minWorkers: 1, maxWorkers: 1}
  durability: None
`

// tenTasks watches a slurmbridge with ten Tasks over the API server of this process: what it calls of Slurm, its memory and
// its processor time.
func tenTasks(b *bench) (list []figure, err error) {
	g, err := b.newGround(0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	site, err := b.newSite(g)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, site.end()) }()
	start, err := site.settle()
	if err != nil {
		return nil, err
	}
	idle, err := site.steady(b.watch)
	if err != nil {
		return nil, err
	}
	if err := site.more(); err != nil {
		return nil, err
	}
	busy, err := site.steady(b.watch)
	if err != nil {
		return nil, err
	}
	list = site.figures(idle, busy)
	end, err := site.remove()
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("bridge, %d Tasks: ", bridgeTasks)
	return append(list,
		atMost(what+"calls for each scale-up", float64(start.sum())/float64(max(1, start["sbatch"])), 2, "calls", start.String()+", from the start until all Tasks have a worker"),
		atMost(what+"calls for each cancellation", float64(end.sum())/bridgeTasks, 2, "calls", end.String()+", from the deletion of all Tasks to the end of all jobs"),
	), nil
}

// site is a bridge with its Tasks.
type site struct {
	bench   *bench
	ground  *ground
	control *embedded.ControlPlane
	client  client.Client
	calls   *calls
	bridge  *exec.Cmd
}

func (b *bench) newSite(g *ground) (_ *site, err error) {
	s := &site{bench: b, ground: g}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if err := s.files(); err != nil {
		return nil, err
	}
	if s.calls, err = countCalls(g.path("tools")); err != nil {
		return nil, err
	}
	embedded.Quiet(logr.Discard())
	crds, err := crd.All()
	if err != nil {
		return nil, err
	}
	if s.control, err = embedded.Start(b.ctx, embedded.Options{Dir: g.path("plane"), CRDs: append(crds, embeddedtest.Leases())}); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if s.client, err = client.New(s.control.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(b.tigerflow), "slurmbridge")
	s.bridge = b.start(program, "--kubeconfig", s.control.Kubeconfig(), "--namespace", "default")
	s.bridge.Env = append(s.calls.env(), "XDG_STATE_HOME="+g.path("state"))
	if s.bridge.Stderr, err = os.Create(g.path("bridge.log")); err != nil {
		return nil, err
	}
	if err := s.bridge.Start(); err != nil {
		return nil, err
	}
	for i := range bridgeTasks {
		var t v1alpha1.Task
		if err := yaml.UnmarshalStrict(fmt.Appendf(nil, bridgeManifest, i, g.dir), &t); err != nil {
			return nil, err
		}
		if err := s.client.Create(b.ctx, &t); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// files makes inputs that have their outputs.
func (s *site) files() error {
	g := s.ground
	if err := os.WriteFile(g.path("sleeper.py"), []byte(sleeperSource), 0o644); err != nil {
		return err
	}
	for i := range bridgeTasks {
		if err := errors.Join(g.links(fmt.Sprint("in", i), ".txt", doneFiles), g.links(fmt.Sprint("out", i), ".txt", doneFiles)); err != nil {
			return err
		}
	}
	return nil
}

// more makes inputs to be worked on for somewhat longer than is watched, and waits until all Tasks are at it.
func (s *site) more() error {
	old := time.Now().Add(-time.Hour)
	for n := range int((s.bench.watch + 3*time.Minute) / eachFile) {
		for i := range bridgeTasks {
			path := s.ground.path(fmt.Sprint("in", i), "todo-"+inputName(n))
			if err := os.WriteFile(path, fmt.Append(nil, eachFile.Seconds()), 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(path, old, old); err != nil {
				return err
			}
		}
	}
	err := s.await("first outputs", func() (bool, error) {
		for i := range bridgeTasks {
			list, err := filepath.Glob(s.ground.path(fmt.Sprint("out", i), "todo-*"))
			if err != nil || len(list) == 0 {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return s.bench.pause(time.Minute)
}

// settle waits until each Task has its worker and knows its files, and for a minute more, until what follows a start is over.
func (s *site) settle() (tally, error) {
	err := s.await("the workers", func() (bool, error) {
		var list v1alpha1.TaskList
		err := s.client.List(s.bench.ctx, &list)
		settled := 0
		for _, t := range list.Items {
			if t.Status.Files != nil && t.Status.Files.Done == doneFiles && t.Status.Workers != nil && t.Status.Workers.Running == 1 {
				settled++
			}
		}
		return settled == bridgeTasks, err
	})
	if err != nil {
		return nil, err
	}
	t, err := s.calls.tally()
	if err == nil {
		err = s.bench.pause(time.Minute)
	}
	return t, err
}

// watched is what a bridge did in some time.
type watched struct {
	took      time.Duration
	calls     tally
	own       time.Duration // processor time
	children  time.Duration // that of Slurm's commands
	rss, peak int64         // KiB at the end
}

// steady watches the bridge.
func (s *site) steady(watch time.Duration) (w watched, err error) {
	pid := s.bridge.Process.Pid
	before, err := s.calls.tally()
	if err != nil {
		return w, err
	}
	own, children, err := usedCPU(pid)
	if err != nil {
		return w, err
	}
	if err := s.bench.pause(watch); err != nil {
		return w, err
	}
	after, err := s.calls.tally()
	if err != nil {
		return w, err
	}
	w = watched{took: watch, calls: after.since(before)}
	if w.own, w.children, err = usedCPU(pid); err != nil {
		return w, err
	}
	w.own, w.children = w.own-own, w.children-children
	if w.rss, err = statusKiB(pid, "VmRSS"); err != nil {
		return w, err
	}
	w.peak, err = statusKiB(pid, "VmHWM")
	return w, err
}

// perDay is the processor time that it would use in a day, in minutes.
func (w watched) perDay() float64 { return w.own.Minutes() * float64(aDay) / float64(w.took) }

// figures compares a bridge whose Tasks have nothing to do with one whose workers are busy.
func (s *site) figures(idle, busy watched) []figure {
	what, done := fmt.Sprintf("bridge, %d Tasks: ", bridgeTasks), fmt.Sprintf("with %d files done", bridgeTasks*doneFiles)
	rate := bridgeTasks / eachFile.Seconds()
	perFile := (busy.own.Seconds()/busy.took.Seconds() - idle.own.Seconds()/idle.took.Seconds()) / rate
	return []figure{
		atMost(what+"calls of Slurm's commands", float64(busy.calls.sum())*float64(time.Hour)/float64(busy.took), 120, "an hour",
			fmt.Sprintf("%s in %s; %s while idle", busy.calls, busy.took, idle.calls)),
		{what: what + "CPU, idle, " + done, value: fmt.Sprintf("%.1f min/day", idle.perDay()), note: fmt.Sprintf("%s in %s", idle.own, idle.took)},
		atMost(what+fmt.Sprintf("CPU, %.1f files a second, %s", rate, done), busy.perDay(), 10, "min/day",
			fmt.Sprintf("%s in %s, so %.0f µs a file; Slurm's commands beside it %s; %s", busy.own, busy.took, 1e6*perFile, busy.children, load())),
		atMost(what+"memory", float64(busy.rss/1024), 150, "MiB", fmt.Sprintf("peak %d MiB", busy.peak/1024)),
	}
}

// remove deletes the Tasks and returns what the bridge called until their jobs had ended.
func (s *site) remove() (tally, error) {
	before, err := s.calls.tally()
	if err != nil {
		return nil, err
	}
	for i := range bridgeTasks {
		t := &v1alpha1.Task{}
		t.Name, t.Namespace = fmt.Sprint("t", i), "default"
		if err := s.client.Delete(s.bench.ctx, t); err != nil {
			return nil, err
		}
	}
	err = s.await("the end of the Tasks", func() (bool, error) {
		var list v1alpha1.TaskList
		err := s.client.List(s.bench.ctx, &list)
		return len(list.Items) == 0, err
	})
	if err != nil {
		return nil, err
	}
	after, err := s.calls.tally()
	return after.since(before), err
}

func (s *site) await(what string, holds func() (bool, error)) error {
	for begun := time.Now(); time.Since(begun) < 5*patience; {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		if err := s.bench.pause(time.Second); err != nil {
			return err
		}
	}
	said, _ := os.ReadFile(s.ground.path("bridge.log"))
	return fmt.Errorf("%s: not within %s; the bridge says: %s", what, 5*patience, said)
}

func (s *site) end() (err error) {
	if s.bridge != nil && s.bridge.Process != nil {
		_ = s.bridge.Process.Signal(syscall.SIGTERM) // it may have ended
		err = s.bridge.Wait()
	}
	if s.control != nil {
		err = errors.Join(err, s.control.Stop())
	}
	return err
}

// pause waits while something is watched.
func (b *bench) pause(d time.Duration) error {
	select {
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	case <-time.After(d):
		return nil
	}
}

// usedCPU is the processor time of a process, and of its children that have ended, from proc_pid_stat(5), which counts in
// hundredths of a second.
func usedCPU(pid int) (own, children time.Duration, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, behind, _ := strings.Cut(string(stat), ") ")
	var ticks [4]int64
	for i, field := range strings.Fields(behind)[11:15] {
		if ticks[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return 0, 0, err
		}
	}
	const tick = 10 * time.Millisecond
	return time.Duration(ticks[0]+ticks[1]) * tick, time.Duration(ticks[2]+ticks[3]) * tick, nil
}
