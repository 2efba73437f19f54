package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
)

// pipelineNode is a control plane of a whole pipeline: one process with a flow for each task.
type pipelineNode struct {
	pipelineConfig
	log   *slog.Logger
	procs *process.Executor
	flows []*flow.Flow
	took  []bool // whether the task is this one's
	told  status
}

func runPipelineNode(config string) error {
	failpoint.Reach("") // the environment is read, and is not the workers'
	_ = os.Unsetenv(failpoint.Env)
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	n := &pipelineNode{log: slog.New(slog.NewTextHandler(os.Stderr, nil)), took: make([]bool, len(graph))}
	if err := json.Unmarshal(data, &n.pipelineConfig); err != nil {
		return err
	}
	for range graph {
		n.flows = append(n.flows, &flow.Flow{})
	}
	if n.procs, err = process.New(n.Binary); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for ctx.Err() == nil {
		if err := n.step(ctx); err != nil {
			n.log.Info("working", "error", err)
		}
		pause(ctx, 30*time.Millisecond)
	}
	return n.end()
}

// step is a step of each task. One that fails does not keep the others.
func (n *pipelineNode) step(ctx context.Context) error {
	var errs []error
	for i, m := range graph {
		if err := n.stepTask(ctx, i, m); err != nil {
			errs = append(errs, fmt.Errorf("task %s: %w", m.name, err))
		}
	}
	if lead := n.flows[0].Snapshot(); lead != nil && lead.Pipeline != nil {
		now := status{PID: os.Getpid(), Drained: lead.Drained, Text: pipelineText(lead.Pipeline)}
		for i, m := range graph {
			if s := n.flows[i].Snapshot(); s == nil {
				now.Drained = false
			} else {
				now.Drained = now.Drained && s.Drained
				now.Text += fmt.Sprintf(" %s %d/%d", m.name, s.Done, s.Failed)
			}
		}
		if now != n.told {
			n.told = now
			errs = append(errs, writeStatus(n.Status, now))
		}
	}
	return errors.Join(errs...)
}

// pipelineText is what is to be the same whichever control plane tells it.
func pipelineText(c *dispatcher.PipelineCounts) string {
	return fmt.Sprintf("staged %d in progress %d finished %d failed %d", c.Staged, c.InProgress, c.Finished, c.Failed)
}

func (n *pipelineNode) stepTask(ctx context.Context, i int, m member) error {
	err := n.flows[i].Open(n.spec(m), flow.Config{
		Owner: spool.Owner{Plane: "test", Name: m.name}, TakeOver: !n.took[i], Executor: n.procs, Settle: 100 * time.Millisecond,
		Log: n.log.With("task", m.name), Pipeline: n.pipeline(m), Terms: flow.Terms{Input: "input", InputBase: "input", Output: "output"},
	})
	if err != nil {
		return err
	}
	n.took[i] = true
	_, err = n.flows[i].Step(ctx, time.Now(), flow.Want{Need: fleet.Need{Max: 1, DrainTimeout: 5 * time.Second, DrainTarget: time.Second}})
	return err
}

// end has the workers drain, and lets go of the spools in good order.
func (n *pipelineNode) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for all := false; !all && ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		all = true
		for _, f := range n.flows {
			if f.Running() {
				drained, err := f.Drain(ctx, time.Now())
				all = all && err == nil && drained
			}
		}
	}
	errs := []error{n.procs.Close(ctx)}
	for _, f := range n.flows {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
