package flow

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
	"tigerflow.dev/tigerflow/staging"
	"tigerflow.dev/tigerflow/worker"
)

const patience = 2 * time.Minute

// TestMain makes the test binary a worker, too: one without built-in tasks.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		if err := work(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

func work(args []string) error {
	c := worker.Config{Log: slog.New(slog.DiscardHandler)}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&c.Spool, "spool", "", "the spool")
	flags.StringVar(&c.ID, "id", "", "the worker's id")
	flags.DurationVar(&c.IdleTimeout, "idle-timeout", 0, "when to leave")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if c.ParentGone, err = tether.Lifeline(); err != nil {
		return err
	}
	taking, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	_, err = worker.Run(context.Background(), taking, c)
	return err
}

// rig is a Flow with real workers and the folders it works in.
type rig struct {
	*testing.T
	dir     string
	flow    Flow
	config  Config
	spec    spool.Spec
	changes chan struct{}
}

func newRig(t *testing.T, files int, command ...string) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), changes: make(chan struct{}, 1)}
	r.spec = spool.Spec{
		Task: "demo", Type: spool.TypeLocal, WorkDir: spool.Name(r.dir), InputDir: r.name("in"), InputExt: ".txt",
		OutputDir: r.name("out"), OutputExt: ".out", Handler: spool.Handler{Command: command}, Concurrency: 1,
		Durability: spool.None, Retry: spool.Retry{Attempts: 1, CrashLimit: 3}, Revision: "1",
	}
	r.must(os.Mkdir(string(r.spec.InputDir), 0o777))
	for i := range files {
		r.put(fmt.Sprintf("%d.txt", i))
	}
	self, err := os.Executable()
	r.must(err)
	workers, err := process.New(self)
	r.must(err)
	r.config = Config{
		Owner: spool.Owner{Plane: "test", Name: "demo"}, Terms: Terms{Input: "IN", InputBase: "BASE and IN", Output: "OUT"},
		Executor: workers, Settle: time.Millisecond, Log: slog.New(slog.DiscardHandler), Changed: func(*dispatcher.Snapshot) { r.poke() },
	}
	t.Cleanup(func() {
		now, hurry := context.WithCancel(context.Background())
		hurry()
		r.must(workers.Close(now))
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		r.flow.Recover(ctx)
		if err := r.flow.Close(); err != nil {
			t.Error(err)
		}
		if dir := spool.Dir(string(r.spec.OutputDir), r.spec.Task); exists(dir) {
			spooltest.Check(t, dir)
		}
	})
	return r
}

func (r *rig) name(name string) spool.Name { return spool.Name(filepath.Join(r.dir, name)) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (r *rig) put(name string) {
	r.Helper()
	path := filepath.Join(string(r.spec.InputDir), name)
	r.must(os.WriteFile(path, []byte(name), 0o666))
	past := time.Now().Add(-time.Hour)
	r.must(os.Chtimes(path, past, past))
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) poke() {
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

// step steps until ok holds of what was found.
func (r *rig) step(w Want, what string, ok func(State) bool) {
	r.Helper()
	deadline := time.After(patience)
	for {
		s, err := r.flow.Step(r.Context(), time.Now(), w)
		r.must(err)
		if ok(s) {
			return
		}
		pause := 20 * time.Millisecond // of what no one tells: workers' ends, say
		if s.Next > 0 {
			pause = min(pause, s.Next)
		}
		select {
		case <-r.changes:
		case <-time.After(pause):
		case <-deadline:
			r.Fatalf("waiting for %s: %+v, snapshot %+v", what, s, *s.Snapshot)
		}
	}
}

func (r *rig) output(name, want string) {
	r.Helper()
	got, err := os.ReadFile(filepath.Join(string(r.spec.OutputDir), name))
	if err != nil || string(got) != want {
		r.Errorf("output %s is %q, want %q (%v)", name, got, want, err)
	}
}

func want(ends bool) Want {
	return Want{Need: fleet.Need{Max: 1, DrainTimeout: patience}, Ends: ends}
}

// A Flow works off its files, ends when there is nothing left, and goes on when it is opened anew.
func TestFlow(t *testing.T) {
	r := newRig(t, 3, "cp", "{input}", "{output}")
	for round, more := range []string{"", "later.txt"} {
		if more != "" {
			r.put(more)
		}
		r.must(r.flow.Open(r.spec, r.config))
		r.step(want(true), "the end", func(s State) bool { return s.Finished })
		if r.flow.Running() {
			t.Fatal("it runs after its end")
		}
		if got := r.flow.Snapshot().Done; got != int64(3+round) {
			t.Errorf("round %d: %d files done, want %d", round, got, 3+round)
		}
	}
	for _, name := range []string{"0", "1", "2", "later"} {
		r.output(name+".out", name+".txt")
	}
}

// A Task without an end goes on when it is drained; its workers leave when they are asked to.
func TestDrain(t *testing.T) {
	r := newRig(t, 2, "cp", "{input}", "{output}")
	r.must(r.flow.Open(r.spec, r.config))
	r.step(want(false), "all files", func(s State) bool { return s.Snapshot.Drained && s.Snapshot.Done == 2 && !s.Complete })
	r.put("more.txt")
	r.step(want(false), "one more", func(s State) bool { return s.Snapshot.Done == 3 })
	drained := false
	r.step(want(false), "the workers' end", func(State) bool {
		var err error
		drained, err = r.flow.Drain(r.Context(), time.Now())
		r.must(err)
		return drained
	})
	r.must(r.flow.Close())
	if drained, err := r.flow.Drain(r.Context(), time.Now()); !drained || err != nil {
		t.Errorf("draining after the end: %v, %v", drained, err)
	}
}

// doubter does not know whether there is another worker.
type doubter struct {
	executor.Executor
	doubts []string
}

func (d *doubter) Doubts(string) []string { return d.doubts }

// Nothing ends before it is known whether a worker is there that may have been started.
func TestDoubts(t *testing.T) {
	r := newRig(t, 1, "cp", "{input}", "{output}")
	d := &doubter{Executor: r.config.Executor, doubts: []string{"job"}}
	r.config.Executor = d
	r.must(r.flow.Open(r.spec, r.config))
	r.step(want(true), "all but the doubt", func(s State) bool {
		return s.Complete && s.Fleet.Pending+s.Fleet.Running+len(s.Snapshot.Workers) == 0
	})
	r.step(want(true), "a look after it", func(s State) bool { return true })
	if drained, err := r.flow.Drain(r.Context(), time.Now()); drained || err != nil || !r.flow.Running() {
		t.Fatalf("it ends: %v, %v", drained, err)
	}
	now, hurry := context.WithTimeout(r.Context(), 10*time.Millisecond)
	defer hurry()
	if err := r.flow.kill(now, time.Tick(time.Millisecond)); err == nil || !strings.Contains(err.Error(), "workers may still run: job") {
		t.Errorf("killing ends with %v", err)
	}
	d.doubts = nil
	r.step(want(true), "the end", func(s State) bool { return s.Finished })
}

// A changed Task is dispatched anew, by workers that have read the change.
func TestChange(t *testing.T) {
	r := newRig(t, 1, "false")
	r.must(r.flow.Open(r.spec, r.config))
	r.step(want(false), "the failure", func(s State) bool { return s.Snapshot.Failed == 1 })
	r.spec.Handler.Command = []string{"cp", "{input}", "{output}"}
	r.spec.Revision = "2"
	r.must(os.Remove(filepath.Join(string(r.spec.OutputDir), "0.err")))
	r.must(r.flow.Open(r.spec, r.config))
	r.step(want(true), "the end", func(s State) bool { return s.Finished })
	r.output("0.out", "0.txt")
}

// Two Tasks of a pipeline have their records in its folder, whichever begins first, and what is between them goes.
func TestChain(t *testing.T) {
	r := newRig(t, 3, "cp", "{input}", "{output}")
	first := spool.Dir(r.dir, "first")
	second := &rig{T: t, dir: r.dir, config: r.config, spec: r.spec, changes: r.changes}
	second.spec.Task, second.spec.Parent = "demo", "first"
	second.spec.InputDir, second.spec.InputExt = spool.Name(spool.OutputsDir(r.dir, "first")), ".mid"
	second.config.Pipeline = &Pipeline{Records: r.dir, RootExt: ".txt", Chain: dispatcher.Chain{Parent: first}}
	r.spec.Task, r.spec.OutputDir, r.spec.OutputExt = "first", second.spec.InputDir, ".mid"
	r.config.Pipeline = &Pipeline{Records: r.dir, RootExt: ".txt", Chain: dispatcher.Chain{
		Children: []string{spool.Dir(r.dir, "demo")}, DeleteOutputs: true,
	}}
	t.Cleanup(func() {
		for _, each := range []*rig{r, second} {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			each.flow.Recover(ctx)
			if err := each.flow.Close(); err != nil {
				t.Error(err)
			}
			spooltest.Check(t, spool.Dir(r.dir, each.spec.Task))
		}
	})
	second.must(second.flow.Open(second.spec, second.config))
	r.must(r.flow.Open(r.spec, r.config))
	at := r.flow.Spool()
	r.must(r.flow.Open(r.spec, r.config))
	if r.flow.Spool() != at {
		t.Error("it was opened anew although nothing has changed")
	}
	second.step(want(false), "all files", func(s State) bool {
		_, err := r.flow.Step(r.Context(), time.Now(), want(false))
		r.must(err)
		return s.Snapshot.Done == 3
	})
	r.step(want(false), "the end of what is between", func(State) bool {
		left, err := os.ReadDir(string(r.spec.OutputDir))
		r.must(err)
		return len(left) == 0
	})
	second.output("0.out", "0.txt")
}

// What a person must mend is said in that person's own terms.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(r *rig)
		reason  Reason
		message string // with $DIR for the folder
	}{
		{
			"no input", func(r *rig) { r.must(os.Remove(string(r.spec.InputDir))) }, InputNotFound,
			"the input directory $DIR/in does not exist: create it, or correct BASE and IN",
		},
		{
			"input is a file", func(r *rig) {
				r.must(os.Remove(string(r.spec.InputDir)))
				r.must(os.WriteFile(string(r.spec.InputDir), nil, 0o666))
			}, InputNotFound,
			"the input directory $DIR/in is a file: name its folder in IN",
		},
		{
			"output is a file", func(r *rig) { r.must(os.WriteFile(string(r.spec.OutputDir), nil, 0o666)) }, OutputNotWritable,
			"making the output directory: mkdir $DIR/out: not a directory: choose another OUT or the rights to write there",
		},
		{
			"outputs would be inputs", func(r *rig) { r.spec.OutputDir, r.spec.OutputExt = r.spec.InputDir, ".txt" }, InvalidDirectories,
			"input and output are the same folder, $DIR/in, and outputs (.txt) would be taken for inputs (.txt): use another OUT or extension",
		},
		{
			"another task's output", func(r *rig) {
				other := r.spec
				other.Task = "other"
				_, err := spool.Create(spool.Dir(string(other.OutputDir), "other"), spool.Owner{}, other)
				r.must(err)
			}, OutputInUse,
			"the output directory $DIR/out belongs to Task other: choose another OUT, or remove $DIR/out/.tigerflow/tasks/other if that Task is no more",
		},
		{
			"output of a pipeline's task", func(r *rig) {
				other := r.spec
				other.Task = "other"
				_, err := spool.Create(spool.Dir(r.dir, "other"), spool.Owner{}, other)
				r.must(err)
			}, OutputInUse,
			"the output directory $DIR/out belongs to Task other: choose another OUT, or remove $DIR/.tigerflow/tasks/other if that Task is no more",
		},
		{
			"another place in the pipeline", func(r *rig) {
				r.config.Pipeline = &Pipeline{Records: r.dir, RootExt: ".txt"}
				was := r.spec
				was.Parent = "first"
				_, err := spool.Create(spool.Dir(r.dir, "demo"), spool.Owner{}, was)
				r.must(err)
			}, InvalidDirectories,
			"task demo was run on the outputs of task first (.txt), with outputs .out in $DIR/out, and is now to run on the inputs of the pipeline (.txt), " +
				"with outputs .out in $DIR/out: choose another output directory, or remove $DIR/.tigerflow/tasks/demo to begin this task anew",
		},
		{
			"staging beyond RE2", func(r *rig) {
				r.config.Pipeline = &Pipeline{
					Records: r.dir, RootExt: ".txt", Chain: dispatcher.Chain{Lead: &dispatcher.Lead{}}, Staging: []staging.Step{{FilenameMatch: `(?=a)`}},
				}
			}, InvalidStaging,
			"",
		},
		{
			"in use", func(r *rig) {
				s, err := spool.Create(spool.Dir(string(r.spec.OutputDir), "demo"), spool.Owner{}, r.spec)
				r.must(err)
				lock, err := (&spool.Contender{Spool: s, Owner: spool.Owner{Plane: "another", Namespace: "ns", Name: "theirs"}}).Try()
				r.must(err)
				r.Cleanup(func() { r.must(lock.Close()) })
			}, OutputInUse,
			"OUT is in use by " + spool.Self().String() + " for ns/theirs of another: end that one first, or choose another directory; if it has died, it is taken over 1m0s after its last sign of life",
		},
		{
			"an earlier run goes on", func(r *rig) {
				for _, part := range []string{".symlinks", ".finished"} {
					r.must(os.MkdirAll(filepath.Join(string(r.spec.OutputDir), ".tigerflow", part), 0o777))
				}
				theirs := exec.Command("sh", "-c", "read forever", "tigerflow")
				in, err := theirs.StdinPipe()
				r.must(err)
				r.must(theirs.Start())
				r.Cleanup(func() { _, _ = in.Close(), theirs.Wait() })
				pid := strconv.Itoa(theirs.Process.Pid)
				r.must(os.WriteFile(filepath.Join(string(r.spec.OutputDir), ".tigerflow", "run.pid"), []byte(pid), 0o666))
				r.must(os.WriteFile(filepath.Join(r.dir, "pid"), []byte(pid), 0o666))
			}, OutputInUse,
			"OUT is in use by a running TigerFlow, process $PID: stop that one first, or choose another directory",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 0, "true")
			tt.prepare(r)
			pid, _ := os.ReadFile(filepath.Join(r.dir, "pid"))
			tt.message = strings.ReplaceAll(tt.message, "$PID", string(pid))
			err := r.flow.Open(r.spec, r.config)
			refusal, ok := errors.AsType[*RefusedError](err)
			if message := strings.ReplaceAll(tt.message, "$DIR", r.dir); !ok || refusal.Reason != tt.reason || message != "" && refusal.Message != message {
				t.Errorf("error %v, want %s: %s", err, tt.reason, message)
			}
			if r.flow.Running() {
				t.Error("it runs")
			}
		})
	}
}
