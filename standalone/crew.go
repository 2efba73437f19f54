package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/task/protocol"
)

// crew is the workers of a run, wherever they are.
type crew interface {
	executor.Executor
	executor.Notifier
	// name is what users call that which may be slow.
	name() string
	// end has those end that are left, at once. drained says that there are none.
	end(drained bool) error
	// close comes last.
	close() error
}

// processes are workers of this host that tell on a pipe what they do.
type processes struct {
	*process.Executor
	read, write *os.File
	followed    chan error
}

func newProcesses(worker string, t *terminal) (*processes, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	p := &processes{read: read, write: write, followed: make(chan error, 1)}
	if p.Executor, err = process.New(worker, process.WithStdout(write, protocol.EnvNarrate+"=1")); err != nil {
		return nil, errors.Join(err, read.Close(), write.Close())
	}
	go func() { p.followed <- t.follow(read) }() // ends with close
	return p, nil
}

func (p *processes) name() string { return "the storage" }

func (p *processes) end(bool) error {
	now, hurry := context.WithTimeout(context.Background(), recoverPatience)
	hurry()
	return p.Executor.Close(now)
}

// close comes when no worker has the other end of the pipe any more.
func (p *processes) close() error {
	return errors.Join(p.write.Close(), <-p.followed, p.read.Close())
}

// jobs are workers on a cluster.
type jobs struct {
	Cluster
	flow *flow.Flow
}

func newJobs(task string, begin func() (Cluster, error), f *flow.Flow) (*jobs, error) {
	if begin == nil {
		return nil, usage("%s is a Slurm task, and there is no Slurm here (no sbatch on the PATH): run it where Slurm is, or make it a LocalTask", task)
	}
	c, err := begin()
	return &jobs{Cluster: c, flow: f}, err
}

func (j *jobs) name() string { return "Slurm" }

func (j *jobs) end(drained bool) error {
	if drained {
		return nil
	}
	now, hurry := context.WithCancel(context.Background())
	hurry()
	return j.flow.End(now)
}

func (j *jobs) close() error {
	j.Close()
	return nil
}
