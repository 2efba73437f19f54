package main

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// plane is a running `tigerflow up`.
type plane struct {
	cmd   *exec.Cmd
	ready time.Duration // from the start of the process to its kubeconfig
}

func (b *bench) up(args ...string) (*plane, error) {
	cmd := b.start(b.tigerflow, append([]string{"up"}, args...)...)
	cmd.Stderr = nil // what it says to people
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("tigerflow up: %w", err), cmd.Wait())
	}
	return &plane{cmd: cmd, ready: time.Since(begun)}, nil
}

// stop returns how long the end took.
func (p *plane) stop() time.Duration {
	begun := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = p.cmd.Wait()                          // its exit code tells of the signal
	return time.Since(begun)
}

// startAndEnd is what a run takes beside its files.
func startAndEnd(b *bench) (list []figure, err error) {
	g, err := b.newGround(b.files)
	err = b.on(g, err, 100, func(g *ground) error {
		var first, after []time.Duration
		for round := range rounds {
			s, err := b.runOurs(g, ours{handler: "builtin: echo"}, "in", fmt.Sprint("ours-", round), 100)
			if err != nil {
				return err
			}
			first, after = append(first, s.first), append(after, s.after)
		}
		list = []figure{
			{what: "tigerflow run: first output after start", value: fmt.Sprintf("%.0f ms", milliseconds(median(first)))},
			{what: "tigerflow run: end after last output", value: fmt.Sprintf("%.0f ms", milliseconds(median(after)))},
		}
		return nil
	})
	return list, err
}

// idlePlane is `tigerflow up` with nothing to do.
func idlePlane(b *bench) ([]figure, error) {
	p, err := b.up()
	if err != nil {
		return nil, err
	}
	idle, err := b.idle(p.cmd.Process.Pid, idleTime)
	if err != nil {
		p.stop()
		return nil, err
	}
	memory, err := statusKiB(p.cmd.Process.Pid, "VmRSS")
	end := p.stop()
	const minutesADay = 3
	goal := 100 * minutesADay / (24 * 60.0)
	return []figure{
		{what: "tigerflow up: ready after start", value: fmt.Sprintf("%.0f ms", milliseconds(p.ready))},
		{what: "tigerflow up: memory", value: fmt.Sprintf("%d MiB", memory/1024)},
		{what: "tigerflow up: end after SIGTERM", value: fmt.Sprintf("%.0f ms", milliseconds(end))},
		atMost("tigerflow up: idle", idle.percent, float64(int(1000*goal))/1000, "% of a core", idle.note),
	}, err
}
