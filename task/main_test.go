package task_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/standalone"
	"tigerflow.dev/tigerflow/task"
	"tigerflow.dev/tigerflow/task/protocol"
)

const asProgram = "TASK_TEST_PROGRAM"

// TestMain makes the test binary a program built with the SDK: its command line, its engine, its worker and its handler.
func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "local":
		task.Main[Greet]()
	case "async":
		task.Main[Greet](task.Async)
	case "slurm":
		task.Main[Greet](task.Slurm)
	}
	os.Exit(m.Run())
}

// greet runs the program in a folder of its own and returns what it prints, without times, and its exit code.
func greet(t *testing.T, dir, kind string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Args[0] = "greet"
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"="+kind, "TIGERFLOW_IDLE_TIMEOUT=0s", "COLUMNS=80")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	times := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	return out.String(), times.ReplaceAllString(errs.String(), "TIME"), code
}

// A Go program needs nothing else to be installed.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "5.txt")
	past := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(input, []byte("world"), 0o666), os.Chtimes(input, past, past)); err != nil {
		t.Fatal(err)
	}
	for kind, more := range map[string][]string{"local": nil, "async": {"--concurrency-limit", "3"}} {
		args := append([]string{"--input-dir", ".", "--input-ext", ".txt", "--output-dir", kind, "--output-ext", ".out", "--uppercase"}, more...)
		stdout, stderr, code := greet(t, dir, kind, args...)
		want := `TIME | INFO     | Setting up task
TIME | INFO     | Task setup complete
TIME | INFO     | Starting processing: 5.txt
TIME | INFO     | Successfully processed: 5.txt
TIME | INFO     | Shutting down task
TIME | INFO     | Task shutdown complete
`
		if code != 0 || stdout != "" || stderr != want {
			t.Errorf("%s: exit %d, stdout %q, stderr:\n%s", kind, code, stdout, stderr)
		}
		if got, err := os.ReadFile(filepath.Join(dir, kind, "5.out")); err != nil || string(got) != "Hello, WORLD" {
			t.Errorf("%s: output %q, %v", kind, got, err)
		}
	}
}

func TestProgramHelp(t *testing.T) {
	stdout, stderr, code := greet(t, t.TempDir(), "local", "--help")
	const want = `Usage: greet [OPTIONS]

Run the task as a CLI application

╭─ Options ────────────────────────────────────────────────────────────────────╮
│ *  --input-dir         PATH  Input directory to read data [required]         │
│ *  --input-ext         TEXT  Input file extension [required]                 │
│ *  --output-dir        PATH  Output directory to store results [required]    │
│ *  --output-ext        TEXT  Output file extension [required]                │
│    --greeting          TEXT  Greeting to prepend [default: Hello]            │
│    --uppercase               Convert to uppercase                            │
│    --task-name         TEXT  Task name [default: Greet]                      │
│    --help                    Show this message and exit.                     │
╰──────────────────────────────────────────────────────────────────────────────╯
`
	if code != 0 || stderr != "" || stdout != want {
		t.Errorf("exit %d, stderr %q, stdout:\n%s", code, stderr, stdout)
	}
}

func TestProgramUsage(t *testing.T) {
	base := []string{"--input-dir", "none", "--input-ext", ".txt", "--output-dir", "out", "--output-ext", ".out"}
	slurm := []string{"--max-workers", "1", "--cpus", "1", "--memory", "1G", "--time", "1:00:00"}
	for _, tt := range []struct {
		kind string
		args []string
		want string
	}{
		{"local", nil, "Error: Missing option '--input-dir'. Try 'greet --help' for help.\n"},
		{"local", []string{"--uper"}, "Error: No such option: --uper. Try 'greet --help' for help.\n"},
		{"async", base, "Error: Missing option '--concurrency-limit'. Try 'greet --help' for help.\n"},
		{"local", base, "Error: the input directory $DIR/none does not exist: create it, or correct --input-dir\n"},
		{"slurm", append(slurm, base...), "Error: Greet is a Slurm task, whose jobs the program tigerflow submits: add the folder that holds it to the PATH, or name it in TIGERFLOW_BIN\n"},
	} {
		t.Setenv("TIGERFLOW_BIN", "/nowhere/tigerflow")
		dir := t.TempDir()
		stdout, stderr, code := greet(t, dir, tt.kind, tt.args...)
		if want := strings.ReplaceAll(tt.want, "$DIR", dir); code != 2 || stdout != "" || stderr != want {
			t.Errorf("%s %q: exit %d, stdout %q, stderr %q, want %q", tt.kind, tt.args, code, stdout, stderr, want)
		}
	}
}

// A Slurm task by hand hands itself over to tigerflow.
func TestProgramSubmits(t *testing.T) {
	dir := t.TempDir()
	engine := filepath.Join(dir, "engine")
	if err := os.WriteFile(engine, []byte("#!/bin/sh\necho $1 $2 $3\neval \"cat <&$4\"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TIGERFLOW_BIN", engine)
	stdout, stderr, code := greet(t, dir, "slurm", "--max-workers", "1", "--cpus", "1", "--memory", "1G", "--time", "1:00:00",
		"--input-dir", "in", "--input-ext", ".txt", "--output-dir", "out", "--output-ext", ".out", "--uppercase")
	head, text, _ := strings.Cut(stdout, "\n")
	s, err := standalone.ReadSpec(strings.NewReader(text))
	if code != 0 || stderr != "" || head != "task exec --spec-fd" || err != nil {
		t.Fatalf("exit %d, stderr %q, stdout %q, %v", code, stderr, stdout, err)
	}
	if s.Type != "Slurm" || s.Slurm.MaxWorkers != 1 || s.Slurm.Time != "1:00:00" || s.Handler.Program == nil || string(s.Params["uppercase"]) != `"true"` {
		t.Errorf("it hands over %+v", s)
	}
}

// Started as a handler by anything but a worker, it says so.
func TestProgramAsHandler(t *testing.T) {
	t.Setenv(protocol.EnvHandler, "1")
	_, stderr, code := greet(t, t.TempDir(), "local")
	const want = "TIGERFLOW_HANDLER is set but descriptors 3 to 5 are not open: only a worker starts a handler\n"
	if code == 0 || stderr != want {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}
