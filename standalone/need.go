package standalone

import (
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/internal/slurmtext"
	"tigerflow.dev/tigerflow/spool"
)

// The bounds of a Slurm task, and what it leaves open, as of Tasks.
const (
	maxWorkers  = 1000
	maxCPUs     = 4096
	maxGPUs     = 64
	idleTimeout = 2 * time.Minute
	drainTarget = 10 * time.Minute
	jobDrain    = time.Minute
)

// validate reports the first mistake in what is asked of the cluster.
func (s *Slurm) validate() error {
	if s == nil {
		return usage("a Slurm task needs --max-workers, --cpus, --memory and --time")
	}
	for _, o := range []struct {
		option             string
		value, least, most int
	}{
		{"--max-workers", s.MaxWorkers, 1, maxWorkers},
		{"--cpus", s.CPUs, 1, maxCPUs},
		{"--gpus", s.GPUs, 0, maxGPUs},
	} {
		if o.value < o.least || o.value > o.most {
			return usage("%s %d: give a number from %d to %d", o.option, o.value, o.least, o.most)
		}
	}
	if _, err := slurmtext.Memory(s.Memory); err != nil {
		return usage("--memory %q: %s", s.Memory, err)
	}
	if _, err := slurmtext.Time(s.Time); err != nil {
		return usage("--time %q: %s", s.Time, err)
	}
	return nil
}

// need is what the task asks of its workers. The Spec is a valid one.
func (s *Spec) need() fleet.Need {
	if s.Type != spool.TypeSlurm {
		return fleet.Need{Task: s.TaskName, Min: 1, Max: 1, DrainTimeout: unlimited}
	}
	memory, _ := slurmtext.Memory(s.Slurm.Memory)
	wallTime, _ := slurmtext.Time(s.Slurm.Time)
	return fleet.Need{
		Task: s.TaskName, Max: s.Slurm.MaxWorkers, MaxQueued: 1,
		DrainTarget: drainTarget, IdleTimeout: idleTimeout, DrainTimeout: jobDrain, WallTime: wallTime,
		Resources: executor.Resources{CPUs: s.Slurm.CPUs, Memory: memory, GPUs: s.Slurm.GPUs},
		Slurm:     executor.Slurm{Options: s.Slurm.SbatchOptions},
	}
}
