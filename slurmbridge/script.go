package slurmbridge

import (
	_ "embed"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/task/protocol"
)

const (
	// leadMost and leadShare bound how long before the end of its time Slurm warns a job.
	leadMost  = 120 * time.Second
	leadShare = 10
	// defaultApptainer is looked up in the PATH of the node, after the setup commands.
	defaultApptainer = "apptainer"
)

// array is the workers of one job array, whose elements differ in their flags and logs alone.
type array struct {
	name  string          // of the job
	base  int             // slot of the worker of element 0
	specs []executor.Spec // in the order of their slots; at least one
}

// scriptConfig is what the script of a job needs to know beyond the workers.
type scriptConfig struct {
	worker    string // the worker program: an absolute path that the nodes see
	apptainer string // the program that runs containers: a name or a path; empty is apptainer
}

// args are the arguments of sbatch, which gets the script on stdin. The Task's own options come last and win.
func (a array) args(scriptConfig) ([]string, error) {
	s := a.specs[0]
	options, err := splitOptions(s.Slurm.Options)
	if err != nil {
		return nil, &executor.StalledError{Reason: ReasonInvalid, Message: err.Error(), Err: err}
	}
	args := []string{
		"--parsable", "--job-name=" + a.name, "--comment=tigerflow " + s.ID.Key, "--array=" + a.elements(),
		"--no-requeue", "--export=ALL", "--open-mode=append", "--output=" + a.outputPattern(), "--ntasks=1",
	}
	add := func(name, value string) {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	if s.Resources.CPUs > 0 {
		add("cpus-per-task", strconv.Itoa(s.Resources.CPUs))
	}
	if s.Resources.Memory > 0 {
		const mib = 1 << 20
		add("mem", strconv.FormatInt((s.Resources.Memory-1)/mib+1, 10)+"M")
	}
	if s.WallTime > 0 {
		add("time", strconv.FormatInt(ceil(s.WallTime, time.Minute), 10))
		add("signal", "B:URG@"+strconv.FormatInt(lead(s.WallTime), 10))
	}
	if s.Resources.GPUs > 0 && !namesGPUs(options) {
		add("gres", "gpu:"+strconv.Itoa(s.Resources.GPUs))
	}
	add("partition", s.Slurm.Partition)
	add("account", s.Slurm.Account)
	add("qos", s.Slurm.QOS)
	return append(args, avoiding(options, s.Avoid)...), nil
}

// ceil is how many whole units d takes.
func ceil(d, unit time.Duration) int64 { return int64((d + unit - 1) / unit) }

// lead is how many seconds before the end of its time Slurm warns a job.
func lead(wallTime time.Duration) int64 {
	return max(1, int64(min(leadMost, wallTime/leadShare)/time.Second))
}

// elements spells the elements of the array as sbatch --array has them: 0-2,5.
func (a array) elements() string {
	var parts []string
	for i := 0; i < len(a.specs); {
		first := a.specs[i].ID.Index - a.base
		last := first
		for i++; i < len(a.specs) && a.specs[i].ID.Index-a.base == last+1; i++ {
			last++
		}
		part := strconv.Itoa(first)
		if last > first {
			part += "-" + strconv.Itoa(last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// outputPattern names the logs as sbatch --output has them. Where no pattern can, the script finds its log by itself, and
// the words of Slurm's own daemons about the job are lost.
func (a array) outputPattern() string {
	before, after, alike := a.logAround()
	escape := strings.NewReplacer("%", "%%").Replace
	switch {
	case strings.Contains(a.specs[0].Log, `\`): // Slurm would take it for its escape
	case len(a.specs) == 1:
		return escape(a.specs[0].Log)
	case alike && a.base == 0:
		id := a.specs[0].ID
		return escape(before) + id.Key + ".%a.r" + strconv.Itoa(id.Restart) + escape(after)
	}
	return noOutput
}

const noOutput = "/dev/null"

// logAround finds what stands before and after the worker's id in the names of all logs, if that is alike.
func (a array) logAround() (before, after string, alike bool) {
	for i, s := range a.specs {
		b, f, found := cutLast(s.Log, s.ID.String())
		if !found || i > 0 && (b != before || f != after) {
			return "", "", false
		}
		before, after = b, f
	}
	return before, after, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

//go:embed script.sh
var scriptBody string

// script is what a node runs for each element of the array. It depends on nothing but bash 4.2, coreutils and util-linux.
func (a array) script(c scriptConfig) (string, error) {
	s := a.specs[0]
	if !filepath.IsAbs(c.worker) {
		return "", errors.New("the worker program needs an absolute path")
	}
	command, err := c.command(s)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	put := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	put("#!/bin/bash -l")
	put("# A worker of the TigerFlow task %s.", strings.Map(printable, s.Task))
	put(`[[ ${SLURM_ARRAY_TASK_ID-} =~ ^[0-9]+$ ]] || { echo 'this is to be run by sbatch, as a job array' >&2; exit 2; }`)
	put("tf_id=%s.$((%d + SLURM_ARRAY_TASK_ID)).r%d", s.ID.Key, a.base, s.ID.Restart)
	put("export %s=$tf_id %s=${SLURM_ARRAY_JOB_ID-}_$SLURM_ARRAY_TASK_ID %s=${SLURMD_NODENAME-}", tether.CookieEnv, protocol.EnvJob, protocol.EnvNode)
	a.putLog(put)
	a.putPerElement(put, "tf_args", func(s executor.Spec) string { return "(" + quoteAll(s.Args) + ")" })
	put("tf_worker=%s", quote(c.worker))
	put("tf_spool=%s", quote(s.Spool))
	put("tf_setup=(%s)", quoteAll(s.Container.SetupCommands))
	put("tf_drain=%d tf_wall=%d tf_lead=%d", ceil(s.DrainTimeout, time.Second), int64(s.WallTime/time.Second), lead(s.WallTime))
	put("tf_image=%s", quote(s.Container.Image))
	put("tf_run() { exec setsid %s; }", command) // so that what it leaves is told from the script and its kin
	out.WriteString(scriptBody)
	return out.String(), nil
}

// putLog tells the script its log, and has it open the log where sbatch cannot.
func (a array) putLog(put func(string, ...any)) {
	if before, after, alike := a.logAround(); alike {
		put(`tf_log=%s"$tf_id"%s`, quote(before), quote(after))
	} else {
		a.putPerElement(put, "tf_log", func(s executor.Spec) string { return quote(s.Log) })
	}
	if a.outputPattern() == noOutput {
		put(`exec >>"$tf_log" 2>&1`)
	}
}

// printable keeps a comment within its line.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '_'
}

// putPerElement sets a variable to what it is for the element that runs.
func (a array) putPerElement(put func(string, ...any), variable string, value func(executor.Spec) string) {
	elements := map[string][]string{}
	var order []string
	for _, s := range a.specs {
		v := value(s)
		if elements[v] == nil {
			order = append(order, v)
		}
		elements[v] = append(elements[v], strconv.Itoa(s.ID.Index-a.base))
	}
	if len(order) == 1 {
		put("%s=%s", variable, order[0])
		return
	}
	put("case $SLURM_ARRAY_TASK_ID in")
	for _, v := range order {
		put("%s) %s=%s ;;", strings.Join(elements[v], "|"), variable, v)
	}
	put("esac")
}
