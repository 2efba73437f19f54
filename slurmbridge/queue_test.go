package slurmbridge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is how squeue prints fields: cut or filled to the bytes of each column.
func row(fields ...string) string {
	var b strings.Builder
	for i, c := range queueColumns {
		fmt.Fprintf(&b, "%-*.*s", c.width, c.width, fields[i])
	}
	return b.String()
}

func TestParseQueueRefuses(t *testing.T) {
	head := row("ARRAY_JOB_ID", "ARRAY_TASK_ID", "STATE", "PRIORITY", "RESTART_COUNT", "EXIT_CODE", "START_TIME", "END_TIME", "NODELIST", "REASON", "NAME") + "\n"
	good := []string{"8", "3", "RUNNING", "1", "0", "0:0", "2026-11-30T09:46:03", "NONE", "node1", "None", "t.tf-k.0.r1"}
	if jobs, err := parseQueue([]byte(head)); err != nil || len(jobs) != 0 {
		t.Errorf("no jobs: %v, %v", jobs, err)
	}
	if jobs, err := parseQueue([]byte(head + row(good...) + "\n")); err != nil || len(jobs) != 1 {
		t.Errorf("one job: %v, %v", jobs, err)
	}
	for _, out := range []string{"", "\n", "slurm_load_jobs error: Socket timed out\n", head[:len(head)-1], row(good...) + "\n"} {
		if jobs, err := parseQueue([]byte(out)); err == nil {
			t.Errorf("%.60q: %v, want an error", out, jobs)
		}
	}
	for field, bad := range map[int]string{0: "x", 1: "y", 2: "", 3: "", 4: "z", 6: "soon"} {
		fields := slices.Clone(good)
		fields[field] = bad
		if jobs, err := parseQueue([]byte(head + row(fields...) + "\n")); err == nil {
			t.Errorf("%s %q: %v, want an error", queueColumns[field].field, bad, jobs)
		}
	}
}

// FuzzParseQueue: whatever the name of a stranger's job, the worker's behind it is read.
func FuzzParseQueue(f *testing.F) {
	ours := []string{"8", "3", "RUNNING", "1", "0", "0:0", "2026-11-30T09:46:03", "NONE", "node1", "None", "t.tf-k.0.r1"}
	f.Add("two\nlines", "7", "FAILED")
	f.Add(row(ours...), "7", "PENDING")
	f.Add("\n"+row(ours...), "7", "PENDING")
	f.Add("Übersicht\x00\xff|%s", "7", "x")
	f.Fuzz(func(t *testing.T, name, id, state string) {
		name = name[:min(len(name), nameWidth)]
		foreign := row(id, "N/A", state, "1", "0", "0:0", "N/A", "N/A", "", "None", "")
		foreign = foreign[:len(foreign)-nameWidth] + name + strings.Repeat(" ", nameWidth-len(name))
		out := queueHead + "\n" + foreign + "\n" + row(ours...) + "\n"
		jobs, err := parseQueue([]byte(out))
		if err != nil {
			return // the stranger's id or state is none
		}
		last := jobs[len(jobs)-1]
		if last.array != "8" || last.element != 3 || last.name != "t.tf-k.0.r1" || last.state != "RUNNING" {
			t.Errorf("the last of %+v is not the worker's", jobs)
		}
		if len(jobs) > 2 {
			t.Errorf("a name passes for a job: %+v", jobs)
		}
	})
}

// TestNode: a job that waits runs nowhere, and which of several nodes is the first is not known.
func TestNode(t *testing.T) {
	begun := time.Unix(1, 0)
	for _, c := range []struct {
		job  job
		want string
	}{
		{job{nodes: "node1", start: begun}, "node1"},
		{job{nodes: "node1"}, ""},
		{job{start: begun}, ""},
		{job{nodes: "node[1-2]", start: begun}, ""},
		{job{nodes: "a1,b1", start: begun}, ""},
	} {
		if got := c.job.node(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.job, got, c.want)
		}
	}
}

func TestParseTime(t *testing.T) {
	got, err := parseTime("2026-11-30T09:46:03")
	if want := time.Date(2026, 11, 30, 9, 46, 3, 0, time.Local); err != nil || !got.Equal(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, none := range []string{"", "N/A", "NONE", "Unknown"} {
		if got, err := parseTime(none); err != nil || !got.IsZero() {
			t.Errorf("%q: %v, %v", none, got, err)
		}
	}
	if _, err := parseTime("1796032000"); err == nil {
		t.Error("a time in another format is taken")
	}
}

func TestParseExit(t *testing.T) {
	for text, want := range map[string]string{
		"0:0": "exit status 0", "3:0": "exit status 3", "137:0": "exit status 137", "0:9": "signal: killed", "0:125": "<nil>",
		"0": "exit status 0", "768": "exit status 3", "9": "signal: killed", "139": "signal: segmentation fault", "125": "<nil>",
	} {
		if got, err := parseExit(text); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "x", "65536", "x:0", "-1:0", "300:0", "0:x"} {
		if got, err := parseExit(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, got)
		}
	}
}
