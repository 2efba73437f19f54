package slurmbridge

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// accountingFields are what sacct is asked for: --format in sacct(1). None of them can hold the separator, a name could.
const accountingFields = "JobID,State,ExitCode,Start,End,NodeList"

// accountingArgs are the arguments of sacct for jobs, or elements of arrays, that squeue has dropped: their ids as in
// scancel(1), 8_3.
func accountingArgs(ids []string) []string {
	return []string{
		"--allocations", "--array", "--parsable2", "--noheader", "--format=" + accountingFields, "--jobs=" + strings.Join(ids, ","),
	}
}

// parseAccounting reads what sacct prints when called with accountingArgs. Jobs that it does not know are missing.
func parseAccounting(out []byte) ([]job, error) {
	var jobs []job
	for line := range bytes.Lines(out) {
		j, err := parseAccount(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return nil, fmt.Errorf("sacct: %w in %q", err, line)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func parseAccount(line string) (job, error) {
	fields := strings.Split(line, "|")
	if want := strings.Count(accountingFields, ",") + 1; len(fields) != want {
		return job{}, fmt.Errorf("%d fields, want %d,", len(fields), want)
	}
	array, element, isArray := strings.Cut(fields[0], "_")
	j := job{array: array, element: -1, state: fields[1], priority: -1, nodes: fields[5]}
	if isArray {
		n, err := strconv.Atoi(element)
		if err != nil {
			return job{}, fmt.Errorf("job id %q", fields[0])
		}
		j.element = n
	}
	if j.nodes == "None assigned" {
		j.nodes = ""
	}
	if err := j.past(fields[2], fields[3], fields[4]); err != nil {
		return job{}, err
	}
	return j, j.check()
}

// noAccounting reports whether sacct failed because the cluster keeps no accounts.
func noAccounting(err error) bool {
	return strings.Contains(err.Error(), "accounting storage is disabled")
}
