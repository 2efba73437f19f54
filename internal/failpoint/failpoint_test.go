package failpoint

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary a process that passes a point three times, too.
func TestMain(m *testing.M) {
	if os.Getenv("FAILPOINT_PASSES") == "1" {
		for range 3 {
			Reach(WorkerPublished)
			_, _ = os.Stdout.WriteString("x")
		}
		os.Exit(0)
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

func process(spec string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAILPOINT_PASSES=1", Env+"="+spec)
	return cmd
}

func TestKill(t *testing.T) {
	for spec, want := range map[string]string{
		"worker.published=kill":                         "",
		"worker.published=kill@3":                       "xx",
		"worker.claimed=kill":                           "xxx",
		"worker.claimed=stop;worker.published=kill@2":   "x",
		"worker.published=kill@4":                       "xxx",
		"worker.published=delay:1ns":                    "xxx",
		"worker.published=delay:1ns@2;worker.born=kill": "xxx",
	} {
		cmd := process(spec)
		out, err := cmd.Output()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if killed := status.Signaled() && status.Signal() == syscall.SIGKILL; string(out) != want || killed != (want != "xxx") || !killed && err != nil {
			t.Errorf("%s: wrote %q and ended with %v", spec, out, cmd.ProcessState)
		}
	}
}

func TestStop(t *testing.T) {
	cmd := process("worker.published=stop@2")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it did not stop: %v, %v", status, err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	actions, err := parse("worker.born=delay:20ms;dispatcher.fed=kill@7")
	if err != nil {
		t.Fatal(err)
	}
	born, fed := actions[WorkerBorn], actions[DispatcherFed]
	if born.wait != 20*time.Millisecond || born.at != 0 || fed.what != "kill" || fed.at != 7 || len(actions) != 2 {
		t.Errorf("read %+v, %+v", born, fed)
	}
	for _, bad := range []string{"", "worker.born", "worker.unborn=kill", "worker.born=sleep", "worker.born=delay", "worker.born=kill:1s", "worker.born=kill@x", "worker.born=kill@-1", "worker.born=delay:soon"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestPointsAreDistinct(t *testing.T) {
	points := Points()
	slices.Sort(points)
	if len(slices.Compact(points)) != len(Points()) {
		t.Error("a point is listed twice")
	}
}

func TestUnarmed(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Reach(WorkerPublished) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
