package main

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/spool"
)

// What is looked at of a large fleet: every so manieth worker, after what it takes until they look for work as rarely as they
// ever do.
const (
	fleetSize  = 500
	fleetEach  = 25
	fleetRest  = 3 * time.Minute
	fleetWatch = 2 * time.Minute
)

// idleFleet counts the metadata operations of workers of a Slurm Task that have nothing to do: system calls that name a path
// or read a folder. How a worker idles depends on its slot and on no other worker, so that a sample tells of the whole fleet.
func idleFleet(b *bench) (list []figure, err error) {
	g, err := b.newGround(100)
	err = b.on(g, err, 1, func(g *ground) error {
		f, err := b.watchFleet(g)
		list = []figure{f}
		return err
	})
	return list, err
}

func (b *bench) watchFleet(g *ground) (f figure, err error) {
	spec := g.spec("fleet")
	spec.Type, spec.InputDir, spec.OutputDir = spool.TypeSlurm, spool.Name(g.path("in")), spool.Name(g.path("out"))
	s, err := spool.Create(spool.Dir(g.path("out"), "fleet"), benchOwner, spec)
	if err != nil {
		return f, err
	}
	lock, err := (&spool.Contender{Spool: s, Owner: benchOwner}).Try()
	if err != nil {
		return f, err
	}
	defer lock.Abandon()
	program, err := workerbin.Install(g.path("bin"))
	if err != nil {
		return f, err
	}
	var pids []int
	for slot := 0; slot < fleetSize; slot += fleetEach {
		cmd := exec.CommandContext(b.ctx, program, "run", "--spool", s.Path(), "--id", fmt.Sprintf("%s.%d.r1", s.ID(), slot))
		if err := cmd.Start(); err != nil {
			return f, err
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
			_ = cmd.Wait()
		}()
		pids = append(pids, cmd.Process.Pid)
	}
	if err := b.pause(fleetRest); err != nil {
		return f, err
	}
	calls, err := systemCalls(b.ctx, pids, "%file,getdents64,fsync,fdatasync", fleetWatch)
	if err != nil {
		return f, err
	}
	perSecond := func(n int) float64 { return float64(n) * fleetEach / fleetWatch.Seconds() }
	syncs := calls["fsync"] + calls["fdatasync"]
	return atMost(fmt.Sprintf("idle fleet of %d workers: metadata operations", fleetSize), perSecond(calls.sum()-syncs), 100, "a second",
		fmt.Sprintf("every %dth worker watched for %s: %s", fleetEach, fleetWatch, calls)), nil
}
