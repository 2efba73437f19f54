package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// roll is an executor that keeps a list.
type roll struct {
	list    []executor.Worker
	stopped []string
	err     error
}

func (r *roll) Start(_ context.Context, specs []executor.Spec) error {
	for _, s := range specs {
		if !slices.ContainsFunc(r.list, func(w executor.Worker) bool { return w.ID == s.ID }) {
			r.list = append(r.list, executor.Worker{ID: s.ID, Phase: executor.Pending})
		}
	}
	return r.err
}

func (r *roll) List(context.Context) ([]executor.Worker, error) { return slices.Clone(r.list), r.err }

func (r *roll) Stop(_ context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	for _, id := range ids {
		if mode == executor.Drain {
			r.stopped = append(r.stopped, id.String())
		}
	}
	return nil
}

func (r *roll) Forget(context.Context, []executor.WorkerID) error { return nil }

func id(key string, index int) executor.WorkerID {
	return executor.WorkerID{Key: key, Index: index, Restart: 1}
}

func specs(key, dir string, indices ...int) (all []executor.Spec) {
	for _, i := range indices {
		all = append(all, executor.Spec{ID: id(key, i), Spool: dir})
	}
	return all
}

// testWorkers is the workers of a bridge over an executor, with nothing remembered.
func testWorkers(t *testing.T, e executor.Executor, l *limits) *workers {
	t.Helper()
	k, err := readKeys(filepath.Join(t.TempDir(), "deep", "x.json"))
	if err != nil {
		t.Fatal(err)
	}
	return newWorkers(e, k, "plane", l, nil)
}

func TestWorkersInAll(t *testing.T) {
	e := &roll{list: []executor.Worker{{ID: id("stranger", 0), Phase: executor.Running}}}
	w := testWorkers(t, e, &limits{MaxWorkersInAll: new(3)})
	if err := w.Start(t.Context(), specs("a", "/a", 0, 1)); err != nil {
		t.Fatal(err)
	}
	err := w.Start(t.Context(), specs("b", "/b", 0, 1))
	if _, waits := executor.Waiting(err); !waits {
		t.Fatalf("a fourth worker gets %v", err)
	}
	if err := w.Start(t.Context(), specs("b", "/b", 0)); err != nil {
		t.Errorf("a repeated call gets %v", err)
	}
	if len(e.list) != 4 { // the stranger's among them
		t.Errorf("there are %v", e.list)
	}
	for i := range e.list {
		if e.list[i].ID.Key == "a" {
			e.list[i].Phase = executor.Succeeded
		}
	}
	if err := w.Start(t.Context(), specs("b", "/b", 1)); err != nil {
		t.Errorf("when others have ended: %v", err)
	}
	if got := w.counts(); got[executor.Pending] == 0 || got[executor.Running] != 0 {
		t.Errorf("counted %v", got)
	}
}

func TestKeysLast(t *testing.T) {
	e := &roll{err: errors.New("sbatch: timed out")}
	w := testWorkers(t, e, &limits{})
	if err := w.Start(t.Context(), specs("a", "/a\xff", 0)); !errors.Is(err, e.err) {
		t.Fatal(err)
	}
	again, err := readKeys(w.keys.path)
	if err != nil || again.all()["a"] != "/a\xff" {
		t.Fatalf("remembered %v, %v", again, err)
	}
	if err := os.WriteFile(w.keys.path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readKeys(w.keys.path); err == nil {
		t.Error("a broken file is taken")
	}
}

// taskList is a cache with some Tasks.
type taskList struct {
	client.Reader
	tasks []v1alpha1.Task
}

func (l *taskList) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	into.(*v1alpha1.TaskList).Items = l.tasks
	return nil
}

// A bridge that comes back ends what it has started for Tasks that are gone, and nothing else.
func TestOrphans(t *testing.T) {
	dir := t.TempDir()
	e := &roll{}
	w := testWorkers(t, e, &limits{})
	o := &orphans{bridge: "default", workers: w, log: logr.Discard(), misses: map[string]int{}, told: map[string]bool{}}
	tasks := &taskList{}
	o.tasks = tasks
	keyOf := map[string]string{}
	for _, tt := range []struct{ name, plane, bridge string }{
		{"kept", "plane", "default"}, {"away", "plane", "default"}, {"gone", "plane", ""}, {"moved", "plane", "other"}, {"taken", "embedded", ""},
	} {
		task := v1alpha1.Task{Spec: v1alpha1.TaskSpec{Workspace: v1alpha1.Workspace{Path: dir}, Output: v1alpha1.FileSet{Directory: tt.name}}}
		task.Name = tt.name
		if tt.bridge != "" {
			task.Spec.Slurm = &v1alpha1.Slurm{Bridge: tt.bridge}
			tasks.tasks = append(tasks.tasks, task)
		}
		s, err := spool.Create(spool.Dir(filepath.Join(dir, tt.name), tt.name), spool.Owner{Plane: tt.plane}, spool.Spec{Task: tt.name})
		if err != nil {
			t.Fatal(err)
		}
		keyOf[tt.name] = s.ID()
		if err := w.Start(t.Context(), specs(s.ID(), s.Path(), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "not mounted")); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context(), specs("removed", filepath.Join(dir, "none"), 0)); err != nil {
		t.Fatal(err)
	}
	e.list = append(e.list, executor.Worker{ID: id("stranger", 0), Phase: executor.Running})
	if err := o.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{keyOf["gone"] + ".0.r1", keyOf["moved"] + ".0.r1", "removed.0.r1"}
	slices.Sort(e.stopped)
	slices.Sort(want)
	if !slices.Equal(e.stopped, want) {
		t.Errorf("stopped %v, want %v", e.stopped, want)
	}
	e.list = nil
	for range orphanMisses {
		if err := o.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if all := w.keys.all(); len(all) != 2 || all[keyOf["kept"]] == "" || all[keyOf["away"]] == "" {
		t.Errorf("remembered is %v", all)
	}
}

// No answer is not an empty list.
func TestOrphansNeedAList(t *testing.T) {
	w := testWorkers(t, &roll{err: errors.New("no answer")}, &limits{})
	o := &orphans{tasks: &taskList{}, workers: w, log: logr.Discard(), misses: map[string]int{}, told: map[string]bool{}}
	w.keys.spools["gone"] = "/none"
	for range orphanMisses {
		if err := o.sweep(t.Context()); err == nil {
			t.Fatal("a listing that failed is taken")
		}
	}
	if !w.keys.has("gone") {
		t.Error("forgotten after listings that failed")
	}
}
