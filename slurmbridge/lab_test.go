package slurmbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
)

// field is an executor over the cluster for tests, with workers that do as their flags say: see executortest.Main.
type field struct {
	*testing.T
	e     *Executor
	spool string
	key   string
}

func newField(t *testing.T) *field {
	t.Helper()
	slurmtest.Need(t)
	f := &field{T: t, e: newExecutor(t), spool: t.TempDir(), key: fmt.Sprintf("t%x", time.Now().UnixNano())}
	must(t, os.Mkdir(filepath.Join(f.spool, "workers"), 0o777))
	t.Cleanup(func() {
		f.cancel()
		f.e.Close()
	})
	return f
}

func (f *field) spec(index int, args ...string) executor.Spec {
	id := executor.WorkerID{Key: f.key, Index: index, Restart: 1}
	return executor.Spec{
		ID: id, Task: "demo", Spool: f.spool, Args: args, Log: filepath.Join(f.spool, "logs", id.String()+".log"),
		Resources: executor.Resources{CPUs: 1}, DrainTimeout: time.Minute,
	}
}

func (f *field) start(specs ...executor.Spec) {
	f.Helper()
	must(f.T, f.e.Start(f.Context(), specs))
}

// cancel ends what is left of the test's own jobs: others run in parallel.
func (f *field) cancel() {
	f.Helper()
	out := command(f.T, "squeue", "--me", "--noheader", "--format=%A %j")
	for line := range strings.Lines(string(out)) {
		if id, name, _ := strings.Cut(line, " "); strings.Contains(name, ".tf-"+f.key+".") {
			slurmtest.Admin(f.T, "scancel", id)
		}
	}
}

// list is the test's own workers.
func (f *field) list() ([]executor.Worker, error) {
	list, err := f.e.List(f.Context())
	return slices.DeleteFunc(list, func(w executor.Worker) bool { return w.ID.Key != f.key }), err
}

// await waits until a worker is in one of the phases. Slurm 24.11 has requeued jobs wait for two minutes.
func (f *field) await(id executor.WorkerID, want ...executor.Phase) executor.Worker {
	f.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := f.list()
		for _, w := range list {
			if w.ID == id && slices.Contains(want, w.Phase) {
				return w
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			f.Fatalf("waited in vain for worker %s to be %v: %+v, %v", id, want, list, err)
		}
	}
}

// slow has a test that waits for Slurm more than it works run in parallel with its like.
func slow(t *testing.T) {
	t.Helper()
	slurmtest.Need(t)
	if testing.Short() {
		t.Skip("takes more than half a minute")
	}
	t.Parallel()
}

func (f *field) wantUnblamed(w executor.Worker) {
	f.Helper()
	if w.Phase.Blames() || w.Reason == "" {
		f.Errorf("its file must not be blamed, and people want a reason: %+v", w)
	}
}

func TestNodeLost(t *testing.T) {
	slow(t)
	f := newField(t)
	s := f.spec(0)
	s.Slurm.Options = []string{"--nodelist=node2"}
	f.start(s)
	f.await(s.ID, executor.Running)
	slurmtest.PowerOff(t, 2)
	w := f.await(s.ID, executor.Lost)
	f.wantUnblamed(w)
	if w.Witnessed {
		t.Error("a node that is cut off may live")
	}
}

func TestCanceledByAnother(t *testing.T) {
	f := newField(t)
	s := f.spec(0)
	f.start(s)
	w := f.await(s.ID, executor.Running)
	slurmtest.Admin(t, "scancel", w.Ref)
	f.wantUnblamed(f.await(s.ID, executor.Canceled))
}

func TestHeldByAnother(t *testing.T) {
	f := newField(t)
	s := f.spec(0)
	s.Slurm.Options = []string{"--begin=now+1hour"}
	f.start(s)
	w := f.await(s.ID, executor.Pending)
	slurmtest.Admin(t, "scontrol", "hold", w.Ref)
	w = f.await(s.ID, executor.Held)
	if !strings.Contains(w.Reason, "JobHeldAdmin") {
		t.Errorf("reason %q", w.Reason)
	}
	slurmtest.Admin(t, "scontrol", "release", w.Ref)
	f.await(s.ID, executor.Pending)
}

// TestOneOfAnArrayIsStopped: while all of it waits, the others go on waiting.
func TestOneOfAnArrayIsStopped(t *testing.T) {
	f := newField(t)
	specs := []executor.Spec{f.spec(0), f.spec(1), f.spec(2)}
	for i := range specs {
		specs[i].Slurm.Options = []string{"--begin=now+1hour"}
	}
	f.start(specs...)
	for _, s := range specs {
		f.await(s.ID, executor.Pending)
	}
	must(t, f.e.Stop(t.Context(), []executor.WorkerID{specs[1].ID}, executor.Drain))
	f.await(specs[1].ID, executor.Stopped)
	f.await(specs[0].ID, executor.Pending)
	f.await(specs[2].ID, executor.Pending)
}

// TestRequeued: the script of a job that an administrator has requeued finds the worker's folder, and its worker touches nothing.
func TestRequeued(t *testing.T) {
	f := newField(t)
	s := f.spec(0)
	f.start(s)
	w := f.await(s.ID, executor.Running)
	await(t, time.Minute, func() (bool, string) { // Slurm calls a job running before its script has begun
		_, err := os.Stat(filepath.Join(f.spool, "workers", s.ID.String()))
		return err == nil, "the worker has no folder"
	})
	slurmtest.Admin(t, "scontrol", "update", "jobid="+w.Ref, "requeue=1")
	slurmtest.Admin(t, "scontrol", "requeue", w.Ref)
	f.wantUnblamed(f.await(s.ID, executor.Succeeded))
}

// TestTimeLimit: Slurm looks at times every 30 s, and allows a minute at least.
func TestTimeLimit(t *testing.T) {
	slow(t)
	f := newField(t)
	s := f.spec(0, "--deaf")
	s.Slurm.Options = []string{"--exclude=node2"} // see TestNodeLost
	s.WallTime = time.Minute
	s.Args = append(s.Args, "--wall-time", "1m")
	f.start(s)
	f.wantUnblamed(f.await(s.ID, executor.Expired))
}

// TestControllerDown: what cannot be asked is not gone, and workers go on.
func TestControllerDown(t *testing.T) {
	f := newField(t)
	s := f.spec(0)
	f.start(s)
	ref := f.await(s.ID, executor.Running).Ref
	slurmtest.StopController(t)
	deadline := time.After(time.Minute)
	for {
		list, err := f.list()
		if err != nil {
			break
		}
		if len(list) != 1 || list[0].Phase != executor.Running {
			t.Fatalf("listed %+v", list)
		}
		select {
		case <-f.e.Changes():
		case <-deadline:
			t.Fatal("the list does not say that the cluster is silent")
		}
	}
	if err := f.e.Start(t.Context(), []executor.Spec{f.spec(1)}); err == nil {
		t.Error("submitted to nobody")
	}
	slurmtest.StartController(t)
	await(t, time.Minute, func() (bool, string) {
		list, err := f.list()
		if err == nil && (len(list) != 1 || list[0].Phase != executor.Running || list[0].Ref != ref) {
			t.Fatalf("job %s is listed as %+v", ref, list)
		}
		return err == nil, fmt.Sprint(err)
	})
}

func TestMoreThanAnArray(t *testing.T) {
	f := newField(t)
	var specs []executor.Spec
	for _, index := range []int{0, 63, 64, 130} { // MaxArraySize is 64 there
		specs = append(specs, f.spec(index, "--exit", "0"))
	}
	f.start(specs...)
	for _, s := range specs {
		f.await(s.ID, executor.Succeeded)
	}
}

// TestRefusals: what sbatch says in earnest is understood.
func TestRefusals(t *testing.T) {
	f := newField(t)
	for name, change := range map[string]func(*executor.Spec){
		"partition": func(s *executor.Spec) { s.Slurm.Partition = "nowhere" },
		"gres":      func(s *executor.Spec) { s.Slurm.Options = []string{"--gres=bogus:1"} },
		"option":    func(s *executor.Spec) { s.Slurm.Options = []string{"--no-such-option=1"} },
		"value":     func(s *executor.Spec) { s.Slurm.Options = []string{"--nodes=many"} },
		"job":       func(s *executor.Spec) { s.Slurm.Options = []string{"--dependency=afterok:99999"} },
		"file": func(s *executor.Spec) {
			s.Slurm.Options, s.Avoid = []string{"--exclude=/etc/hostname"}, []string{"node1"}
		},
	} {
		s := f.spec(0)
		change(&s)
		err := f.e.Start(t.Context(), []executor.Spec{s})
		if stalled, ok := executor.Stalled(err); !ok || stalled.Reason != ReasonRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := f.list(); err != nil || len(list) != 0 {
		t.Errorf("listed %+v, %v", list, err)
	}
}

// TestClosedPartition: a partition that is closed for a maintenance takes jobs again some day.
func TestClosedPartition(t *testing.T) {
	f := newField(t)
	t.Cleanup(func() { slurmtest.Admin(t, "scontrol", "update", "PartitionName=gpu", "State=UP") })
	s := f.spec(0, "--exit", "0")
	s.Slurm.Partition = "gpu"
	for _, state := range []string{"DRAIN", "INACTIVE"} {
		slurmtest.Admin(t, "scontrol", "update", "PartitionName=gpu", "State="+state)
		err := f.e.Start(t.Context(), []executor.Spec{s})
		if waiting, ok := executor.Waiting(err); !ok || waiting.Reason != ReasonBusy || !strings.Contains(waiting.Message, "partition not available") {
			t.Errorf("%s: %v", state, err)
		}
	}
	slurmtest.Admin(t, "scontrol", "update", "PartitionName=gpu", "State=UP")
	f.start(s)
	f.await(s.ID, executor.Succeeded)
}
