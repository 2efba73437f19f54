package slurmbridge

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// accountingFields are what sacct is asked for: --format in sacct(1). None of them can hold the separator, a name could.
const accountingFields = "JobID,State,ExitCode,Start,End,NodeList"

// maxElement is the highest element that any cluster allows: MaxArraySize in slurm.conf(5).
const maxElement = 4000000

// accountingArgs are the arguments of sacct for jobs that squeue has dropped, given like 8_3. It is asked for whole arrays:
// elements that were canceled before they started have one row together, which is not found by theirs.
func accountingArgs(ids []string) []string {
	arrays := map[string]bool{}
	for _, id := range ids {
		array, _, _ := strings.Cut(id, "_")
		arrays[array] = true
	}
	return []string{
		"--allocations", "--parsable2", "--noheader", "--format=" + accountingFields,
		"--jobs=" + strings.Join(slices.Sorted(maps.Keys(arrays)), ","),
	}
}

// parseAccounting reads what sacct prints when called with accountingArgs. Jobs that it does not know are missing.
func parseAccounting(out []byte) ([]job, error) {
	var jobs []job
	for line := range bytes.Lines(out) {
		row, err := parseAccount(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return nil, fmt.Errorf("sacct: %w in %q", err, line)
		}
		jobs = append(jobs, row...)
	}
	return jobs, nil
}

// parseAccount reads one row: a job, 8, an element, 8_3, or elements that never started, 8_[1-4,7%2].
func parseAccount(line string) ([]job, error) {
	fields := strings.Split(line, "|")
	if want := strings.Count(accountingFields, ",") + 1; len(fields) != want {
		return nil, fmt.Errorf("%d fields, want %d,", len(fields), want)
	}
	array, elements, isArray := strings.Cut(fields[0], "_")
	j := job{array: array, element: -1, state: fields[1], priority: -1, nodes: fields[5]}
	if j.nodes == "None assigned" {
		j.nodes = ""
	}
	if err := errors.Join(j.past(fields[2], fields[3], fields[4]), j.check()); err != nil {
		return nil, err
	}
	if !isArray {
		return []job{j}, nil
	}
	numbers, err := parseElements(elements)
	if err != nil {
		return nil, fmt.Errorf("job id %q", fields[0])
	}
	jobs := make([]job, len(numbers))
	for i, n := range numbers {
		jobs[i] = j
		jobs[i].element = n
	}
	return jobs, nil
}

// parseElements reads "3" and "[1-4,7%2]". A list that sacct has cut short ends in "...": what is missing is not known then.
func parseElements(text string) ([]int, error) {
	list, isList := strings.CutPrefix(text, "[")
	if isList {
		list = strings.TrimSuffix(list, "]")
		list, _, _ = strings.Cut(list, "%")
	}
	var numbers []int
	for part := range strings.SplitSeq(list, ",") {
		if isList && part == "..." {
			break
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err != nil || err2 != nil || from < 0 || to < from || to > maxElement || len(numbers) > maxElement {
			return nil, fmt.Errorf("elements %q", text)
		}
		for n := from; n <= to; n++ {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}

// noAccounting reports whether sacct failed because the cluster keeps no accounts.
func noAccounting(err error) bool {
	return strings.Contains(err.Error(), "accounting storage is disabled")
}
