package workermain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// TestMain makes the test binary a worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		if err := Run(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestPrintsBehindTheParentsEnd: who reads what the worker prints ends with the parent, at once and before anything else is to
// be seen of that. The worker still ends in good order.
func TestPrintsBehindTheParentsEnd(t *testing.T) {
	const script = `touch begun; until [ -e go ]; do sleep 0.01; done; head -c 300000 /dev/zero; touch said; sleep 1000`
	dir := t.TempDir()
	s, cmd := newWorker(t, dir, script, nil)
	id := s.ID() + ".0.r1"
	reader, stdout := pipe(t)
	lifeline, parent := pipe(t)
	cmd.Env = append(os.Environ(), tether.CookieEnv+"="+id, tether.LifelineEnv+"=3", protocol.EnvNarrate+"=1")
	cmd.Stdout, cmd.ExtraFiles = stdout, []*os.File{lifeline}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_, _ = stdout.Close(), lifeline.Close()
	await(t, ended, filepath.Join(dir, "begun"))
	reader.Close()
	write(t, filepath.Join(dir, "go"))
	await(t, ended, filepath.Join(dir, "said"))
	parent.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if exit, err := s.ReadExit(id); err != nil || exit.Reason != spool.ExitParentGone {
		t.Errorf("its last word: %+v, %v", exit, err)
	}
}

// TestTimeoutOfASuspendedJob: the time for which a scheduler stops all processes of a job is none that its files take.
func TestTimeoutOfASuspendedJob(t *testing.T) {
	const timeout = 3 * time.Second
	const script = `echo $$ >leader.tmp; mv leader.tmp leader; until [ -e go ]; do sleep 0.01; done; echo done >"$TIGERFLOW_OUTPUT"`
	dir := t.TempDir()
	s, cmd := newWorker(t, dir, script, func(s *spool.Spec) { s.Type, s.Timeout = spool.TypeSlurm, spool.Duration(timeout) })
	cmd.Args = append(cmd.Args, "--idle-timeout", "1ms")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	await(t, ended, filepath.Join(dir, "leader"))
	leader, err := os.ReadFile(filepath.Join(dir, "leader"))
	if err != nil {
		t.Fatal(err)
	}
	handler, err := strconv.Atoi(strings.TrimSpace(string(leader)))
	if err != nil {
		t.Fatal(err)
	}
	signal := func(number syscall.Signal, groups ...int) {
		for _, group := range groups {
			if err := syscall.Kill(-group, number); err != nil {
				t.Fatal(err)
			}
		}
	}
	signal(syscall.SIGSTOP, cmd.Process.Pid, handler)
	said := func() (records int) {
		err := s.JournalTail(s.ID()+".0.r1", 0).Read(func([]byte, int64) error { records++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	before := said()
	<-time.After(timeout)
	signal(syscall.SIGCONT, cmd.Process.Pid)
	for tick := time.Tick(2 * time.Millisecond); said() == before; { // that it lives, or what it has done to the file
		<-tick
	}
	write(t, filepath.Join(dir, "go"))
	signal(syscall.SIGCONT, handler)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "out", "a.out")); err != nil {
		t.Error("the file has failed: ", err)
	}
}

// newWorker makes a Task of a shell script with one file, and the command of a worker of it.
func newWorker(t *testing.T, dir, script string, change func(*spool.Spec)) (*spool.Spool, *exec.Cmd) {
	t.Helper()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	write(t, filepath.Join(in, "a.txt"))
	spec := spool.Spec{
		Task: "T", Type: spool.TypeLocal, WorkDir: spool.Name(dir), InputDir: spool.Name(in), InputExt: ".txt",
		OutputDir: spool.Name(out), OutputExt: ".out", Concurrency: 1, Durability: spool.None,
		Handler: spool.Handler{Command: []string{"sh", "-c", script}},
	}
	if change != nil {
		change(&spec)
	}
	s, err := spool.Create(spool.Dir(out, "T"), spool.Owner{Plane: "test", Name: "T"}, spec)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := (&spool.Contender{Spool: s, Owner: s.Owner()}).Try()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Abandon)
	if _, err := lock.Feed(spool.Batch{Files: []spool.Name{"a.txt"}}); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "run", "--spool", s.Path(), "--id", s.ID()+".0.r1")
	cmd.Stderr = os.Stderr
	return s, cmd
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// await waits for a file that comes of the worker's work.
func await(t *testing.T, ended <-chan error, path string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(2 * time.Minute); ; {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the worker has ended before there was %s: %v", filepath.Base(path), err)
		case <-late:
			t.Fatalf("waited in vain for %s", path)
		case <-tick.C:
		}
	}
}
