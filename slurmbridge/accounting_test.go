package slurmbridge

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestParseAccounting(t *testing.T) {
	for line, want := range map[string]string{
		"8|COMPLETED|0:0|2026-11-30T09:46:03|2026-11-30T09:46:04|node1":                    "8 [-1] Succeeded exit status 0",
		"8_3|FAILED|3:0|2026-11-30T09:46:03|2026-11-30T09:46:04|node1":                     "8 [3] Failed exit status 3",
		"8_3|CANCELLED by 2001|0:0|2026-11-30T09:46:03|2026-11-30T09:46:04|node1":          "8 [3] Canceled <nil>",
		"8_3|NODE_FAIL|1:0|2026-11-30T09:46:03|2026-11-30T09:46:04|node1":                  "8 [3] Lost <nil>",
		"8_3|OUT_OF_MEMORY|0:125|2026-11-30T09:46:03|2026-11-30T09:46:04|node1":            "8 [3] OutOfMemory <nil>",
		"8_3|RUNNING|0:0|2026-11-30T09:46:03|Unknown|node1":                                "8 [3] Running <nil>",
		"8_[3]|CANCELLED by 0|0:0|2026-11-30T09:46:03|2026-11-30T09:46:03|None assigned":   "8 [3] Canceled <nil>",
		"8_[1-3,7%2]|CANCELLED by 0|0:0|None|2026-11-30T09:46:03|None assigned":            "8 [1 2 3 7] Canceled <nil>",
		"8_[1,3,...]|PENDING|0:0|Unknown|Unknown|None assigned":                            "8 [1 3] Pending <nil>",
		"8_[0-2:2]|PENDING|0:0|Unknown|Unknown|None assigned":                              "",
		"8_x|PENDING|0:0|Unknown|Unknown|None assigned":                                    "",
		"8_[2-1]|PENDING|0:0|Unknown|Unknown|None assigned":                                "",
		"8_[0-99999999]|PENDING|0:0|Unknown|Unknown|None assigned":                         "",
		"8.batch|COMPLETED|0:0|2026-11-30T09:46:03|2026-11-30T09:46:04|node1":              "",
		"8|COMPLETED|0:0|2026-11-30T09:46:03|2026-11-30T09:46:04":                          "",
		"8|COMPLETED||2026-11-30T09:46:03|2026-11-30T09:46:04|node1":                       "",
		"8|COMPLETED|0:0|soon|2026-11-30T09:46:04|node1":                                   "",
		"sacct: error: slurm_persist_conn_open_without_init: failed to open persistent co": "",
	} {
		jobs, err := parseAccounting([]byte(line + "\n"))
		got := ""
		if err == nil {
			var elements []int
			for _, j := range jobs {
				elements = append(elements, j.element)
			}
			phase, _ := phaseOf(jobs[0])
			got = fmt.Sprint(jobs[0].array, " ", elements, " ", phase, " ", jobs[0].exit)
		}
		if got != want {
			t.Errorf("%s: %s, %v, want %q", line, got, err, want)
		}
	}
	if jobs, err := parseAccounting(nil); err != nil || len(jobs) != 0 {
		t.Errorf("no jobs: %v, %v", jobs, err)
	}
}

func TestAccountingArgs(t *testing.T) {
	if args := accountingArgs([]string{"9_0", "8_3", "8_4", "7"}); !slices.Contains(args, "--jobs=7,8,9") {
		t.Errorf("got %q", args)
	}
	disabled := errors.New("sacct: Slurm accounting storage is disabled")
	if !noAccounting(disabled) || noAccounting(errors.New("sacct: Connection refused")) {
		t.Error("a database that is down is one")
	}
}

func FuzzParseAccounting(f *testing.F) {
	f.Add("8_[1-3,7%2]|CANCELLED by 0|0:0|None|2026-11-30T09:46:03|None assigned\n")
	f.Fuzz(func(t *testing.T, text string) {
		jobs, err := parseAccounting([]byte(text))
		if err != nil && jobs != nil {
			t.Errorf("%v and %v", jobs, err)
		}
		for _, j := range jobs {
			if j.array == "" || j.state == "" {
				t.Errorf("no job: %+v", j)
			}
		}
	})
}
