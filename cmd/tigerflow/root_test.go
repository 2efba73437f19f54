package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/version"
)

func TestCommandLine(t *testing.T) {
	build := version.Get()
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string // must contain
		stderr string // is
	}{
		{name: "help", args: nil, stdout: "Available Commands:"},
		{name: "help flag", args: []string{"--help"}, stdout: "Available Commands:"},
		{name: "version", args: []string{"version"}, stdout: build.String() + "\n"},
		{name: "version flag", args: []string{"--version"}, stdout: build.Version},
		{name: "help of a command", args: []string{"version", "-h"}, stdout: "Print the version of tigerflow"},
		{
			name: "unknown command", args: []string{"frob"}, code: cli.ExitUsage,
			stderr: "error: there is no command \"frob\"; see tigerflow --help\n",
		},
		{
			name: "misspelled command", args: []string{"verson"}, code: cli.ExitUsage,
			stderr: "error: there is no command \"verson\" (did you mean \"version\"?); see tigerflow --help\n",
		},
		{
			name: "unknown shell", args: []string{"completion", "csh"}, code: cli.ExitUsage,
			stderr: "error: there is no command \"csh\" (did you mean \"bash\"?); see tigerflow completion --help\n",
		},
		{
			name: "unknown flag", args: []string{"version", "--frob"}, code: cli.ExitUsage,
			stderr: "error: unknown flag: --frob; see tigerflow version --help\n",
		},
		{
			name: "flag without value", args: []string{"version", "-o"}, code: cli.ExitUsage,
			stderr: "error: flag needs an argument: 'o' in -o; see tigerflow version --help\n",
		},
		{
			name: "argument too many", args: []string{"version", "frob"}, code: cli.ExitUsage,
			stderr: "error: tigerflow version takes no arguments, and got \"frob\"; see tigerflow version --help\n",
		},
		{
			name: "bad format", args: []string{"version", "-o", "xml"}, code: cli.ExitUsage,
			stderr: "error: --output \"xml\": the only format is json\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, &stdout, &stderr)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) {
				t.Errorf("stdout %q, want in it %q", stdout.String(), tt.stdout)
			}
			if stderr.String() != tt.stderr {
				t.Errorf("stderr %q, want %q", stderr.String(), tt.stderr)
			}
		})
	}
}

func TestVersionJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"version", "-o", "json"}, &stdout, &stderr); code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var got version.Info
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got != version.Get() {
		t.Errorf("got %+v, want %+v", got, version.Get())
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		t.Run(shell, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), []string{"completion", shell}, &stdout, &stderr); code != cli.ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			if !strings.Contains(stdout.String(), "tigerflow") {
				t.Errorf("no script for tigerflow in %q", stdout.String())
			}
		})
	}
}

func TestCompletesFormats(t *testing.T) {
	var stdout, stderr bytes.Buffer
	run(t.Context(), []string{"__complete", "version", "-o", ""}, &stdout, &stderr)
	if !strings.HasPrefix(stdout.String(), "json\n") {
		t.Errorf("completing version -o gives %q, want json", stdout.String())
	}
}
