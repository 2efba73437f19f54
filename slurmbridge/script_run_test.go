package slurmbridge

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
)

// testJob is a script that bash runs as Slurm would.
type testJob struct {
	t    *testing.T
	dir  string // where the stand-in for the worker leaves what it has seen
	spec executor.Spec
	cmd  *exec.Cmd
}

// newJob makes a job of one element. The stand-in does what fake says: exits with that number, or waits for signals.
func newJob(t *testing.T, fake string, change func(*executor.Spec), env ...string) *testJob {
	t.Helper()
	j := &testJob{t: t, dir: t.TempDir()}
	j.spec = elements(func(s *executor.Spec) {
		s.Spool, s.Log = filepath.Join(j.dir, "spool"), filepath.Join(j.dir, s.ID.String()+".log")
		change(s)
	}, 3)[0]
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	a := array{name: "x", specs: []executor.Spec{j.spec}}
	script, err := a.script(scriptConfig{worker: filepath.Join(here, "worker.sh"), apptainer: filepath.Join(here, "apptainer.sh")})
	if err != nil {
		t.Fatal(err)
	}
	script = strings.Replace(script, "read -rt 10", "read -rt 1", 1) // the tests' patience
	file := filepath.Join(j.dir, "script")
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(j.spec.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := os.Mkdir(j.path("scratch"), 0o700); err != nil {
		t.Fatal(err)
	}
	j.cmd = exec.Command("bash", "-l", file)
	j.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + j.dir, "TMPDIR=" + j.path("scratch"), "FAKE=" + fake, "FAKE_DIR=" + j.dir,
		"SLURM_ARRAY_TASK_ID=3", "SLURM_ARRAY_JOB_ID=17", "SLURMD_NODENAME=n7", "SLURM_JOB_ID=20",
	}, env...)
	j.cmd.Stdout, j.cmd.Stderr = log, log
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-j.cmd.Process.Pid, syscall.SIGKILL) })
	return j
}

func (j *testJob) path(name string) string { return filepath.Join(j.dir, name) }

// words reads what the stand-in was given.
func (j *testJob) words(name string) []string {
	j.t.Helper()
	data, err := os.ReadFile(j.path(name))
	if err != nil {
		log, _ := os.ReadFile(j.spec.Log)
		j.t.Fatalf("%v; the log:\n%s", err, log)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// waitFor waits until the stand-in has made a file.
func (j *testJob) waitFor(name string) {
	j.t.Helper()
	j.until(name, func() {})
}

// until does something again and again until the stand-in has made a file.
func (j *testJob) until(name string, do func()) {
	j.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); ; {
		if _, err := os.Stat(j.path(name)); err == nil {
			return
		}
		do()
		select {
		case <-tick.C:
		case <-deadline:
			j.t.Fatalf("%s is not made", name)
		}
	}
}

// urge asks the script to end until the stand-in has made a file: bash may lose a signal that comes right behind another.
func (j *testJob) urge(name string) {
	j.t.Helper()
	j.until(name, func() { j.signal(syscall.SIGTERM) })
}

func (j *testJob) signal(s syscall.Signal) {
	j.t.Helper()
	if err := j.cmd.Process.Signal(s); err != nil {
		j.t.Fatal(err)
	}
}

// end waits for the script and checks its exit code, and that it leaves nothing in the scratch folder.
func (j *testJob) end(want int) {
	j.t.Helper()
	err := j.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		j.t.Fatal(err)
	}
	if got := j.cmd.ProcessState.ExitCode(); got != want {
		log, _ := os.ReadFile(j.spec.Log)
		j.t.Errorf("exit code %d, want %d; the log:\n%s", got, want, log)
	}
	if left, err := os.ReadDir(j.path("scratch")); err != nil || len(left) > 0 {
		j.t.Errorf("left in the scratch folder: %v, %v", left, err)
	}
}

func (j *testJob) missing(name string) {
	j.t.Helper()
	if _, err := os.Stat(j.path(name)); !errors.Is(err, os.ErrNotExist) {
		j.t.Errorf("%s is there: %v", name, err)
	}
}

func contained(setup ...string) func(*executor.Spec) {
	return func(s *executor.Spec) {
		s.Container = executor.Container{Image: "/images/a b.sif", SetupCommands: setup}
	}
}

func TestScriptRunsTheWorker(t *testing.T) {
	odd := []string{"--wall-time", "2h", "it's", "", "a\r\nb", "\xff\x01\\", "*", "$HOME", "-n"}
	j := newJob(t, "5", func(s *executor.Spec) { s.Args = odd })
	j.end(5)
	args := j.words("run.args")
	want := append([]string{"run", "--spool", j.spec.Spool, "--id", "k3f9.3.r2", "--elapsed", args[6]}, odd...)
	if !slices.Equal(args, want) {
		t.Errorf("it was given\n%q, want\n%q", args, want)
	}
	if elapsed, err := time.ParseDuration(args[6]); err != nil || elapsed < 0 {
		t.Errorf("--elapsed %s: %v", args[6], err)
	}
	for _, v := range []string{"TIGERFLOW_WORKER=k3f9.3.r2", "TIGERFLOW_JOB=17_3", "TIGERFLOW_NODE=n7"} {
		if !slices.Contains(j.words("env"), v) {
			t.Errorf("%s is not in its environment", v)
		}
	}
	j.missing("setup-failed.args")
}

func TestScriptCountsFromTheStartOfTheJob(t *testing.T) {
	for ago, most := range map[time.Duration]time.Duration{
		100 * time.Second: 2 * time.Hour, time.Hour: time.Minute, -time.Hour: time.Minute, // the last two by a clock that is wrong
	} {
		j := newJob(t, "0", func(*executor.Spec) {}, "SLURM_JOB_START_TIME="+strconv.FormatInt(time.Now().Add(-ago).Unix(), 10))
		j.end(0)
		elapsed, err := time.ParseDuration(j.words("run.args")[6])
		if least := min(ago, most); err != nil || elapsed < min(least, 100*time.Second)*99/100 && ago == 100*time.Second || elapsed > most {
			t.Errorf("started %s ago: --elapsed %s, %v", ago, elapsed, err)
		}
	}
}

func TestScriptForwardsTERM(t *testing.T) {
	for name, change := range map[string]func(*executor.Spec){"bare": func(*executor.Spec) {}, "container": contained()} {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, "obey", change)
			j.waitFor("ready")
			j.signal(syscall.SIGTERM)
			j.end(7)
			j.missing("setup-failed.args")
		})
	}
}

func TestScriptEndsWhatDrainsTooLong(t *testing.T) {
	for fake, code := range map[string]int{"twice": 8, "deaf": 128 + int(syscall.SIGKILL)} {
		t.Run(fake, func(t *testing.T) {
			j := newJob(t, fake, func(s *executor.Spec) { s.DrainTimeout = time.Millisecond })
			j.waitFor("ready")
			j.signal(syscall.SIGTERM)
			j.waitFor("terms")
			j.signal(syscall.SIGTERM) // asking again hastens nothing
			j.end(code)
			terms, err := os.ReadFile(j.path("terms"))
			if err != nil || strings.Count(string(terms), "term") != 2 {
				t.Errorf("the worker got %q, %v", terms, err)
			}
		})
	}
}

func TestScriptPassesOnAWarningThatComesTooEarly(t *testing.T) {
	j := newJob(t, "obey", func(*executor.Spec) {})
	j.waitFor("ready")
	j.signal(syscall.SIGURG)
	j.end(7)
}

func TestScriptRunsTheContainer(t *testing.T) {
	j := newJob(t, "0", contained("export FROM_SETUP=1", "OMP_NUM_THREADS=4; set -u", "trap 'echo mine' EXIT"),
		"CUDA_VISIBLE_DEVICES=0,1", "SLURM_JOB_NAME=a 'b'\nc", "HIDDEN=1")
	j.end(0)
	args := j.words("apptainer.args")
	i := slices.Index(args, "/images/a b.sif")
	if i < 0 || !slices.Contains(args[:i], "--workdir") || !slices.Contains(args[:i], "--containall") || args[i+2] != "run" {
		t.Errorf("Apptainer was given %q", args)
	}
	env := j.words("env")
	for _, v := range []string{
		"CUDA_VISIBLE_DEVICES=0,1", "SLURM_JOB_NAME=a 'b'\nc", "SLURM_ARRAY_TASK_ID=3", "OMP_NUM_THREADS=4",
		"TIGERFLOW_WORKER=k3f9.3.r2", "TIGERFLOW_CONTAINER=1", "TMPDIR=/tmp",
	} {
		if !slices.Contains(env, "APPTAINERENV_"+v) {
			t.Errorf("the container does not get %q", v)
		}
	}
	if !slices.Contains(env, "FROM_SETUP=1") {
		t.Error("Apptainer does not see what the setup commands did")
	}
	if slices.Contains(env, "APPTAINERENV_HIDDEN=1") {
		t.Error("the container gets what nobody asked for")
	}
}

func TestScriptTellsOfSetupThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		fake    string
		command string
		code    int
		want    []string
		said    string
	}{
		"command":   {"0", "echo no such 'module' >&2; (exit 3)", 3, []string{"--type", "SetupCommandFailed", "--what", "setup command `echo no such 'module' >&2; (exit 3)`", "--code", "3"}, "no such module\n"},
		"exit":      {"0", "echo bye; exit 4", 4, []string{"--type", "SetupCommandFailed", "--what", "setup command `echo bye; exit 4`", "--code", "4"}, "bye\n"},
		"container": {"255", "echo ready", 255, []string{"--type", "ContainerFailed", "--what", "container /images/a b.sif", "--code", "255"}, "ready\nFATAL: no such image\n"},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJob(t, tt.fake, contained("true", tt.command, "touch \"$FAKE_DIR/on\""))
			j.end(tt.code)
			want := append([]string{"setup-failed", "--spool", j.spec.Spool, "--id", "k3f9.3.r2"}, tt.want...)
			if args := j.words("setup-failed.args"); !slices.Equal(args, want) {
				t.Errorf("the record is\n%q, want\n%q", args, want)
			}
			if said := j.words("said")[0]; said != tt.said {
				t.Errorf("its last lines are %q, want %q", said, tt.said)
			}
			if name != "container" {
				j.missing("on")
			}
			j.missing("run.args")
		})
	}
}

func TestScriptDoesNotBlameSetupForACancellation(t *testing.T) {
	// It is the command that says that it is there: what bash begins right after the signal it would wait for.
	j := newJob(t, "0", contained("false || sh -c ': >\"$FAKE_DIR/ready\"; exec sleep 600'"))
	j.waitFor("ready")
	if err := syscall.Kill(-j.cmd.Process.Pid, syscall.SIGTERM); err != nil { // as scancel does: all processes of the job
		t.Fatal(err)
	}
	j.end(143)
	j.missing("setup-failed.args")
}

func TestScriptNeedsSlurm(t *testing.T) {
	j := newJob(t, "0", func(*executor.Spec) {}, "SLURM_ARRAY_TASK_ID=4294967294x")
	j.end(2)
	j.missing("run.args")
}
