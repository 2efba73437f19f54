package slurmbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/executor"
)

// scene is a job that something happens to, and what squeue and sacct say of it in the end.
type scene struct {
	name   string // of the job
	args   string // of sbatch
	array  int    // the only element of the array; 0 is no array
	script string // one whose traps matter makes the file begun
	then   string // a command, when all jobs run that can; ID is the job's

	state    string
	reason   string // not looked at if empty
	phase    executor.Phase
	exit     string // empty is none
	restarts int
	account  string // the state in sacct; empty is not looked at
	slow     bool   // seen in testdata only
}

const (
	ever  = "sleep 600"
	hour  = "--begin=now+1hour"
	again = "--requeue"
)

var scenes = []scene{
	{
		name: "preempted", args: "-p spare -w node3 --exclusive", script: ever, then: "sbatch -p gpu -w node3 --exclusive -J preemptor -o /dev/null --wrap true",
		state: "PREEMPTED", phase: executor.Lost, account: "PREEMPTED",
	},
	{
		name: "lost", args: "-w node4 --exclusive --no-requeue", script: ever, then: "sudo scontrol update nodename=node4 state=down reason=test",
		state: "NODE_FAIL", phase: executor.Lost, account: "NODE_FAIL",
	},
	{name: "completed", script: "exit 0", state: "COMPLETED", phase: executor.Succeeded, exit: "exit status 0", account: "COMPLETED"},
	{name: "failed", script: "exit 3", state: "FAILED", reason: "NonZeroExitCode", phase: executor.Failed, exit: "exit status 3", account: "FAILED"},
	{name: "killed", script: "kill -9 $$", state: "FAILED", phase: executor.Failed, exit: "signal: killed", account: "FAILED"},
	{
		name: "trapped", script: "trap 'exit 7' TERM; : >begun; sleep 600 & wait", then: "scancel --batch --signal=TERM ID",
		state: "FAILED", phase: executor.Failed, exit: "exit status 7", account: "FAILED",
	},
	{name: "expired", args: "--time=1", script: ever, state: "TIMEOUT", reason: "TimeLimit", phase: executor.Expired, account: "TIMEOUT", slow: true},
	{name: "deadline", args: "--nodes=2 --exclusive --time=1 --deadline=now+65seconds", script: ever, state: "DEADLINE", phase: executor.Expired, account: "DEADLINE", slow: true},

	{name: "running", script: ever, state: "RUNNING", phase: executor.Running, account: "RUNNING"},
	{name: "running-element", array: 5, script: ever, state: "RUNNING", phase: executor.Running, account: "RUNNING"},
	{name: "suspended", script: ever, then: "sudo scontrol suspend ID", state: "SUSPENDED", phase: executor.Suspended, account: "SUSPENDED"},
	{name: "completing", script: "trap '' TERM; : >begun; sleep 600", then: "scancel ID", state: "COMPLETING", phase: executor.Terminating},

	{name: "canceled", script: ever, then: "scancel ID", state: "CANCELLED", phase: executor.Canceled, account: "CANCELLED by 2001"},
	{name: "canceled-by-root", script: ever, then: "sudo scancel ID", state: "CANCELLED", phase: executor.Canceled, account: "CANCELLED by 0"},
	{name: "canceled-early", args: hour, script: ever, then: "scancel ID", state: "CANCELLED", phase: executor.Canceled},
	{name: "canceled-element", args: hour, array: 3, script: ever, then: "scancel ID_3", state: "CANCELLED", phase: executor.Canceled},

	{name: "waiting", args: hour, script: ever, state: "PENDING", reason: "BeginTime", phase: executor.Pending},
	{name: "waiting-element", args: hour, array: 7, script: ever, state: "PENDING", reason: "BeginTime", phase: executor.Pending},
	{name: "big", args: "--nodes=2 --exclusive", script: ever, state: "PENDING", phase: executor.Pending},
	{name: "held", args: "--hold", script: ever, state: "PENDING", reason: "JobHeldUser", phase: executor.Held},
	{name: "held-by-root", args: hour, script: ever, then: "sudo scontrol hold ID", state: "PENDING", reason: "JobHeldAdmin", phase: executor.Held},
	{name: "requeued", args: again, script: ever, then: "scontrol requeue ID", state: "RUNNING", phase: executor.Running, restarts: 1, account: "RUNNING"},
	{name: "requeued-held", args: again, script: ever, then: "scontrol requeuehold ID", state: "PENDING", phase: executor.Held, restarts: 1},
	{name: "special", args: again, script: ever, then: "sudo scontrol requeuehold state=SpecialExit ID", state: "SPECIAL_EXIT", phase: executor.Held, restarts: 1},

	{name: "two\nlines\n8           3", args: "--hold", script: ever, state: "PENDING", phase: executor.Held},
	{name: "Übersicht|der;Läufe, 100 %d", args: "--hold", script: ever, state: "PENDING", phase: executor.Held},
}

// want is what is to be read of the job, in the form of read.
func (s scene) want(account bool) string {
	element := s.array
	if element == 0 || s.name == "canceled-element" { // see job.element
		element = -1
	}
	state, restarts := s.state, s.restarts
	if account {
		state, restarts = s.account, 0
	}
	never := s.phase == executor.Pending || s.phase == executor.Held || s.args == hour || s.name == "deadline"
	return fmt.Sprintf("%s is %s, exit %q, %d restarts, element %d, started %t, ended %t",
		state, s.phase, s.exit, restarts, element, !never, s.phase.Terminal())
}

func read(j job) string {
	phase, _ := phaseOf(j)
	exit := ""
	if j.exit != nil {
		exit = j.exit.String()
	}
	return fmt.Sprintf("%s is %s, exit %q, %d restarts, element %d, started %t, ended %t",
		j.state, phase, exit, j.restarts, j.element, !j.start.IsZero() && j.nodes != "", !j.end.IsZero())
}

// compare says how what squeue and sacct print differs from the scenes. Without accounting ended is nil.
func compare(jobs, ended []job, slow bool) []error {
	var errs []error
	queue, accounts := map[string]job{}, map[string]job{}
	for _, j := range jobs {
		queue[j.name] = j
	}
	for _, j := range ended {
		accounts[j.array] = j
	}
	for _, s := range scenes {
		if s.slow && !slow {
			continue
		}
		name, _, _ := strings.Cut(s.name, "\n") // of a name with line breaks only the first line is read
		j, listed := queue[name]
		if got, want := read(j), s.want(false); !listed || got != want || s.reason != "" && j.reason != s.reason {
			errs = append(errs, fmt.Errorf("squeue: %s: %s (%s), want %s (%s)", s.name, got, j.reason, want, s.reason))
		}
		if ended == nil || s.account == "" {
			continue
		}
		if got, want := read(accounts[j.array]), s.want(true); got != want {
			errs = append(errs, fmt.Errorf("sacct: %s: %s, want %s", s.name, got, want))
		}
	}
	return errs
}

// TestScenes: what Slurm of several versions has printed of all scenes; TestScenesLive wrote it.
func TestScenes(t *testing.T) {
	queues, err := filepath.Glob("testdata/squeue-*.txt")
	if err != nil || len(queues) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range queues {
		t.Run(filepath.Base(path), func(t *testing.T) {
			out, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			jobs, err := parseQueue(out)
			if err != nil {
				t.Fatal(err)
			}
			accounts, err := os.ReadFile(filepath.Join("testdata", "sacct-"+filepath.Base(path)[len("squeue-"):]))
			if err != nil {
				t.Fatal(err)
			}
			ended, err := parseAccounting(accounts)
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range compare(jobs, ended, true) {
				t.Error(err)
			}
		})
	}
}
