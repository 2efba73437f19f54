package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lone is `tigerflow task run` over in, whose inputs are old enough to be taken at once; the options follow.
func (w *work) lone(before []string, task ...string) *exec.Cmd {
	w.Helper()
	past := time.Now().Add(-time.Hour)
	entries, err := os.ReadDir(w.path("in"))
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chtimes(w.path("in", e.Name()), past, past); err != nil {
			w.Fatal(err)
		}
	}
	folders := []string{"--input-dir", "in", "--input-ext", ".txt", "--output-dir", "out", "--output-ext", ".out"}
	args := append([]string{"task", "run"}, before...)
	if task[0] == "--" {
		return w.command(append(append(args, folders...), task...)...)
	}
	return w.command(append(append(append(args, task[0]), folders...), task[1:]...)...)
}

var clock = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)

const lonePython = `from tigerflow.tasks import LocalTask

class Shout(LocalTask):
    class Params:
        mark: str = "!"

    @staticmethod
    def setup(context):
        print("Setup executed successfully!")

    @staticmethod
    def run(context, input_file, output_file):
        output_file.write_text(input_file.read_text().upper() + context.mark)

    @staticmethod
    def teardown(context):
        print("Teardown executed successfully!")

Shout.cli()
`

// The three ways to write a task show the same on the terminal.
func TestLoneTask(t *testing.T) {
	for _, tt := range []struct {
		name         string
		task         []string
		setup, ended string // what user code prints
		want         string
	}{
		{"builtin", []string{"echo", "--uppercase", "--suffix", "?"}, "", "", "HELLO?"},
		{"command", []string{"--", "sh", "-c", "tr a-z A-Z < {input} > {output}"}, "", "", "HELLO"},
		{"python", []string{"m.py", "--mark", "??"}, "Setup executed successfully!\n", "Teardown executed successfully!\n", "HELLO??"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWork(t)
			w.write("m.py", lonePython)
			w.write("in/5.txt", "hello")
			cmd := w.lone([]string{"--idle-timeout", "0s"}, tt.task...)
			var screen bytes.Buffer
			cmd.Stdout, cmd.Stderr = &screen, &screen
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, screen.String())
			}
			want := "TIME | INFO     | Setting up task\n" + tt.setup +
				"TIME | INFO     | Task setup complete\nTIME | INFO     | Starting processing: 5.txt\n" +
				"TIME | INFO     | Successfully processed: 5.txt\nTIME | INFO     | Shutting down task\n" + tt.ended +
				"TIME | INFO     | Task shutdown complete\n"
			if got := clock.ReplaceAllString(screen.String(), "TIME"); got != want {
				t.Errorf("shown:\n%s\nwant:\n%s", got, want)
			}
			if got, err := os.ReadFile(w.path("out", "5.out")); err != nil || string(got) != tt.want {
				t.Errorf("output %q, %v", got, err)
			}
		})
	}
}

// A signal ends a lone task in good order, with the exit code that a shell gives for it, also where the parent ignores SIGINT.
func TestLoneTaskSignals(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt) // a child does not ignore what its parent catches
	t.Cleanup(func() { signal.Stop(caught) })
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		before []string // what becomes the command
		code   int
	}{
		{"SIGINT", syscall.SIGINT, nil, 130},
		{"SIGINT, ignored", syscall.SIGINT, []string{"/bin/sh", "-c", `trap "" INT; exec "$@"`, "sh"}, 130},
		{"SIGTERM", syscall.SIGTERM, nil, 143},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWork(t)
			w.write("m.py", lonePython)
			w.write("in/5.txt", "hello")
			cmd := w.lone(nil, "m.py")
			if tt.before != nil {
				cmd.Path, cmd.Args = tt.before[0], slices.Concat(tt.before, cmd.Args)
			}
			stderr, err := cmd.StderrPipe()
			w.must(err)
			var stdout strings.Builder
			cmd.Stdout = &stdout
			w.must(cmd.Start())
			var shown strings.Builder
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				shown.WriteString(clock.ReplaceAllString(lines.Text(), "TIME") + "\n")
				if strings.Contains(lines.Text(), "Successfully") {
					w.must(cmd.Process.Signal(tt.signal))
				}
			}
			if got := w.waitFor(cmd); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
			want := fmt.Sprintf("TIME | WARNING  | Received signal %d, initiating shutdown\nTIME | INFO     | Shutting down task\nTIME | INFO     | Task shutdown complete\n", int(tt.signal))
			if !strings.HasSuffix(shown.String(), want) {
				t.Errorf("shown:\n%s\nwant at the end:\n%s", shown.String(), want)
			}
			if got, want := stdout.String(), "Setup executed successfully!\nTeardown executed successfully!\n"; got != want {
				t.Errorf("stdout %q, want %q", got, want)
			}
		})
	}
}

// Ctrl-C ends also the tee that shows what a lone task says; a tee may end by itself. The file in hand gets its output.
func TestLoneTaskBehindATee(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signal syscall.Signal // after the end of the tee; 0 is none
		code   int
	}{
		{"Ctrl-C", syscall.SIGINT, 130},
		{"no more readers", 0, 141},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWork(t)
			w.write("in/1.txt", "hello")
			w.must(syscall.Mkfifo(w.path("gate"), 0o600))
			cmd := w.lone(nil, "--", "sh", "-c", "echo begun; cat gate; cp {input} {output}")
			out, into, err := os.Pipe()
			w.must(err)
			cmd.Stdout, cmd.Stderr = into, into
			w.must(cmd.Start())
			w.must(into.Close())
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "begun"; {
			}
			w.must(out.Close())
			if tt.signal != 0 {
				w.must(cmd.Process.Signal(tt.signal))
			}
			w.must(os.WriteFile(w.path("gate"), nil, 0o600)) // what follows is said to nobody
			if got := w.waitFor(cmd); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
			if got, err := os.ReadFile(w.path("out", "1.out")); err != nil || string(got) != "hello" {
				t.Errorf("output %q, %v", got, err)
			}
		})
	}
}

// A lone task that is killed outright leaves nothing behind, and the next run goes on.
func TestLoneTaskKilled(t *testing.T) {
	w := newWork(t)
	w.write("in/5.txt", "hello")
	cmd := w.lone(nil, "--", "sh", "-c", "echo begun; test -e released || sleep 600; cp {input} {output}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil { // the file is in hand
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // by the signal
	w.write("released", "")
	again := w.lone([]string{"--idle-timeout", "0s"}, "--", "sh", "-c", "echo begun; test -e released || sleep 600; cp {input} {output}")
	if text, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got, err := os.ReadFile(w.path("out", "5.out")); err != nil || string(got) != "hello" {
		t.Errorf("output %q, %v", got, err)
	}
}

// Mistakes are one line, with exit code 2.
func TestLoneTaskUsage(t *testing.T) {
	w := newWork(t)
	w.write("in/5.txt", "hello")
	for _, tt := range []struct{ args, want string }{
		{"task run", "error: name a Python module, a library task or, behind --, a command; see tigerflow task run --help\n"},
		{"task run echo", "error: Missing option '--input-dir'; see tigerflow task run echo --help\n"},
		{"task run echo --prefx a", "error: No such option: --prefx. Did you mean --prefix?; see tigerflow task run echo --help\n"},
		{"task run --idle-timeout soon echo", "error: --idle-timeout \"soon\": give a duration such as 10s\n"},
		{"task run --input-dir in --input-ext .txt --output-dir out --output-ext .out", "error: put the command behind --, as in: tigerflow task run --input-dir … -- cp {input} {output}\n"},
		{"task run echo --input-dir no --input-ext .txt --output-dir out --output-ext .out", "error: the input directory " + w.path("no") + " does not exist: create it, or correct --input-dir\n"},
		{"task exec", "error: --spec-fd: give the number of an open descriptor; Python modules do that in cli()\n"},
		{"tasks info", "error: tigerflow tasks info takes the name of one task, and got 0 arguments; see tigerflow tasks info --help\n"},
	} {
		cmd := w.command(strings.Fields(tt.args)...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 2 || stderr.String() != tt.want {
			t.Errorf("%s: exit %d (%v), stderr %q, want %q", tt.args, code, err, stderr.String(), tt.want)
		}
	}
}

func TestTasks(t *testing.T) {
	w := newWork(t)
	cmd := w.command("tasks", "info", "echo")
	out, err := cmd.Output()
	const want = `Task: echo
Source: built-in
Module: tigerflow.library.echo

Description:
Echo task - copies input to output with optional transformations.

Parameters for Echo:
  --prefix:
  --suffix:
  --uppercase: False
`
	if err != nil || string(out) != want {
		t.Errorf("%v, %s", err, out)
	}
	out, err = w.command("tasks", "list").Output()
	if err != nil || !strings.HasPrefix(string(out), "Built-in tasks:\n  echo - Echo task - copies input to output with optional transformations.\n") {
		t.Errorf("%v, %s", err, out)
	}
}
