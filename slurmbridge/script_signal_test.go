package slurmbridge

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// worker is the process of the stand-in.
func (j *testJob) worker() int {
	j.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(j.words("pid")[0]))
	must(j.t, err)
	return pid
}

// quiet waits until the script has done all that signals have set off, and waits for its worker.
func (j *testJob) quiet() {
	j.t.Helper()
	await(j.t, time.Minute, func() (bool, string) {
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", j.cmd.Process.Pid))
		return strings.HasPrefix(string(call), fmt.Sprint(syscall.SYS_WAIT4, " ")), fmt.Sprintf("the script is in %q, %v", call, err)
	})
}

// whenReaped ends the worker, stops the script between the system call that tells bash of that end and all that bash does
// about it, does something then, and lets the script go on.
func (j *testJob) whenReaped(worker int, do func()) {
	j.t.Helper()
	runtime.LockOSThread() // only the thread that has attached is served
	defer runtime.UnlockOSThread()
	script := j.cmd.Process.Pid
	j.quiet()
	if err := syscall.PtraceAttach(script); err != nil {
		j.t.Skipf("needs ptrace(2): %v", err)
	}
	stop := func() syscall.Signal {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(script, &status, syscall.WALL, nil); err != nil || !status.Stopped() {
			j.t.Fatalf("the script does not stop: %v, %#x", err, status)
		}
		return status.StopSignal()
	}
	stop()
	must(j.t, syscall.Kill(worker, syscall.SIGKILL))
	for pass := syscall.Signal(0); syscall.Kill(worker, 0) == nil; {
		must(j.t, syscall.PtraceSyscall(script, int(pass)))
		if pass = stop(); pass == syscall.SIGTRAP {
			pass = 0
		}
	}
	do()
	must(j.t, syscall.PtraceDetach(script))
}

// TestScriptSeesItsWorkerOut: bash never learns of the end of a child if a signal comes at that very moment, and would then wait for
// all that it has started.
func TestScriptSeesItsWorkerOut(t *testing.T) {
	for name, change := range map[string]func(*executor.Spec){"bare": func(*executor.Spec) {}, "after setup": contained("sleep 600 &")} {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, "twice", change)
			j.waitFor("ready")
			j.signal(syscall.SIGTERM)
			j.waitFor("terms")
			j.whenReaped(j.worker(), func() { j.signal(syscall.SIGTERM) })
			j.end(128 + int(syscall.SIGTERM))
		})
	}
}

// TestScriptLeavesNothingBehind: a signal that comes when the worker has ended sets off nothing that outlives the script.
func TestScriptLeavesNothingBehind(t *testing.T) {
	j := newJob(t, "5", func(*executor.Spec) {}, "FAKE_HOLD=signaled")
	j.waitFor("sweep.args")
	j.signal(syscall.SIGTERM)
	must(t, os.WriteFile(j.path("signaled"), nil, 0o600))
	j.end(5)
	if err := syscall.Kill(-j.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("something of the job is left: %v", err)
	}
}

// TestScriptAfterJobControl: with it setsid leaves a worker to itself.
func TestScriptAfterJobControl(t *testing.T) {
	j := newJob(t, "5", contained("set -m"))
	j.end(5)
}

func TestScriptLeavesTheEndOfTimeToTheWorker(t *testing.T) {
	j := newJob(t, "obey", func(s *executor.Spec) { s.WallTime = time.Minute }, "FAKE_HOLD=urged")
	j.waitFor("ready")
	j.signal(syscall.SIGURG)
	j.urge("terms")
	j.quiet()
	must(t, os.WriteFile(j.path("urged"), nil, 0o600))
	j.end(7)
	if terms := j.words("terms"); len(terms) != 1 || terms[0] != "term\n" {
		t.Errorf("the worker got %q", terms)
	}
}
