package fleet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
	"tigerflow.dev/tigerflow/worker"
)

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

// plant is a whole Task: dispatcher, fleet and real workers, whose executor has faults.
type plant struct {
	t      *testing.T
	s      *spool.Spool
	d      *dispatcher.Dispatcher
	fleet  *Fleet
	faults *executortest.Faults
	need   Need
}

func newPlant(t *testing.T, files int, command ...string) *plant {
	t.Helper()
	root := t.TempDir()
	in, out := filepath.Join(root, "in"), filepath.Join(root, "out")
	must(t, os.Mkdir(in, 0o777))
	must(t, os.Mkdir(out, 0o777))
	for i := range files {
		must(t, os.WriteFile(filepath.Join(in, fmt.Sprintf("%04d.txt", i)), []byte("x"), 0o666))
	}
	spec := spool.Spec{
		Task: "demo", Type: spool.TypeLocalAsync, WorkDir: spool.Name(root), InputDir: spool.Name(in), InputExt: ".txt",
		OutputDir: spool.Name(out), OutputExt: ".out", Handler: spool.Handler{Command: command}, Concurrency: 1,
		Durability: spool.None, Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	}
	s, err := spool.Create(spool.Dir(out, "demo"), spool.Owner{Plane: "test", Name: "demo"}, spec)
	must(t, err)
	lock, err := (&spool.Contender{Spool: s}).Try()
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	procs, err := process.New(self)
	must(t, err)
	p := &plant{t: t, s: s, faults: executortest.NewFaults(procs), need: Need{Max: 2, DrainTimeout: 10 * time.Second}}
	p.d = dispatcher.New(lock, dispatcher.Config{Settle: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	p.fleet = New(s, p.faults, p.d)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- p.d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-over)
		must(t, lock.Close())
		now, cancel := context.WithCancel(context.Background())
		cancel()
		must(t, procs.Close(now))
		spooltest.Check(t, s.Path())
	})
	return p
}

// until steps until the condition holds, as a controller does: an answer that does not come changes nothing.
func (p *plant) until(what string, holds func(Report, *dispatcher.Snapshot) bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		snap := p.d.Snapshot()
		all, err := p.faults.List(p.t.Context())
		if err == nil {
			var r Report
			if r, err = p.fleet.Step(p.t.Context(), time.Now(), p.need, snap, all); err == nil && holds(r, snap) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("waited in vain for %s; %v; %+v", what, err, snap)
		}
	}
}

// TestProcesses: workers are killed, answers are lost, and every file has its output.
func TestProcesses(t *testing.T) {
	const files = 200
	p := newPlant(t, files, "cp", "{input}", "{output}")
	lost := errors.New("connection reset")
	p.faults.LoseAnswer(executortest.Start, lost)
	p.faults.Refuse(executortest.Forget, lost)
	for _, n := range []int64{1, files / 4, files / 2} {
		p.until("progress", func(_ Report, s *dispatcher.Snapshot) bool { return s.Done >= n && len(s.Workers) > 0 })
		born, err := p.s.ReadBorn(p.d.Snapshot().Workers[0].ID)
		must(t, err)
		if err := syscall.Kill(born.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		p.faults.Refuse(executortest.List, lost)
	}
	p.until("all outputs", func(_ Report, s *dispatcher.Snapshot) bool { return s.Drained && s.Done+s.Failed == files })
	if s := p.d.Snapshot(); s.Failed != 0 {
		t.Errorf("%d files failed: %+v", s.Failed, s.Recent)
	}
	p.need.Suspended = true
	p.until("the workers' ends", func(r Report, s *dispatcher.Snapshot) bool { return r.Running+r.Pending+len(s.Workers) == 0 })
	p.until("an empty list", func(Report, *dispatcher.Snapshot) bool {
		all, err := p.faults.List(t.Context())
		return err == nil && len(all) == 0
	})
}

// TestHiddenWorkers: workers that a list lacks are replaced, and can do no harm while they live.
func TestHiddenWorkers(t *testing.T) {
	const files = 60
	p := newPlant(t, files, "cp", "{input}", "{output}")
	p.until("progress", func(_ Report, s *dispatcher.Snapshot) bool { return s.Done > 0 && len(s.Workers) > 0 })
	hidden := p.d.Snapshot().Workers[0].ID
	p.faults.Rewrite(func(all []executor.Worker) []executor.Worker {
		var kept []executor.Worker
		for _, w := range all {
			if w.ID.String() != hidden {
				kept = append(kept, w)
			}
		}
		return kept
	})
	p.until("all outputs", func(_ Report, s *dispatcher.Snapshot) bool { return s.Drained && s.Done == files })
	p.faults.Rewrite(nil)
	p.need.Suspended = true
	p.until("the workers' ends", func(r Report, s *dispatcher.Snapshot) bool { return r.Running+r.Pending+len(s.Workers) == 0 })
	if !p.s.IsFenced(hidden) {
		t.Error("the hidden worker was not fenced")
	}
}

// TestNotFoundStalls: a program that is not there calls for a person.
func TestNotFoundStalls(t *testing.T) {
	p := newPlant(t, 1, "/nowhere/program")
	p.until("the stall", func(r Report, _ *dispatcher.Snapshot) bool {
		return r.Stall != nil && r.Stall.Reason == spool.ExitNotFound
	})
}
