package slurmbridge

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// job is what squeue or sacct says of one job, or of one element of a job array.
type job struct {
	array    string // the id that sbatch printed
	element  int    // of the array; -1 if the job is none, and if the last elements of it were canceled before they started
	name     string // cut to nameWidth bytes; empty from sacct
	state    string // as Slurm spells it; see phaseOf
	reason   string // why it is in that state, in Slurm's words; empty if there is none, and from sacct
	priority int64  // 0 is held; -1 from sacct
	restarts int    // how often it was requeued; 0 from sacct
	nodes    string // where it runs or ran; empty before that
	start    time.Time
	end      time.Time      // both zero until they have happened: Slurm's forecasts are left out
	exit     *executor.Exit // how its script ended by itself; nil if it did not
}

// queueColumns are the fields of one row and the bytes that squeue cuts or fills each to: --Format in squeue(1). The name comes
// last, since it alone can be any text, even lines of it. It is shorter than what stands before it, so that no part of a
// name can pass for a row.
var queueColumns = []struct {
	field string
	width int
}{
	{"ArrayJobID", 12},
	{"ArrayTaskID", 14},
	{"State", 24},
	{"PriorityLong", 12},
	{"RestartCnt", 12},
	{"exit_code", 12},
	{"StartTime", 24},
	{"EndTime", 24},
	{"NodeList", 40},
	{"Reason", 100},
	{"Name", nameWidth},
}

const (
	queueHead = "ARRAY_JOB_ID" // begins the header
	nameWidth = 64             // the longest name that is read to its end
)

// queueArgs are the arguments of squeue for all jobs of the user, ended ones too, each element of an array by itself.
func queueArgs() []string {
	fields := make([]string, len(queueColumns))
	for i, c := range queueColumns {
		fields[i] = fmt.Sprintf("%s:%d", c.field, c.width)
	}
	return []string{"--me", "--array", "--states=all", "--Format=" + strings.Join(fields, ",")}
}

// parseQueue reads what squeue prints when called with queueArgs. It fails without the header, as an answer that is none
// must not pass for a queue without jobs.
func parseQueue(out []byte) ([]job, error) {
	head, rows, found := bytes.Cut(out, []byte("\n"))
	if !found || !bytes.HasPrefix(head, []byte(queueHead)) {
		return nil, fmt.Errorf("squeue: want a header that begins with %s, got %.80q", queueHead, head)
	}
	var jobs []job
	for line := range bytes.Lines(rows) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		j, err := parseRow(string(line))
		switch {
		case err == nil:
			jobs = append(jobs, j)
		case len(line) > nameWidth: // or else it is the rest of a name that has line breaks
			return nil, fmt.Errorf("squeue: %w in %q", err, line)
		}
	}
	return jobs, nil
}

func parseRow(line string) (job, error) {
	last := len(queueColumns) - 1
	fields := make([]string, last)
	for i, c := range queueColumns[:last] {
		if len(line) < c.width {
			return job{}, fmt.Errorf("no %s", c.field)
		}
		fields[i] = strings.TrimSpace(line[:c.width])
		line = line[c.width:]
	}
	j := job{
		array: fields[0], element: -1, state: fields[2], nodes: fields[8], reason: fields[9],
		name: strings.TrimRight(line, " "),
	}
	if j.reason == "None" {
		j.reason = ""
	}
	var errs [4]error
	if fields[1] != "N/A" {
		j.element, errs[0] = strconv.Atoi(fields[1])
	}
	j.priority, errs[1] = strconv.ParseInt(fields[3], 10, 64)
	j.restarts, errs[2] = strconv.Atoi(fields[4])
	errs[3] = j.past(fields[5], fields[6], fields[7])
	return j, errors.Join(append(errs[:], j.check())...)
}

// check refuses what is no row at all.
func (j *job) check() error {
	if _, err := strconv.ParseUint(j.array, 10, 64); err != nil {
		return fmt.Errorf("job id %q", j.array)
	}
	if j.state == "" {
		return errors.New("no state")
	}
	return nil
}

// past takes in what has happened to the job: Slurm also prints when it expects a job to start and to end, and gives codes
// that are no script's to jobs that were canceled or lost.
func (j *job) past(exit, start, end string) error {
	phase, _ := phaseOf(*j)
	var errs [3]error
	if j.nodes != "" && phase != executor.Pending && phase != executor.Held {
		j.start, errs[0] = parseTime(start)
	}
	if phase.Terminal() {
		j.end, errs[1] = parseTime(end)
	}
	if phase == executor.Succeeded || phase.Blames() {
		j.exit, errs[2] = parseExit(exit)
	}
	return errors.Join(errs[:]...)
}

// node is the one on which the job's script runs or ran; empty if it is not known. Of several it is the first, which only
// scontrol tells in all cases.
func (j *job) node() string {
	if j.start.IsZero() || strings.ContainsAny(j.nodes, "[,") {
		return ""
	}
	return j.nodes
}

// parseTime reads a time as squeue and sacct print it while SLURM_TIME_FORMAT is not set: in the local zone. It is zero if Slurm
// knows none.
func parseTime(text string) (time.Time, error) {
	switch text {
	case "N/A", "NONE", "None", "Unknown", "":
		return time.Time{}, nil
	}
	return time.ParseInLocation("2006-01-02T15:04:05", text, time.Local)
}

// parseExit reads "code:signal": exit_code in squeue(1), ExitCode in sacct(1). The squeue of 22.05 prints what wait(2) gave. What is
// no signal, the 125 of jobs that were out of memory, says nothing of how the script ended.
func parseExit(text string) (*executor.Exit, error) {
	const signals = 64
	before, after, pair := strings.Cut(text, ":")
	if !pair {
		after = "0"
	}
	code, err := strconv.ParseUint(before, 10, 16)
	signal, err2 := strconv.ParseUint(after, 10, 16)
	if err != nil || err2 != nil || pair && code > 255 {
		return nil, fmt.Errorf("exit code %q", text)
	}
	if !pair {
		code, signal = code>>8, code&0x7f
	}
	if signal > signals {
		return nil, nil
	}
	return &executor.Exit{Code: int(code), Signal: syscall.Signal(signal)}, nil
}
