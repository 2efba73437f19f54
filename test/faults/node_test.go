package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

// nodeConfig is what a control plane is told.
type nodeConfig struct {
	Spec         spool.Spec
	TakeOver     bool
	Settle       time.Duration
	Workers      int
	Binary       string   // of the worker
	Scheduler    string   // socket of the scheduler of all hosts; else workers are children
	WorkerPoints []string // failpoints of the first workers, one each; "" is none
	Status       string   // file that tells how far it is
}

// status is what a control plane tells.
type status struct {
	Epoch   int
	PID     int
	Drained bool
	Text    string
}

// node is a control plane of one Task: the process that has dispatcher and fleet.
type node struct {
	nodeConfig
	log      *slog.Logger
	executor executor.Executor
	close    func(context.Context) error // of the executor
	tried    bool
	told     status
}

func runNode(config string) error {
	failpoint.Reach("") // the environment is read, and is not the workers'
	_ = os.Unsetenv(failpoint.Env)
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	n := &node{log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := json.Unmarshal(data, &n.nodeConfig); err != nil {
		return err
	}
	n.close = func(context.Context) error { return nil }
	if n.Scheduler != "" {
		n.executor = &jobs{socket: n.Scheduler}
	} else {
		procs, err := process.New(n.Binary)
		if err != nil {
			return err
		}
		n.executor, n.close = &armed{Executor: procs, points: n.WorkerPoints}, procs.Close
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		if err := n.dispatch(ctx); err != nil {
			n.log.Info("dispatching", "error", err)
		}
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// dispatch contends for the spool, and dispatches until the loop ends or ctx does; then it lets go in good order.
func (n *node) dispatch(ctx context.Context) error {
	s, err := spool.Create(spool.Dir(string(n.Spec.OutputDir), n.Spec.Task), spool.Owner{Plane: "test", Name: n.Spec.Task}, n.Spec)
	if err != nil {
		return err
	}
	lock, err := n.contend(ctx, s)
	if err != nil {
		return err
	}
	if err := lock.Update(s.Owner(), n.Spec); err != nil {
		return errors.Join(err, lock.Close())
	}
	looping, stop := context.WithCancel(context.Background())
	defer stop()
	d := dispatcher.New(lock, dispatcher.Config{Settle: n.Settle, Log: n.log})
	over := make(chan error, 1)
	go func() { over <- d.Run(looping) }()
	f := fleet.New(s, n.executor, d)
	for ctx.Err() == nil {
		select {
		case err := <-over:
			return errors.Join(err, lock.Close())
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
		}
		if err := n.step(context.Background(), lock, d, f, ctx.Err() != nil); err != nil {
			n.log.Info("keeping workers", "error", err)
		}
	}
	n.drain(lock, d, f)
	stop()
	return errors.Join(<-over, lock.Close())
}

func (n *node) contend(ctx context.Context, s *spool.Spool) (*spool.Lock, error) {
	c := spool.Contender{Spool: s, Owner: s.Owner(), TakeOver: n.TakeOver && !n.tried}
	for {
		lock, err := c.Try()
		if err == nil {
			n.tried = true
			n.log.Info("dispatching begins", "epoch", lock.Epoch())
			return lock, nil
		}
		if _, held := errors.AsType[*spool.HeldError](err); !held {
			return nil, err
		}
		if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return nil, err
		}
	}
}

func (n *node) step(ctx context.Context, lock *spool.Lock, d *dispatcher.Dispatcher, f *fleet.Fleet, suspended bool) error {
	snap := d.Snapshot()
	now := status{Epoch: lock.Epoch(), PID: os.Getpid(), Drained: snap.Drained, Text: fmt.Sprintf("%+v", *snap)}
	if snap.Storage != nil {
		now.Text += fmt.Sprintf(" storage %+v", *snap.Storage)
	}
	if now != n.told {
		if err := writeStatus(n.Status, now); err != nil {
			return err
		}
		n.told = now
	}
	all, err := n.executor.List(ctx)
	if err != nil {
		return err
	}
	need := fleet.Need{Max: n.Workers, DrainTimeout: 5 * time.Second, DrainTarget: time.Second, Suspended: suspended}
	_, err = f.Step(ctx, time.Now(), need, snap, all)
	return err
}

// drain ends the workers in good order.
func (n *node) drain(lock *spool.Lock, d *dispatcher.Dispatcher, f *fleet.Fleet) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		err := n.step(ctx, lock, d, f, true)
		if err == nil && len(d.Snapshot().Workers) == 0 {
			break
		}
		pause(ctx, 20*time.Millisecond)
	}
	if err := n.close(ctx); err != nil {
		n.log.Info("ending workers", "error", err)
	}
}

func writeStatus(path string, s status) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o666); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readStatus(path string) status {
	var s status
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &s) // written whole
	}
	return s
}

// armed gives the first workers failpoints.
type armed struct {
	*process.Executor
	points []string
}

func (a *armed) Start(ctx context.Context, specs []executor.Spec) error {
	for _, s := range specs {
		point := ""
		if len(a.points) > 0 {
			point, a.points = a.points[0], a.points[1:]
		}
		_ = os.Setenv(failpoint.Env, point) // children inherit it
		if err := a.Executor.Start(ctx, []executor.Spec{s}); err != nil {
			return err
		}
	}
	return nil
}

func statusPath(dir, host string) string { return filepath.Join(dir, "status."+host) }
