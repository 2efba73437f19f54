package slurmbridge

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tigerflow.dev/tigerflow/executor"
)

// maxName is how long a job's name may be: squeue and sacct show little more, and some sites cut it.
const maxName = 64

// jobName leads with the Task's name, by which people know the job, and has all that tells its workers.
func jobName(task, key string, base, restart int) string {
	rest := fmt.Sprintf(".tf-%s.%d.r%d", key, base, restart)
	task = unnameable.ReplaceAllString(task, "_")
	return task[:min(len(task), maxName-len(rest))] + rest
}

var (
	unnameable  = regexp.MustCompile(`[^A-Za-z0-9_-]`)
	namePattern = regexp.MustCompile(`\.tf-([a-z0-9-]+)\.(0|[1-9][0-9]*)\.r([1-9][0-9]*)$`)
)

// workerOf tells which worker an element of an array of the name is, if one at all.
func workerOf(name string, element int) (executor.WorkerID, bool) {
	m := namePattern.FindStringSubmatch(name)
	if m == nil || element < 0 {
		return executor.WorkerID{}, false
	}
	base, err := strconv.Atoi(m[2])
	if err != nil {
		return executor.WorkerID{}, false
	}
	id, err := executor.ParseWorkerID(strings.Join([]string{m[1], strconv.Itoa(base + element), "r" + m[3]}, "."))
	return id, err == nil
}
