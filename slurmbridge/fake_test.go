package slurmbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// cluster plays Slurm's commands, to fail as the real ones cannot be made to on demand: answers that are lost, listings that
// lack a job. What each says lies in a file.
type cluster struct {
	t     *testing.T
	dir   string
	spool string
	e     *Executor
}

// Each call is noted; stdin is read, as sbatch would.
const fakeTool = `#!/bin/sh
dir=${0%/*}/..
tool=${0##*/}
cat > "$dir/stdin.$tool"
echo "$tool $*" >> "$dir/calls"
[ ! -e "$dir/$tool.err" ] || { cat "$dir/$tool.err" >&2; exit "$(cat "$dir/$tool.code" 2>/dev/null || echo 1)"; }
cat "$dir/$tool.out" 2>/dev/null
exit 0
`

func newCluster(t *testing.T, timing timing) *cluster {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	must(t, os.Mkdir(bin, 0o755))
	for _, tool := range []string{"sbatch", "squeue", "scancel", "sacct", "scontrol"} {
		must(t, os.WriteFile(filepath.Join(bin, tool), []byte(fakeTool), 0o755))
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	c := &cluster{t: t, dir: dir, spool: filepath.Join(dir, "out", ".tigerflow", "tasks", "demo")}
	must(t, os.MkdirAll(c.spool, 0o755))
	c.says("scontrol", "MaxArraySize            = 64\nMessageTimeout          = 10 sec\n")
	c.says("sbatch", "7\n")
	c.queue()
	c.fails("sacct", "sacct: error: Slurm accounting storage is disabled")
	c.open(timing)
	return c
}

// open starts an executor, in the place of the one before.
func (c *cluster) open(timing timing) {
	c.t.Helper()
	e, err := New(Config{Install: func(dir string) (string, error) { return filepath.Join(dir, "worker"), nil }, timing: timing})
	must(c.t, err)
	c.e = e
	c.t.Cleanup(e.Close)
}

func (c *cluster) says(tool, text string) {
	c.t.Helper()
	must(c.t, os.WriteFile(filepath.Join(c.dir, tool+".out"), []byte(text), 0o644))
	_ = os.Remove(filepath.Join(c.dir, tool+".err")) // most often there is none
}

func (c *cluster) fails(tool, text string) {
	c.t.Helper()
	must(c.t, os.WriteFile(filepath.Join(c.dir, tool+".err"), []byte(text), 0o644))
}

// entry is a row of squeue.
type entry struct {
	array, element, state, name string
}

// queue has squeue list these. A half-written list must not be seen: it is put in place at once.
func (c *cluster) queue(entries ...entry) {
	c.t.Helper()
	var text strings.Builder
	row := func(value func(field string) string) {
		for _, column := range queueColumns {
			fmt.Fprintf(&text, "%-*.*s", column.width, column.width, value(column.field))
		}
		text.WriteByte('\n')
	}
	row(func(field string) string {
		if field == "ArrayJobID" {
			return "ARRAY_JOB_ID"
		}
		return field
	})
	for _, e := range entries {
		row(func(field string) string {
			switch field {
			case "ArrayJobID":
				return e.array
			case "ArrayTaskID":
				return e.element
			case "JobID":
				return e.array + "9"
			case "State":
				return e.state
			case "Name":
				return e.name
			case "Reason":
				return "None"
			case "PriorityLong":
				return "5"
			case "RestartCnt":
				return "0"
			case "exit_code":
				return "0:0"
			case "StartTime", "EndTime":
				return "N/A"
			}
			return ""
		})
	}
	tmp := filepath.Join(c.dir, "queue")
	must(c.t, os.WriteFile(tmp, []byte(text.String()), 0o644))
	must(c.t, os.Rename(tmp, filepath.Join(c.dir, "squeue.out")))
	_ = os.Remove(filepath.Join(c.dir, "squeue.err")) // most often there is none
}

// calls are those of one command so far.
func (c *cluster) calls(tool string) (list []string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "calls"))
	if err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, tool+" "); ok {
			list = append(list, strings.TrimSpace(rest))
		}
	}
	return list
}

func (c *cluster) spec(index, restart int) executor.Spec {
	id := executor.WorkerID{Key: "k3f9", Index: index, Restart: restart}
	return executor.Spec{
		ID: id, Task: "demo", Spool: c.spool, Log: filepath.Join(c.spool, "logs", id.String()+".log"),
		Resources: executor.Resources{CPUs: 1}, DrainTimeout: time.Minute, WallTime: time.Hour,
	}
}

// phase is that of a worker as the list has it, once that is wanted.
func (c *cluster) awaitPhase(id executor.WorkerID, want executor.Phase) executor.Worker {
	c.t.Helper()
	var w executor.Worker
	c.await(string(want), func() bool {
		list, err := c.e.List(c.t.Context())
		if err != nil {
			return false
		}
		for _, w = range list {
			if w.ID == id && w.Phase == want {
				return true
			}
		}
		return false
	})
	return w
}

func (c *cluster) await(what string, holds func() bool) {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			list, err := c.e.List(c.t.Context())
			c.t.Fatalf("waited in vain for %s: %+v, %v", what, list, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
