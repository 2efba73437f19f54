package handler

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/task/python"
)

const greetModule = `
import os, sys
from pathlib import Path

from tigerflow.tasks import LocalTask
from tigerflow.utils import SetupContext


class Greet(LocalTask):
    class Params:
        greeting: str = "Hello"

    @staticmethod
    def setup(context: SetupContext):
        context.mark = "!"
        print("setup done")

    @staticmethod
    def run(context: SetupContext, input_file: Path, output_file: Path):
        with open(input_file) as f:
            content = f.read()
        if content == "raise":
            raise ValueError("no")
        if content == "die":
            os.kill(os.getpid(), 9)
        with open(output_file, "w") as f:
            f.write(f"{context.greeting}, {content}{context.mark} {os.environ.get('PYTHONPATH', '')}")

    @staticmethod
    def teardown(context: SetupContext):
        print("teardown done")


Greet.cli()
`

// setUpPython makes a handler for a module of the given text.
func setUpPython(t *testing.T, module string) *fixture {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	f := setUp(t, spool.Handler{Python: &spool.PythonHandler{Module: "module.py", Interpreter: "python3"}})
	data, hash, err := python.Zip()
	if err != nil {
		t.Fatal(err)
	}
	f.config.PythonPath = filepath.Join(f.dir, "tigerflow-"+hash+".zip")
	for path, content := range map[string][]byte{f.config.PythonPath: data, filepath.Join(f.dir, "module.py"): []byte(module)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestPython(t *testing.T) {
	t.Setenv("PYTHONPATH", "/of/worker")
	f := setUpPython(t, greetModule)
	f.config.Spec.Params = map[string]json.RawMessage{"greeting": json.RawMessage(`"Hi"`)}
	h := f.start()
	first := f.request("odd \xff\n'name", "world")
	if err := h.Run(first); err != nil {
		t.Fatal(err)
	}
	second := f.run(h, "raise")
	f.expectDone(h, first, "Hi, world! "+f.config.PythonPath+":/of/worker")
	if failure := f.expectFailure(h, second, "ValueError", "no"); !strings.Contains(failure.Traceback, `raise ValueError("no")`) {
		t.Errorf("traceback %s", failure.Traceback)
	}
	if err := f.close(h); err != nil {
		t.Error(err)
	}
	if log := f.read("log"); log != "setup done\nteardown done\n" {
		t.Errorf("the log is %q", log)
	}
}

func TestPythonCrashes(t *testing.T) {
	f := setUpPython(t, greetModule)
	h := f.start()
	r := f.run(h, "die")
	if e := f.expectEnd(h); e.Signal != syscall.SIGKILL || e.Err != nil {
		t.Errorf("exit %+v", e)
	}
	f.expectMarks(r.Mark)
}

// The package is found whatever the author's lines do to PYTHONPATH.
func TestPythonBehindSetupCommands(t *testing.T) {
	for line, rest := range map[string]string{
		"export PYTHONPATH=/of/author": ":/of/author", "unset PYTHONPATH": "", "set -u": ":/of/worker",
	} {
		t.Run(line, func(t *testing.T) {
			t.Setenv("PYTHONPATH", "/of/worker")
			f := setUpPython(t, greetModule)
			f.config.Spec.SetupCommands = []string{line}
			h := f.start()
			f.expectDone(h, f.run(h, "you"), "Hello, you! "+f.config.PythonPath+rest)
		})
	}
}

func TestPythonDoesNotStart(t *testing.T) {
	f := setUpPython(t, "import no_such_module\n")
	var setup *SetupError
	if err := f.startError(); !errors.As(err, &setup) || setup.Stage != protocol.StageLoad || setup.Type != "ModuleNotFoundError" ||
		!strings.Contains(setup.Traceback, "import no_such_module") {
		t.Errorf("error %v with\n%s", err, setup.Traceback)
	}

	f.config.Spec.Handler.Python.Interpreter = "python-of-nowhere"
	want := `interpreter "python-of-nowhere": not found in PATH: install it, load it in setupCommands, or name another under handler.python.interpreter`
	for _, commands := range [][]string{nil, {"true"}} {
		f.config.Spec.SetupCommands = commands
		var start *StartError
		if err := f.startError(); !errors.As(err, &start) || err.Error() != want {
			t.Errorf("error %v\nwant  %s", err, want)
		}
	}
}

// The handler that the documentation shows is one.
func TestDocumentedHandler(t *testing.T) {
	f := setUpPython(t, "")
	page, err := os.ReadFile("../../docs/handler-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```python\n")
	code, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("the page shows no handler")
	}
	program := filepath.Join(f.dir, "handler")
	if err := os.WriteFile(program, []byte(code), 0o700); err != nil {
		t.Fatal(err)
	}
	f.config.Spec.Handler = spool.Handler{Program: &spool.ProgramHandler{Path: spool.Name(program)}}
	h := f.start()
	good, bad := f.request("odd \xff", "content"), f.request("absent", "")
	if err := os.Remove(bad.Input); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Request{good, bad} {
		if err := h.Run(r); err != nil {
			t.Fatal(err)
		}
	}
	f.expectDone(h, good, "content")
	if failure := f.expectFailure(h, bad, "FileNotFoundError", "No such file"); failure.Errno != int(syscall.ENOENT) {
		t.Errorf("errno %d", failure.Errno)
	}
	f.expectMarks()
	if err := f.close(h); err != nil {
		t.Error(err)
	}
}

// The author's files may have the name of our package: ours is what task modules import, and the log says so.
func TestPythonWithATigerflowOfTheAuthors(t *testing.T) {
	t.Setenv("PYTHONPATH", "")
	f := setUpPython(t, greetModule)
	own := filepath.Join(f.dir, "tigerflow.py")
	if err := os.WriteFile(own, []byte("raise SystemExit('not this one')\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := f.start()
	f.expectDone(h, f.run(h, "you"), "Hello, you! "+f.config.PythonPath)
	if err := f.close(h); err != nil {
		t.Error(err)
	}
	if log := f.read("log"); !strings.Contains(log, own+" is not what modules import as tigerflow") {
		t.Errorf("the log says nothing of %s:\n%s", own, log)
	}
}
