package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
)

// asWorker makes the test binary the worker binary.
const asWorker = "WORKER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asWorker+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		args  string
		code  int
		tells string
	}{
		{"", 2, "usage:"},
		{"dance", 2, "usage:"},
		{"run --spool", 2, "usage:"},
		{"run --spool x --id w", 2, `--id "w"`},
		{"run --spool /absent --id w.0.r0", 1, "/absent/spool.json"},
		{"run --spool x --id w.0.r0 --wall-time -1s", 2, "--wall-time -1s"},
		{"run --spool x --id w.0.r0 --wall-time soon", 2, "usage:"},
		{"setup-failed --id w.0.r1", 2, "usage:"},
		{"setup-failed --type X --id w", 2, `--id "w"`},
		{"setup-failed --type X --id w.0.r1 --spool /absent", 1, "/absent/spool.json"},
		{"version", 0, ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			cmd := command(t, strings.Fields(tt.args)...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run() // its exit code tells
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(stderr.String(), tt.tells) {
				t.Errorf("exit code %d, stderr %q; want %d and %q", code, &stderr, tt.code, tt.tells)
			}
		})
	}
}

const files = 300

func content(i int) string { return strings.Repeat(fmt.Sprintf("line of %d\n", i), 2000) }

func name(i int) string { return fmt.Sprintf("f%03d", i) }

// newTask makes a Task of many files and feeds them in batches of ten.
func newTask(t *testing.T, change func(*spool.Spec)) (*spool.Spool, *spool.Lock) {
	t.Helper()
	root := t.TempDir()
	spec := spool.Spec{
		Task: "echo", Type: spool.TypeSlurm, WorkDir: spool.Name(root), InputDir: spool.Name(filepath.Join(root, "in")), InputExt: ".txt",
		OutputDir: spool.Name(filepath.Join(root, "out")), OutputExt: ".out", Handler: spool.Handler{Builtin: "echo"}, Concurrency: 3,
		Durability: spool.None, Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	}
	if change != nil {
		change(&spec)
	}
	must(t, os.Mkdir(string(spec.InputDir), 0o777))
	must(t, os.Mkdir(string(spec.OutputDir), 0o777))
	s, err := spool.Create(spool.Dir(string(spec.OutputDir), spec.Task), spool.Owner{Plane: "test", Name: "echo"}, spec)
	must(t, err)
	lock, err := (&spool.Contender{Spool: s, Owner: s.Owner()}).Try()
	must(t, err)
	t.Cleanup(lock.Abandon)
	var batch spool.Batch
	for i := range files {
		must(t, os.WriteFile(filepath.Join(string(spec.InputDir), name(i)+".txt"), []byte(content(i)), 0o666))
		if batch.Files = append(batch.Files, spool.Name(name(i)+".txt")); len(batch.Files) == 10 {
			_, err := lock.Feed(batch)
			must(t, err)
			batch.Files = nil
		}
	}
	return s, lock
}

func outputs(t *testing.T, s *spool.Spool) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(string(s.Spec().OutputDir), "*.out"))
	must(t, err)
	return found
}

// A worker that is killed at any moment of its work costs nothing but time: what it held is fed again, and every file
// has one output that is whole.
func TestKillUnderLoad(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		t.Run(string(durability), func(t *testing.T) {
			s, lock := newTask(t, func(s *spool.Spec) { s.Durability = durability })
			killed := 0
			for round := 0; ; round++ {
				id := fmt.Sprintf("%s.0.r%d", s.ID(), round)
				cmd := command(t, "run", "--spool", s.Path(), "--id", id, "--idle-timeout", "50ms")
				must(t, cmd.Start())
				goal := len(outputs(t, s)) + 1 + rand.IntN(files/5)
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				err := killAt(t, cmd, ended, func() bool { return len(outputs(t, s)) >= goal })
				noOrphans(t, id)
				if err == nil { // it was idle before it was killed
					break
				}
				killed++
				refeed(t, s, lock, id)
			}
			if killed == 0 {
				t.Error("no worker was killed at work")
			}
			if found := outputs(t, s); len(found) != files {
				t.Errorf("%d outputs, want %d", len(found), files)
			}
			for i := range files {
				got, err := os.ReadFile(filepath.Join(string(s.Spec().OutputDir), name(i)+".out"))
				must(t, err)
				if string(got) != content(i) {
					t.Errorf("%s is torn: %d bytes, want %d", name(i), len(got), len(content(i)))
				}
			}
			report, err := spool.Check(s.Path())
			if err != nil || len(report.Problems) > 0 {
				t.Errorf("the spool breaks its rules: %v %v", report.Problems, err)
			}
		})
	}
}

// killAt kills a worker when the condition holds, and returns how it ended.
func killAt(t *testing.T, cmd *exec.Cmd, ended <-chan error, condition func() bool) error {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			if condition() {
				_ = cmd.Process.Kill() // it may just have ended
				return <-ended
			}
		case <-deadline:
			_ = cmd.Process.Kill()
			t.Fatal("the worker does not get on")
		}
	}
}

// refeed does what a dispatcher does about a dead worker: fence first, look for outputs, feed the rest again.
func refeed(t *testing.T, s *spool.Spool, lock *spool.Lock, id string) {
	t.Helper()
	held, err := lock.Fence(id)
	must(t, err)
	for _, h := range held {
		rest := slices.DeleteFunc(h.Files, func(n spool.Name) bool {
			_, err := os.Lstat(filepath.Join(string(s.Spec().OutputDir), strings.TrimSuffix(string(n), ".txt")+".out"))
			return err == nil
		})
		if len(rest) > 0 {
			_, err := lock.Feed(spool.Batch{Files: rest})
			must(t, err)
		}
	}
}

// marked lists the living processes that descend from a worker.
func marked(id string) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		environ, _ := os.ReadFile(path)
		if slices.Contains(strings.Split(string(environ), "\x00"), tether.CookieEnv+"="+id) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func noOrphans(t *testing.T, id string) {
	t.Helper()
	eventually(t, "the end of the handler of "+id, func() bool { return len(marked(id)) == 0 })
}

// When the process that started it is gone, a worker ends all that user code started, in whatever group or session.
func TestParentGone(t *testing.T) {
	s, _ := newTask(t, func(s *spool.Spec) {
		s.Handler = spool.Handler{Command: []string{"sh", "-c", "setsid sleep 1000 & sleep 1000 & echo $! >begun; wait"}}
	})
	id := s.ID() + ".0.r0"
	cmd := command(t, "run", "--spool", s.Path(), "--id", id)
	reader, writer, err := os.Pipe()
	must(t, err)
	defer reader.Close()
	cmd.ExtraFiles = []*os.File{reader}
	cmd.Env = append(cmd.Env, tether.LifelineEnv+"=3", tether.CookieEnv+"="+id)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	eventually(t, "user code", func() bool {
		_, err := os.Lstat(filepath.Join(string(s.Spec().WorkDir), "begun"))
		return err == nil && len(marked(id)) > 3
	})
	must(t, writer.Close()) // as the kernel does for a parent that has ended
	must(t, cmd.Wait())
	noOrphans(t, id)
	if exit, err := s.ReadExit(id); err != nil || exit.Reason != spool.ExitParentGone {
		t.Errorf("exit record %+v, error %v; want ParentGone", exit, err)
	}
}

func TestSetupFailed(t *testing.T) {
	s, _ := newTask(t, nil)
	for _, said := range []string{"first\nno such module\n", "the slot is taken: this goes nowhere"} {
		cmd := command(t, "setup-failed", "--spool", s.Path(), "--id", "w.0.r1", "--type", "SetupCommandFailed", "--what",
			"setup command `module load x`", "--code", "3")
		cmd.Stdin, cmd.Env = strings.NewReader(said), append(cmd.Env, "TIGERFLOW_JOB=17_3", "TIGERFLOW_NODE=n7")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	exit, err := s.ReadExit("w.0.r1")
	must(t, err)
	want := spool.Failure{
		Type: "SetupCommandFailed", Message: "setup command `module load x`: exit status 3", Traceback: "first\nno such module",
	}
	if exit.Reason != spool.ExitSetupFailed || exit.Failure == nil || *exit.Failure != want {
		t.Errorf("recorded %+v", exit)
	}
	if born, err := s.ReadBorn("w.0.r1"); err != nil || born.Job != "17_3" || born.Node != "n7" || born.Revision != s.Spec().Revision {
		t.Errorf("born as %+v, %v", born, err)
	}
}

// The first SIGTERM drains, the second stops; SIGINT, which a terminal sends to all, does nothing, and user code does not
// inherit that.
func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		signals []syscall.Signal
		want    spool.ExitReason
	}{
		{[]syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, spool.ExitDrained},
		{[]syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, spool.ExitStopped},
	} {
		t.Run(string(tt.want), func(t *testing.T) {
			s, _ := newTask(t, func(s *spool.Spec) {
				s.Handler = spool.Handler{Command: []string{"sh", "-c", "grep SigIgn /proc/self/status >begun; while [ ! -e go ]; do read -t 0.01 x </dev/zero; done"}}
				s.Concurrency = 1
			})
			work, id := string(s.Spec().WorkDir), s.ID()+".0.r0"
			cmd := command(t, "run", "--spool", s.Path(), "--id", id)
			stderr, err := cmd.StderrPipe()
			must(t, err)
			must(t, cmd.Start())
			defer func() { _ = cmd.Process.Kill() }()
			var ignored string
			eventually(t, "user code", func() bool {
				content, _ := os.ReadFile(filepath.Join(work, "begun"))
				_, ignored, _ = strings.Cut(strings.TrimSpace(string(content)), "\t")
				return ignored != ""
			})
			mask, err := strconv.ParseUint(ignored, 16, 64)
			must(t, err)
			if mask&(1<<(syscall.SIGINT-1)) != 0 {
				t.Errorf("user code inherits that SIGINT is ignored: %s", ignored)
			}
			for i, sig := range tt.signals {
				must(t, cmd.Process.Signal(sig))
				if i == 0 && sig == syscall.SIGTERM {
					eventually(t, "names given back", func() bool { return journalTells(t, s, id, spool.EventBack) })
				}
			}
			if tt.want == spool.ExitDrained {
				eventually(t, "names given back", func() bool { return journalTells(t, s, id, spool.EventBack) })
				must(t, os.WriteFile(filepath.Join(work, "go"), nil, 0o666))
			}
			said, _ := bufio.NewReader(stderr).ReadString(0)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, said)
			}
			if exit, err := s.ReadExit(id); err != nil || exit.Reason != tt.want {
				t.Errorf("exit record %+v, error %v; want %s", exit, err, tt.want)
			}
		})
	}
}

// A scheduler that ends a job sends SIGTERM to all of its processes: the command in hand dies of it, and its file is not blamed.
func TestSignalToAll(t *testing.T) {
	s, _ := newTask(t, func(s *spool.Spec) {
		s.Type, s.Concurrency = spool.TypeSlurm, 1
		s.Handler = spool.Handler{Command: []string{"sh", "-c", "[ -e begun ] || { echo $$ >begun.tmp; mv begun.tmp begun; sleep 1000 & wait; }"}}
	})
	id := s.ID() + ".0.r0"
	cmd := command(t, "run", "--spool", s.Path(), "--id", id)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	begun := filepath.Join(string(s.Spec().WorkDir), "begun")
	eventually(t, "user code", func() bool { _, err := os.Lstat(begun); return err == nil })
	content, err := os.ReadFile(begun)
	must(t, err)
	command, err := strconv.Atoi(strings.TrimSpace(string(content)))
	must(t, err)
	must(t, cmd.Process.Signal(syscall.SIGSTOP)) // so that it hears of both ends at once
	must(t, syscall.Kill(-command, syscall.SIGTERM))
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	must(t, cmd.Process.Signal(syscall.SIGCONT))
	must(t, cmd.Wait())
	if exit, err := s.ReadExit(id); err != nil || exit.Reason != spool.ExitDrained {
		t.Errorf("exit record %+v, error %v; want Drained", exit, err)
	}
	if journalTells(t, s, id, spool.EventCrashed) || journalTells(t, s, id, spool.EventFailed) || !journalTells(t, s, id, spool.EventBack) {
		t.Error("the journal blames a file, or gives none back")
	}
}

func journalTells(t *testing.T, s *spool.Spool, id string, kind spool.EventKind) (found bool) {
	t.Helper()
	must(t, s.JournalTail(id, 0).Read(func(payload []byte, _ int64) error {
		var e spool.Event
		err := json.Unmarshal(payload, &e)
		found = found || e.Kind == kind
		return err
	}))
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
