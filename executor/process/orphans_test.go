package process

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
)

// parent starts workers as the process of a user would, and waits to be killed.
func parent(dir string, ids []string) int {
	if err := startAll(dir, ids); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	for {
		_ = syscall.Pause()
	}
}

func startAll(dir string, ids []string) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	e, err := New(binary)
	if err != nil {
		return err
	}
	for _, text := range ids {
		id, err := executor.ParseWorkerID(text)
		if err != nil {
			return err
		}
		if err := e.Start(context.Background(), []executor.Spec{spec(dir, id.Key, id.Index, "--brood")}); err != nil {
			return err
		}
	}
	return nil
}

// startParent runs a parent whose workers have come to work.
func startParent(t *testing.T, dir string, ids ...executor.WorkerID) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(self(t), "parent", dir)
	for _, id := range ids {
		cmd.Args = append(cmd.Args, id.String())
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	for _, id := range ids {
		eventually(t, func() error { return atWork(dir, id) })
	}
	return cmd
}

func lives(t *testing.T, dir string, id executor.WorkerID) bool {
	t.Helper()
	bred, err := executortest.Bred(dir, id.String())
	if err != nil {
		t.Fatal(err)
	}
	return bred
}

func TestKilledParentLeavesNoOrphan(t *testing.T) {
	dir, key := spool(t), newKey()
	ids := []executor.WorkerID{{Key: key, Index: 0, Restart: 1}, {Key: key, Index: 1, Restart: 1}}
	cmd := startParent(t, dir, ids...)
	for _, id := range ids {
		if !lives(t, dir, id) {
			t.Fatalf("worker %s has no children to begin with", id)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		eventually(t, func() error {
			if lives(t, dir, id) {
				return fmt.Errorf("children of %s outlive its parent", id)
			}
			return nil
		})
	}
}

// Where the workers were killed together with their parent nobody ends their children, until the next executor starts
// workers of that key.
func TestStartEndsLeftoversOfItsKeyOnly(t *testing.T) {
	dir, key := spool(t), newKey()
	left := executor.WorkerID{Key: key, Index: 0, Restart: 1}
	other := executor.WorkerID{Key: key + "-b", Index: 0, Restart: 1}
	parent := startParent(t, dir, left)
	startParent(t, dir, other)
	if err := parent.Process.Signal(syscall.SIGSTOP); err != nil { // so that it does not reap
		t.Fatal(err)
	}
	killWorker(t, left)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !lives(t, dir, left) {
		t.Fatal("nothing was left behind: the test shows nothing")
	}

	e := open(t, self(t))
	start(t, e, spec(dir, key, 1))
	if lives(t, dir, left) {
		t.Error("children of an earlier worker live beside the new one")
	}
	if !lives(t, dir, other) {
		t.Error("another spool's worker was ended")
	}
	if err := e.Sweep(context.Background(), key); err != nil {
		t.Error(err)
	}
	if w := find(t, e, spec(dir, key, 1).ID); w.Phase != executor.Running {
		t.Errorf("Sweep ended the executor's own worker: %+v", w)
	}
}

// killWorker kills the worker's own process, not its children.
func killWorker(t *testing.T, id executor.WorkerID) {
	t.Helper()
	args := "--id\x00" + id.String() + "\x00"
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), args) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/", &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("worker %s does not run", id)
}
