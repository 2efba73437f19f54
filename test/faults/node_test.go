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

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
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
	PID     int
	Drained bool
	Text    string
}

// node is a control plane of one Task: the process that has dispatcher and fleet.
type node struct {
	nodeConfig
	log      *slog.Logger
	flow     flow.Flow
	executor executor.Executor
	close    func(context.Context) error // of the executor
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
		if err := n.step(ctx); err != nil {
			n.log.Info("working", "error", err)
			pause(ctx, 100*time.Millisecond)
		}
		pause(ctx, 30*time.Millisecond)
	}
	return n.end()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// step sees to it that the Task is dispatched and has workers. What fails is tried again, as a controller does.
func (n *node) step(ctx context.Context) error {
	err := n.flow.Open(n.Spec, flow.Config{
		Owner: spool.Owner{Plane: "test", Name: n.Spec.Task}, TakeOver: n.TakeOver, Executor: n.executor, Settle: n.Settle, Log: n.log,
		Terms: flow.Terms{Input: "input", InputBase: "input", Output: "output"},
	})
	if err != nil {
		return err
	}
	n.TakeOver = false // who takes over from this one is not to be taken over from in turn
	state, err := n.flow.Step(ctx, time.Now(), flow.Want{Need: fleet.Need{Max: n.Workers, DrainTimeout: 5 * time.Second, DrainTarget: time.Second}})
	if err != nil {
		return err
	}
	now := status{PID: os.Getpid(), Drained: state.Snapshot.Drained, Text: fmt.Sprintf("%+v", *state.Snapshot)}
	if state.Snapshot.Storage != nil {
		now.Text += fmt.Sprintf(" storage %+v", *state.Snapshot.Storage)
	}
	if now != n.told {
		n.told = now
		return writeStatus(n.Status, now)
	}
	return nil
}

// end has the workers drain, and lets go of the spool in good order.
func (n *node) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		drained, err := n.flow.Drain(ctx, time.Now())
		if err == nil && drained {
			break
		}
		pause(ctx, 20*time.Millisecond)
	}
	return errors.Join(n.close(ctx), n.flow.Close())
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
