package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// slurmRows are all there is to measure where there is a Slurm.
var slurmRows = []row{
	{"first output on an idle cluster", firstOutput},
	{"tiny files, four workers", tinyFiles},
	{"bridge, ten Tasks", tenTasks},
	{"wall time", wallTime},
	{"a file that crashes its worker", crashing},
}

// tigerFlowRate is what TigerFlow, which ours is compared with, does on such a cluster: files per second after the first output.
const tigerFlowRate = 650

// firstOutput is the time from the start of `tigerflow run` to the first output, all workers yet to be submitted.
func firstOutput(b *bench) (list []figure, err error) {
	g, err := b.newGround(100)
	err = b.on(g, err, 100, func(g *ground) error {
		var first []time.Duration
		for round := range rounds {
			s, err := b.runOurs(g, ours{pythonEcho, "None", 4, "time: 10m"}, "in", fmt.Sprint("ours-", round), 100)
			if err != nil {
				return err
			}
			first = append(first, s.first)
		}
		list = []figure{atMost("Slurm, idle cluster, 100 files: start to first output", median(first).Seconds(), 3, "s", fmt.Sprintf("rounds: %s; %s", first, load()))}
		return nil
	})
	return list, err
}

// tinyFiles compares the rate of four workers with TigerFlow's and with a bare Python loop.
func tinyFiles(b *bench) (list []figure, err error) {
	const files = 10_000
	g, err := b.newGround(files)
	err = b.on(g, err, files, func(g *ground) error {
		var c contest
		for round := range rounds {
			raw, err := pythonLoop(b.ctx, g.path("in"), g.path(fmt.Sprint("raw-", round)), files)
			if err != nil {
				return err
			}
			s, err := b.runOurs(g, ours{pythonEcho, "None", 4, "time: 10m"}, "in", fmt.Sprint("ours-", round), files)
			if err != nil {
				return err
			}
			c.base, c.ours = append(c.base, raw), append(c.ours, s.work)
		}
		rate := files / median(c.ours).Seconds()
		list = []figure{
			atLeast("Slurm, four workers, Python echo, None: rate of TigerFlow's", rate/tigerFlowRate, 5, load()),
			{what: "Slurm, four workers, Python echo, None: of a bare Python loop", value: fmt.Sprintf("%.2f", c.ratio()), note: c.note(files, "shared folder")},
		}
		return nil
	})
	return list, err
}

// load is how busy the machine is, for figures that suffer from that.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	return "load " + strings.Fields(string(text))[0]
}
