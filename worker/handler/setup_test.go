package handler

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

func TestSetupCommands(t *testing.T) {
	f := setUp(t, theProgram("task"))
	if err := os.WriteFile(filepath.Join(f.dir, "activate"), []byte(`[ $# = 0 ] && export ARGUMENTS=none`), 0o600); err != nil {
		t.Fatal(err)
	}
	f.config.Spec.SetupCommands = []string{
		"x='a  b'  # kept to the next line",
		`export FROM_SETUP="$x"; export TIGERFLOW_HANDLER=0`,
		"export PLACE=$PWD",
		". ./activate",
		"echo prints go to the log",
	}
	h := f.start()
	for name, want := range map[string]string{
		"FROM_SETUP": "a  b", "PLACE": f.dir, "ARGUMENTS": "none", "TIGERFLOW_HANDLER": "", "TIGERFLOW_WORKER": "key.0.r1",
	} {
		f.expectDone(h, f.run(h, "env "+name), want)
	}
	f.waitFor("the print in the log", func() bool { return f.read("log") == "prints go to the log\n" })
	if err := f.close(h); err != nil {
		t.Error(err)
	}
}

// A site defines module, and conda its shell function, where login shells read it.
func TestSetupCommandsOfALoginShell(t *testing.T) {
	f := setUp(t, theProgram("task"))
	t.Setenv("HOME", f.dir)
	if err := os.WriteFile(filepath.Join(f.dir, ".bash_profile"), []byte(`module() { export MODULE="$2"; }`), 0o600); err != nil {
		t.Fatal(err)
	}
	f.config.Spec.SetupCommands = []string{"module load cuda"}
	var setup *SetupError
	if err := f.startError(); !errors.As(err, &setup) || setup.Type != "SetupCommandFailed" {
		t.Errorf("in a shell that is none: %v", err)
	}
	f.config.Login = true
	h := f.start()
	f.expectDone(h, f.run(h, "env MODULE"), "cuda")
	if err := f.close(h); err != nil {
		t.Error(err)
	}
}

func TestSetupCommandFails(t *testing.T) {
	f := setUp(t, theProgram("task"))
	for _, tt := range []struct {
		commands []string
		message  string
		log      string
	}{
		{[]string{"true", "echo no such module: cuda >&2; exit 3", "echo never"}, "setup command `echo no such module: cuda >&2; exit 3`: exit status 3", "no such module: cuda"},
		{[]string{"false", "true"}, "setup command `false`: exit status 1", ""},
		{[]string{"true", "kill -9 $$"}, "setup command `kill -9 $$`: killed by signal 9 (SIGKILL)", ""},
		{[]string{"exec true"}, "setup command `exec true`: exit status 0", ""},
	} {
		f.config.Spec.SetupCommands = tt.commands
		var setup *SetupError
		if err := f.startError(); !errors.As(err, &setup) || setup.Stage != protocol.StageSetup ||
			setup.Type != "SetupCommandFailed" || setup.Message != tt.message || setup.Traceback != tt.log {
			t.Errorf("error %v with %q\nwant %s with %q", err, setup.Traceback, tt.message, tt.log)
		}
	}
}

func TestProgramIsNotFoundBehindASetup(t *testing.T) {
	f := setUp(t, spool.Handler{Program: &spool.ProgramHandler{Path: "/nonexistent/program"}})
	denied := filepath.Join(f.dir, "denied")
	if err := os.WriteFile(denied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.config.Spec.SetupCommands = []string{"true"}
	want := `program "/nonexistent/program": not found in PATH: build it with the Go SDK for this machine, or correct handler.program.path`
	var start *StartError
	if err := f.startError(); !errors.As(err, &start) || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	f.config.Spec.Handler.Program.Path = spool.Name(denied)
	if err := f.startError(); !errors.As(err, &start) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v, want permission denied", err)
	}
}

// Whatever the arguments are, the program gets them, and the author's lines do not see them.
func FuzzSetupShell(f *testing.F) {
	f.Add("a b", "'\"`$(false)")
	f.Add("-n", "\n; exit 9\n")
	f.Add("\xff", "${x}\\")
	printf, err := exec.LookPath("printf")
	if err != nil {
		f.Skip(err)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.Contains(first+second, "\x00") {
			return // no argument can
		}
		for _, shell := range []string{"/bin/bash", "/bin/sh"} {
			if executable(shell, "/") != nil {
				continue
			}
			script := setupScript(shell, []string{"x=1"}, []string{"export Y=2"})
			cmd := exec.Command(shell, "-c", script, "tigerflow-setup", printf, `%s\0`, first, second)
			cmd.ExtraFiles = make([]*os.File, stepsFD-2)
			steps, err := os.Create(filepath.Join(t.TempDir(), "steps"))
			if err != nil {
				t.Fatal(err)
			}
			defer steps.Close()
			cmd.ExtraFiles[stepsFD-3] = steps
			out, err := cmd.Output()
			if err != nil || !bytes.Equal(out, []byte(first+"\x00"+second+"\x00")) {
				t.Errorf("%s: %q and %q became %q (%v)", shell, first, second, out, err)
			}
			if done, err := os.ReadFile(steps.Name()); err != nil || string(done) != "." {
				t.Errorf("%s: steps %q, %v", shell, done, err)
			}
		}
	})
}

func TestEnvironment(t *testing.T) {
	t.Setenv("A", "worker")
	t.Setenv("B", "worker")
	t.Setenv("C", "worker")
	t.Setenv("TIGERFLOW_EPOCH", "of an outer task")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secrets.env"), []byte("B=file\nC=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env, err := environment(Config{
		Spec:  &spool.Spec{WorkDir: spool.Name(dir), EnvFile: "secrets.env", Env: []spool.EnvVar{{Name: "C", Value: "spec"}}},
		Epoch: "4",
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"A": "worker", "B": "file", "C": "spec", "TIGERFLOW_EPOCH": "4"} {
		var values []string
		for _, v := range env {
			if value, found := strings.CutPrefix(v, name+"="); found {
				values = append(values, value)
			}
		}
		if !slices.Equal(values, []string{want}) {
			t.Errorf("%s is %q, want %q once", name, values, want)
		}
	}
}

func TestEnvironmentErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "env")
	if err := os.WriteFile(path, []byte("A=1\nTOKEN secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		spec spool.Spec
		want string
	}{
		{spool.Spec{EnvFile: "/nonexistent"}, "setup failed: EnvFileError: envFile: open /nonexistent: no such file or directory"},
		{spool.Spec{EnvFile: spool.Name(path)}, "setup failed: EnvFileError: envFile " + path +
			": line 2: want KEY=VALUE, where KEY has letters, digits and underscores"},
		{
			spool.Spec{Env: []spool.EnvVar{{Name: "A=B"}}},
			`setup failed: EnvError: env "A=B": a name has letters, digits and underscores, a value no NUL`,
		},
	} {
		if _, err := environment(Config{Spec: &tt.spec}); err == nil || err.Error() != tt.want {
			t.Errorf("error %v\nwant  %s", err, tt.want)
		}
	}
}

func TestParseEnv(t *testing.T) {
	tests := []struct {
		content string
		want    []string
		err     string
	}{
		{"", nil, ""},
		{"\uFEFFA=1\r\n\n  # no\n export B = x\n", nil, "line 4"},
		{"\uFEFFA=1\r\n\n  # no\n export B= x y # z\nC=", []string{"A=1", "B=x y # z", "C="}, ""},
		{"A='it=\"s'\nB=\" $HOME \"\nC=\"", nil, "line 3: the value of C begins with a quote and must end with it"},
		{"A='it=\"s'\nB=\" $HOME \"", []string{`A=it="s`, "B= $HOME "}, ""},
		{"A='x\"", nil, "line 1: the value of A"},
		{"=x", nil, "line 1: want KEY=VALUE"},
		{"1A=x", nil, "line 1: want KEY=VALUE"},
		{"A=x\x00y", nil, "line 1: the value of A contains a NUL"},
	}
	for _, tt := range tests {
		got, err := parseEnv([]byte(tt.content))
		if tt.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want %s", tt.content, err, tt.err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, %v; want %q", tt.content, got, err, tt.want)
		}
	}
}

func FuzzParseEnv(f *testing.F) {
	f.Add([]byte("A=1\nexport B='x y'\n# c\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		vars, err := parseEnv(content)
		if err != nil {
			return
		}
		for _, v := range vars {
			if name, _, found := strings.Cut(v, "="); !found || !envName.MatchString(name) || strings.ContainsAny(v, "\x00\n") {
				t.Errorf("%q gave %q", content, v)
			}
		}
	})
}
