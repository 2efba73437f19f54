package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is something to measure. It may give several lines of the table.
type row struct {
	name    string
	measure func(*bench) ([]figure, error)
}

// figure is one line of the table.
type figure struct {
	what  string
	value string
	goal  string // "" where there is none
	met   bool
	note  string
}

type table []figure

// rows are all there is to measure, in the order of the table.
var rows = []row{
	{"echo, None", ofLoop(0.7, readWriteRename, ours{handler: "builtin: echo", durability: "None"})},
	{"echo, Fsync", ofLoop(0.7, groupCommit, ours{handler: "builtin: echo", durability: "Fsync"})},
	{"four workers, busy Python", fourWorkers(pythonBusy, 10, 1.3)},
	{"four workers, echo", fourWorkers("builtin: echo", 1, 0.9)},
	{"four workers, Python echo", fourWorkers(pythonEcho, 1, 0.9)},
	{"Python echo, None", ofLoop(0.5, readWriteRename, ours{handler: pythonEcho, durability: "None"})},
	{"Python copy in /dev/shm", pythonCopy},
	{"no-op, CPU per file", overhead},
	{"throughput as files grow", flat},
	{"dispatcher, many files done", dispatcherAtScale},
	{"pipeline of two Python tasks, None", pipelineRuns("None", readWriteRename)},
	{"pipeline of two Python tasks, Fsync", pipelineRuns("Fsync", groupCommit)},
	{"pipeline, many files finished", pipelineRestart},
	{"file into a quiet pipeline, None", latency("None")},
	{"file into a quiet pipeline, Fsync", latency("Fsync")},
	{"tigerflow run, start and end", startAndEnd},
	{"tigerflow up, idle", idlePlane},
	{"idle fleet", idleFleet},
}

func names(rows []row) string {
	var list []string
	for _, r := range rows {
		list = append(list, r.name)
	}
	return strings.Join(list, "; ")
}

// atLeast and atMost are figures with a goal.
func atLeast(what string, value, goal float64, note string) figure {
	return figure{what, fmt.Sprintf("%.2f", value), fmt.Sprintf("≥ %g", goal), value >= goal, note}
}

func atMost(what string, value, goal float64, unit, note string) figure {
	text := fmt.Sprintf("%.3g", value)
	if value >= 100 {
		text = fmt.Sprintf("%.0f", value)
	}
	return figure{what, text + " " + unit, fmt.Sprintf("≤ %g %s", goal, unit), value <= goal, note}
}

func (t table) print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ROW\tFIGURE\tGOAL\t\tNOTE")
	for _, f := range t {
		verdict := "missed"
		if f.goal == "" {
			f.goal, verdict = "-", ""
		} else if f.met {
			verdict = "met"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.what, f.value, f.goal, verdict, f.note)
	}
	return w.Flush()
}

// quantile of a list that is not empty, by the nearest rank.
func quantile(list []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func median(list []time.Duration) time.Duration { return quantile(list, 0.5) }

func perSecond(files int, d time.Duration) string {
	return fmt.Sprintf("%.0f/s", float64(files)/d.Seconds())
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
