package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

func (l *lone) slurm() {
	l.spec.Type = spool.TypeSlurm
	l.spec.Slurm = &Slurm{MaxWorkers: 3, CPUs: 1, Memory: "12G", Time: "02:00:00", GPUs: 1, SbatchOptions: []string{"-x"}}
}

// cluster is one of this host: its jobs are processes, in arrays of their own.
type cluster struct {
	*process.Executor

	mu     sync.Mutex
	specs  []executor.Spec
	ended  []executor.WorkerID
	refuse error
	hangs  chan struct{} // closed when Slurm begins to hang; nil if it does not
	doubts atomic.Bool   // it is not known whether a job is there
}

func (c *cluster) Start(ctx context.Context, specs []executor.Spec) error {
	c.mu.Lock()
	c.specs = append(c.specs, specs...)
	refuse := c.refuse
	c.mu.Unlock()
	if c.hangs != nil {
		close(c.hangs)
		<-ctx.Done()
		return ctx.Err()
	}
	if refuse != nil {
		return refuse
	}
	return c.Executor.Start(ctx, specs)
}

func (c *cluster) List(ctx context.Context) ([]executor.Worker, error) {
	all, err := c.Executor.List(ctx)
	for i := range all {
		all[i].Ref = fmt.Sprintf("%d_%d", 690467+all[i].ID.Restart, all[i].ID.Index)
	}
	return all, err
}

func (c *cluster) Stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	if mode == executor.Kill {
		c.mu.Lock()
		c.ended = append(c.ended, ids...)
		c.mu.Unlock()
	}
	return c.Executor.Stop(ctx, ids, mode)
}

func (c *cluster) Doubts(string) []string {
	if c.doubts.Load() {
		return []string{"T.0"}
	}
	return nil
}

func (c *cluster) Close() {}

// newCluster has the task run on a cluster, on which no worker is to be left when it has ended.
func (l *lone) newCluster() *cluster {
	l.Helper()
	l.slurm()
	workers, err := process.New(l.options.Worker)
	l.must(err)
	c := &cluster{Executor: workers}
	l.options.Slurm = func() (Cluster, error) { return c, nil }
	l.Cleanup(func() {
		deadline := time.After(patience)
		for {
			all, err := workers.List(context.Background())
			l.must(err)
			if !slices.ContainsFunc(all, func(w executor.Worker) bool { return !w.Phase.Terminal() }) {
				break
			}
			select {
			case <-workers.Changes(): // one that has left its last word has yet to end
			case <-deadline:
				l.Fatalf("workers are left behind: %+v", all)
			}
		}
		l.must(workers.Close(context.Background()))
	})
	return c
}

// told is what is shown, less the ways of the status between its first change and its last.
func (l *lone) told() string {
	between := regexp.MustCompile(`(?m)^INFO     \| Status changed: (PENDING|ACTIVE) \(.*\) -> (PENDING|ACTIVE) .*\n`)
	states := regexp.MustCompile(`\b(PENDING|ACTIVE) \(\S+( \S+)?\)+`)
	return states.ReplaceAllString(between.ReplaceAllString(l.screen.shown(), ""), "STATE")
}

func TestSlurm(t *testing.T) {
	l := newLone(t, Handler{Command: []string{"sh", "-c", "echo printed; cp {input} {output}"}}, "1.txt")
	c := l.newCluster()
	l.must(l.run())
	if want := `INFO     | Submitted task with Slurm job ID 690468
INFO     | Status changed: INACTIVE -> STATE
INFO     | 1 processed files
INFO     | Shutting down task
INFO     | Status changed: STATE -> INACTIVE (Reason: COMPLETED)
INFO     | Task shutdown complete
`; l.told() != want {
		t.Errorf("shown:\n%s\nwant:\n%s", l.told(), want)
	}
	s := c.specs[0]
	if s.Task != "T" || s.WallTime != 2*time.Hour || s.Resources != (executor.Resources{CPUs: 1, Memory: 12 << 30, GPUs: 1}) ||
		!slices.Equal(s.Slurm.Options, []string{"-x"}) || s.DrainTimeout != time.Minute || !slices.Contains(s.Args, "2m0s") {
		t.Errorf("a worker is %+v", s)
	}
}

// After a signal the files in hand are finished; after a second one the jobs end at once.
func TestSlurmSignals(t *testing.T) {
	for _, kills := range []bool{false, true} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			l := newLone(t, Handler{Command: []string{"sh", "-c", "touch begun; until test -e released; do sleep 0.01; done; cp {input} {output}"}}, "1.txt")
			t.Chdir(l.dir)
			c := l.newCluster()
			ended := make(chan error, 1)
			go func() { ended <- Run(t.Context(), l.spec, l.options) }()
			l.until("a file in hand", func() bool { return exists(l.path("begun")) })
			l.signals <- syscall.SIGINT
			l.wait("WARNING  | Received signal 2, initiating shutdown\nINFO     | Shutting down task\n")
			if kills {
				l.signals <- syscall.SIGINT
			} else {
				l.must(os.WriteFile(l.path("released"), nil, 0o666))
			}
			if s, ok := errors.AsType[*SignalError](<-ended); !ok || s.Signal != syscall.SIGINT {
				t.Fatalf("it ended with %v", s)
			}
			if exists(l.path("out", "1.out")) == kills || len(c.ended) > 0 != kills {
				t.Errorf("ended at once: %v; shown:\n%s", c.ended, l.screen.shown())
			}
			l.wait("workers) -> INACTIVE (Reason: CANCELLED+)\nINFO     | Task shutdown complete\n")
		})
	}
}

// A person has to mend what Slurm refuses, and need not wait for what it puts off.
func TestSlurmRefuses(t *testing.T) {
	l := newLone(t, Handler{Builtin: "echo"}, "1.txt")
	c := l.newCluster()
	c.refuse = &executor.StalledError{Reason: "SubmissionRefused", Message: "sbatch refuses the job: Invalid qos specification"}
	if err := l.run(); err == nil || err.Error() != "sbatch refuses the job: Invalid qos specification" || !IsUsage(err) {
		t.Errorf("it ended with %v", err)
	}
	c.refuse = &executor.WaitError{Message: "sbatch waits: QOSMaxSubmitJobPerUserLimit", Until: time.Now().Add(time.Hour)}
	if err := l.run("WARNING  | Waiting for workers: sbatch waits: QOSMaxSubmitJobPerUserLimit\n"); err == nil {
		t.Error("it ended well")
	}
}

// A refusal of more workers ends none that work.
func TestSlurmRefusesMore(t *testing.T) {
	l := newLone(t, Handler{})
	r := &runner{terminal: newTerminal(l.screen, l.screen, "in")}
	state := flow.State{
		Snapshot: &dispatcher.Snapshot{}, Fleet: fleet.Report{Running: 2},
		Unavailable: &executor.StalledError{Reason: "SubmissionRefused", Message: "sbatch refuses the job: it is late"},
	}
	if over, err := r.judge(state); over || err != nil {
		t.Errorf("with two at work: %v, %v", over, err)
	}
	l.shows("WARNING  | Waiting for workers: sbatch refuses the job: it is late\n")
	state.Fleet.Running = 0
	if over, err := r.judge(state); !over || err == nil {
		t.Errorf("with none at work: %v, %v", over, err)
	}
}

func TestStatus(t *testing.T) {
	live := func(n int) []dispatcher.WorkerState { return make([]dispatcher.WorkerState, n) }
	l := newLone(t, Handler{})
	s := newStatus(newTerminal(l.screen, l.screen, "in"))
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		done  int64
		live  int
		fleet fleet.Report
	}{
		{0, 5, 0, fleet.Report{}},
		{0, 5, 0, fleet.Report{Pending: 3}},
		{0, 5, 0, fleet.Report{Pending: 3, Waits: fleet.Example{Reason: "Priority"}}},
		{0, 5, 0, fleet.Report{Pending: 3, Held: 3, HeldBy: fleet.Example{Reason: "JobHeldUser"}}},
		{0, 5, 0, fleet.Report{Pending: 2, Running: 1}},
		{0, 6, 1, fleet.Report{Pending: 2, Running: 1}},
		{time.Second, 9, 3, fleet.Report{Running: 3}},
		{countPeriod, 10, 3, fleet.Report{Running: 3}},
		{0, 11, 0, fleet.Report{}},
		{0, 11, 0, fleet.Report{Pending: 1}},
		{0, 11, 0, fleet.Report{Running: 1, Draining: 1}},
	} {
		now = now.Add(step.after)
		s.tell(now, flow.State{Fleet: step.fleet, Snapshot: &dispatcher.Snapshot{Done: step.done, Earlier: 5, Workers: live(step.live)}})
	}
	s.over(&dispatcher.Snapshot{Done: 11, Earlier: 5}, errors.New("it cannot go on"))
	l.shows(`INFO     | Status changed: INACTIVE -> PENDING (Reason: (None))
INFO     | Status changed: PENDING (Reason: (None)) -> PENDING (Reason: Priority)
INFO     | Status changed: PENDING (Reason: Priority) -> PENDING (Reason: JobHeldUser)
INFO     | Status changed: PENDING (Reason: JobHeldUser) -> ACTIVE (0 workers)
INFO     | Status changed: ACTIVE (0 workers) -> ACTIVE (1 workers)
INFO     | 1 processed files
INFO     | Status changed: ACTIVE (1 workers) -> ACTIVE (3 workers)
INFO     | 4 processed files
INFO     | Status changed: ACTIVE (3 workers) -> ACTIVE (0 workers)
INFO     | Status changed: ACTIVE (0 workers) -> PENDING (Reason: (None))
INFO     | Status changed: PENDING (Reason: (None)) -> ACTIVE (0 workers)
INFO     | 1 processed files
ERROR    | Status changed: ACTIVE (0 workers) -> INACTIVE (Reason: FAILED)
`)
}

// While Slurm does not answer, signals are answered: the first says what is waited for, the second ends the wait.
func TestSignalsWhileSlurmHangs(t *testing.T) {
	l := newLone(t, Handler{Builtin: "echo"}, "1.txt")
	c := l.newCluster()
	c.hangs = make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), l.spec, l.options) }()
	<-c.hangs
	l.signals <- syscall.SIGINT
	l.wait("WARNING  | Received signal 2, initiating shutdown\nINFO     | Shutting down task\nINFO     | Waiting for Slurm to answer; a second signal ends at once\n")
	l.signals <- syscall.SIGINT
	if s, ok := errors.AsType[*SignalError](<-ended); !ok || s.Code() != 130 || s.Left != nil {
		t.Errorf("it ended with %v", s)
	}
}

// A job that Slurm may have taken without saying so is waited for after a signal: it would be left behind.
func TestSlurmInDoubt(t *testing.T) {
	l := newLone(t, Handler{Builtin: "echo"}, "1.txt")
	c := l.newCluster()
	c.refuse = errors.New("the answer is lost")
	c.doubts.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), l.spec, l.options) }()
	l.wait("Waiting for workers: starting workers: the answer is lost\n")
	l.signals <- syscall.SIGINT
	l.wait("Waiting for Slurm: sbatch has not answered whether it took the job T.0, which would be left behind\n")
	select {
	case err := <-ended:
		t.Fatalf("it does not wait: %v", err)
	default:
	}
	c.doubts.Store(false)
	if s, ok := errors.AsType[*SignalError](<-ended); !ok || s.Left != nil {
		t.Errorf("it ended with %v", s)
	}
}

// A closed terminal says so twice, a closed pipe with every line.
func TestPass(t *testing.T) {
	for _, tt := range []struct{ raised, want []os.Signal }{
		{[]os.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGTERM}, []os.Signal{syscall.SIGHUP, syscall.SIGTERM}},
		{[]os.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGINT}, []os.Signal{syscall.SIGINT, syscall.SIGINT}},
		{[]os.Signal{syscall.SIGPIPE, syscall.SIGPIPE, syscall.SIGPIPE, syscall.SIGINT}, []os.Signal{syscall.SIGPIPE, syscall.SIGINT}},
	} {
		raised, signals := make(chan os.Signal, len(tt.raised)), make(chan os.Signal, 2)
		for _, s := range tt.raised {
			raised <- s
		}
		pass(raised, signals, nil)
		if got := []os.Signal{<-signals, <-signals}; !slices.Equal(got, tt.want) {
			t.Errorf("%v: got %v", tt.raised, got)
		}
	}
}
