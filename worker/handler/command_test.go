package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

func command(argv ...string) spool.Handler { return spool.Handler{Command: argv} }

func TestCommand(t *testing.T) {
	params := map[string]json.RawMessage{
		"word": json.RawMessage(`"a b"`), "n": json.RawMessage(`3`), "list": json.RawMessage(`[1,"x"]`), "none": json.RawMessage(`null`),
	}
	tests := []struct {
		name string
		argv []string
		want string // of the output
	}{
		{"shell script", []string{"sh", "-c", "tr a-z A-Z < {input} > {output}"}, "TEXT"},
		{"no shell", []string{"cp", "{input}", "{output}"}, "text"},
		{"inside an argument", []string{"dd", "if={input}", "of={output}", "status=none"}, "text"},
		{"environment", []string{"sh", "-c", `cat "$TIGERFLOW_INPUT" > "$TIGERFLOW_OUTPUT"; echo "$TIGERFLOW_STEM" >> "$TIGERFLOW_OUTPUT"`}, "textin0\n"},
		{"stem", []string{"sh", "-c", "echo {stem} > {output}"}, "in0\n"},
		{"params", []string{"sh", "-c", `printf '%s|' "$@" > {output}`, "sh", "{params.word}", "{params.n}", "{params.list}", "<{params.none}>"}, `a b|3|[1,"x"]|<>|`},
		{"params in a script", []string{"sh", "-c", `printf '%s|' {params.word} "$TIGERFLOW_PARAM_N" > {output}`}, `a b|3|`},
		{"braces stand for themselves", []string{"sh", "-c", `printf %s "$1" > "$2"`, "sh", `{"a": {input2}, "b": {{}}}`, "{output}"}, `{"a": {input2}, "b": {{}}}`},
		{"awk", []string{"sh", "-c", `awk '{print $1 "{}"}' {input} > {output}`}, "text{}\n"},
		{"other variables", []string{"sh", "-c", `echo "$TIGERFLOW_TASK $TIGERFLOW_WORKER $TIGERFLOW_EPOCH ${TIGERFLOW_HANDLER-no}" > {output}`}, "Scripted key.0.r1 4 no\n"},
		{"working directory", []string{"sh", "-c", `cat current | wc -c > {output}`}, "128\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t, command(tt.argv...))
			f.config.Spec.Params = params
			h := f.start()
			r := f.run(h, "text")
			if got := f.result(h); got.ID != r.ID || got.Failure != nil || got.Seconds <= 0 {
				t.Fatalf("result %+v %+v", got, got.Failure)
			}
			if got := f.read(r.Output); strings.TrimLeft(got, " ") != tt.want {
				t.Errorf("output %q, want %q", got, tt.want)
			}
			if err := f.close(h); err != nil {
				t.Error(err)
			}
			f.expectEnd(h)
		})
	}
}

// Names that a shell, an option parser or a text format would trip over.
var oddNames = []string{
	"a b", " lead", "-rf", "--", "new\nline", "tab\t", "quote'", `double"`, "$(touch owned)", "`touch owned`", "; touch owned;",
	"*", "[a]", "?", "~", "#c", `back\slash`, "invalid\xff\xc3", "é", "{output}", "${HOME}", "a\x01b", "%s%n", "!!", "& touch owned &",
}

func TestCommandsWithOddNames(t *testing.T) {
	commands := map[string][]string{
		"argument":       {"cp", "--", "{input}", "{output}"},
		"script":         {"sh", "-c", "cat < {input} > {output}"},
		"bash":           {"env", "bash", "-euo", "pipefail", "-c", "cat {input} | cat > {output}"},
		"double quotes":  {"sh", "-c", `cat "{input}" > "{output}"`},
		"inside a word":  {"sh", "-c", `cat ""{input}'' > {output}""`},
		"single quotes":  {"sh", "-c", `cat '{input}' > '{output}'`},
		"substitution":   {"sh", "-c", `printf '%s' "$(cat "{input}")" > {output}`},
		"positional":     {"sh", "-c", `cat < "$1" > "$2"`, "sh", "{input}", "{output}"},
		"behind a setup": {"setup", "cp", "--", "{input}", "{output}"},
	}
	for name, argv := range commands {
		t.Run(name, func(t *testing.T) {
			f := setUp(t, command(argv...))
			if argv[0] == "setup" {
				f.config.Spec.Handler.Command = argv[1:]
				f.config.Spec.SetupCommands = []string{"true"}
			}
			f.config.Spec.Concurrency = 4
			h := f.start()
			outputs := map[uint64]string{}
			for _, name := range oddNames {
				r := f.request(name, "content")
				if err := h.Run(r); err != nil {
					t.Fatal(err)
				}
				outputs[r.ID] = r.Output
			}
			for range oddNames {
				got := f.result(h)
				if got.Failure != nil || f.read(outputs[got.ID]) != "content" {
					t.Errorf("%q: %+v, output %q", oddNames[got.ID-1], got.Failure, f.read(outputs[got.ID]))
				}
			}
			if _, err := os.Stat(filepath.Join(f.dir, "owned")); err == nil {
				t.Error("a file name was run as code")
			}
		})
	}
}

func TestCommandFails(t *testing.T) {
	tests := []struct {
		name    string
		argv    []string
		setup   []string
		want    Result
		failure protocol.Failure
	}{
		{
			"exit status",
			[]string{"sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"},
			nil,
			Result{ExitCode: 3},
			protocol.Failure{Type: "ExitStatus", Message: "exit status 3", Traceback: "one\ntwo"},
		},
		{
			"signal",
			[]string{"sh", "-c", "kill -SEGV $$"},
			nil,
			Result{ExitCode: 139, Crashed: true},
			protocol.Failure{Type: "Signal", Message: "killed by signal 11 (SIGSEGV)"},
		},
		{
			"setup",
			[]string{"true"},
			[]string{"true", "echo no module >&2; false"},
			Result{ExitCode: 1},
			protocol.Failure{Type: "SetupCommandFailed", Message: "setup command `echo no module >&2; false`: exit status 1", Traceback: "no module"},
		},
		{
			"not found behind a setup",
			[]string{"no-such-program"},
			[]string{"true"},
			Result{ExitCode: 127},
			protocol.Failure{Type: "ExitStatus", Message: "exit status 127"},
		},
		{
			"only the end of stderr is kept",
			[]string{"sh", "-c", "yes error | head -n 100000 >&2; exit 1"},
			nil,
			Result{ExitCode: 1},
			protocol.Failure{Type: "ExitStatus", Message: "exit status 1", Traceback: strings.TrimSuffix(strings.Repeat("error\n", tailLines), "\n")},
		},
		{
			"the input is no program",
			[]string{"{input}"},
			nil,
			Result{},
			protocol.Failure{Type: "StartError", Message: `command "{input}": permission denied: install it, load it in setupCommands, or correct handler.command`, Errno: int(syscall.EACCES)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := setUp(t, command(tt.argv...))
			f.config.Spec.SetupCommands = tt.setup
			h := f.start()
			f.run(h, "text")
			got := f.result(h)
			if got.Failure == nil {
				t.Fatalf("result %+v", got)
			}
			if tt.failure.Traceback == "" && got.Failure.Type == "ExitStatus" {
				got.Failure.Traceback = "" // a shell's own words
			}
			if *got.Failure != tt.failure || got.ExitCode != tt.want.ExitCode || got.Crashed != tt.want.Crashed {
				t.Errorf("result %+v\n%+v, want\n%+v", got, *got.Failure, tt.failure)
			}
			f.expectMarks()
		})
	}
}

func TestCommandLog(t *testing.T) {
	f := setUp(t, command("sh", "-c", "echo out; echo err >&2"))
	h := f.start()
	f.run(h, "")
	f.result(h)
	if log := f.read("log"); !strings.Contains(log, "out\n") || !strings.Contains(log, "err\n") {
		t.Errorf("the log is %q", log)
	}
}

// What a command leaves behind is killed before its result is told, even if it holds stderr open.
func TestCommandLeavesNothingBehind(t *testing.T) {
	f := setUp(t, command("sh", "-c", "sleep 1000 & echo $! > {output}"))
	h := f.start()
	r := f.run(h, "")
	if got := f.result(h); got.Failure != nil {
		t.Fatalf("result %+v", got.Failure)
	}
	left, err := strconv.Atoi(strings.TrimSpace(f.read(r.Output)))
	if err != nil {
		t.Fatal(err)
	}
	if alive(left) {
		t.Errorf("process %d is alive", left)
	}
}

func TestCommandsConcurrently(t *testing.T) {
	// Each waits until all of them have begun.
	f := setUp(t, command("sh", "-c", `: > "begun.$TIGERFLOW_STEM"; until [ "$(ls begun.* | wc -l)" -ge 3 ]; do sleep 0.01; done`))
	f.config.Spec.Concurrency = 3
	h := f.start()
	var ids []uint64
	for slot := range 3 {
		r := f.request(fmt.Sprintf("in%d", slot), "")
		r.Slot = slot
		if err := h.Run(r); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	for range ids {
		got := f.result(h)
		if got.Failure != nil || !slices.Contains(ids, got.ID) {
			t.Errorf("result %+v %+v", got, got.Failure)
		}
	}
}

func TestCommandKill(t *testing.T) {
	f := setUp(t, command("sh", "-c", "sleep 1000 & echo $! > {output}; wait"))
	h := f.start()
	r := f.run(h, "")
	f.run(h, "")
	f.waitFor("the command", func() bool { return strings.HasSuffix(f.read(r.Output), "\n") })
	pid, err := strconv.Atoi(strings.TrimSpace(f.read(r.Output)))
	if err != nil {
		t.Fatal(err)
	}
	f.expectMarks(r.Mark)
	h.Kill()
	h.Kill()
	f.expectEnd(h)
	f.expectMarks(r.Mark)
	if alive(pid) {
		t.Errorf("process %d is alive", pid)
	}
	if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
		t.Errorf("a killed handler took a file: %v", err)
	}
	if err := f.close(h); err != nil {
		t.Error(err)
	}
}

func TestCommandClose(t *testing.T) {
	f := setUp(t, command("sh", "-c", "until [ -e go ]; do sleep 0.01; done"))
	h := f.start()
	first, second := f.run(h, ""), f.run(h, "")
	closed := make(chan error, 1)
	go func() { closed <- f.close(h) }()
	f.waitFor("closing", func() bool {
		c := h.(*commands)
		c.sending.Lock()
		defer c.sending.Unlock()
		return c.closing
	})
	if err := h.Run(f.request("late", "")); !errors.Is(err, ErrEnded) {
		t.Errorf("a closing handler took a file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Request{first, second} { // what was taken is finished
		f.expectDone(h, r, "")
	}
	f.expectEnd(h)
	if err := <-closed; err != nil {
		t.Error(err)
	}

	h = setUp(t, command("sleep", "1000")).start()
	f.run(h, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

func TestCommandDoesNotStart(t *testing.T) {
	f := setUp(t, command("true"))
	spec := f.config.Spec
	for _, tt := range []struct {
		name   string
		change func()
		want   string
	}{
		{
			"not found", func() { spec.Handler = command("no-such-program") },
			`command "no-such-program": not found in PATH: install it, load it in setupCommands, or correct handler.command`,
		},
		{
			"dash behind a setup", func() { spec.Handler, spec.SetupCommands = command("-c"), []string{"true"} },
			`command "-c": the name of a program must not begin with a dash: install it, load it in setupCommands, or correct handler.command`,
		},
		{
			"param", func() { spec.Handler = command("echo", "{params.x} {params.y}") },
			"params failed: TaskError: the command asks for {params.x}: set x under params",
		},
		{"params of one variable", func() {
			spec.Params = map[string]json.RawMessage{"a": json.RawMessage("1"), "A": json.RawMessage("2")}
		}, `params failed: TaskError: params "A" and "a" are the same variable TIGERFLOW_PARAM_A: rename one`},
		{
			"NUL in a param", func() { spec.Params = map[string]json.RawMessage{"a": json.RawMessage(`"\u0000"`)} },
			`params failed: TaskError: param "a" contains a NUL, which no argument can`,
		},
		{
			"working directory", func() { spec.WorkDir = "/nonexistent" },
			"working directory: stat /nonexistent: no such file or directory: create it or correct the workspace",
		},
		{
			"nothing to run", func() { spec.Handler = spool.Handler{} },
			"load failed: TaskError: handler names nothing to run: set one of python, builtin, program and command",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := *spec
			defer func() { *spec = before }()
			tt.change()
			if err := f.startError(); err.Error() != tt.want {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
}
