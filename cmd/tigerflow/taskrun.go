package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/standalone"
	"tigerflow.dev/tigerflow/task/cmdline"
	"tigerflow.dev/tigerflow/task/library"
	"tigerflow.dev/tigerflow/task/serve"
)

func newTaskRun() *cobra.Command {
	var idle time.Duration
	cmd := &cobra.Command{
		Use:   "run [--idle-timeout DURATION] TASK [OPTIONS] | run OPTIONS -- COMMAND…",
		Short: "Run a Python module, a library task or a command over the files of a folder",
		Long: `Run a Python module, a library task or a command over the files of a folder, until Ctrl-C.

TASK is a Python module (hello.py) or the name of a library task (see tigerflow tasks list). Its options follow it:
--input-dir, --input-ext, --output-dir, --output-ext, those of its type and its params; TASK --help lists them.

The options of a COMMAND stand before the --. It runs once for each file, with {input}, {output}, {stem} and {params.NAME}
filled in; params are given as --param NAME=VALUE. No shell reads it unless it names one.

What is done stays done: running the same again goes on where the last run ended. TIGERFLOW_IDLE_TIMEOUT in the environment
does what --idle-timeout does.`,
		Example: `  tigerflow task run hello.py --input-dir data --input-ext .txt --output-dir results --output-ext .txt
  tigerflow task run echo --input-dir data --input-ext .txt --output-dir results --output-ext .txt --uppercase
  tigerflow task run --input-dir data --input-ext .txt --output-dir results --output-ext .gz -- sh -c 'gzip < {input} > {output}'`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTask(cmd, args, &idle)
		},
	}
	cmd.Flags().DurationVar(&idle, "idle-timeout", 0, "end when there was nothing to do for so long (default: never)")
	return cmd
}

// runTask takes the command line apart: what stands before the task is tigerflow's.
func runTask(cmd *cobra.Command, args []string, idle *time.Duration) error {
	args, err := ownFlags(cmd, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return cli.UsageError{Err: errors.New("name a Python module, a library task or, behind --, a command; see tigerflow task run --help")}
	}
	wait, ends, err := idleTimeout(cmd, *idle)
	if err != nil {
		return err
	}
	switch name := args[0]; {
	case name == "--help" || name == "-h":
		return cmd.Help()
	case strings.HasPrefix(name, "-"):
		return runCommand(cmd, args, wait, ends)
	case strings.HasSuffix(name, ".py"):
		return becomePython([]string{name}, args[1:], wait, ends)
	default:
		return runNamed(cmd, name, args[1:], wait, ends)
	}
}

// ownFlags parses the flags of tigerflow itself, and returns what follows them.
func ownFlags(cmd *cobra.Command, args []string) ([]string, error) {
	for len(args) > 0 {
		flag, value, attached := strings.Cut(args[0], "=")
		switch {
		case args[0] == "-v" || args[0] == "--verbose":
			args = args[1:]
			continue
		case flag != "--idle-timeout":
			return args, nil
		case !attached && len(args) == 1:
			return nil, cli.UsageError{Err: errors.New("--idle-timeout needs a duration, such as 10s")}
		case !attached:
			value, args = args[1], args[1:]
		}
		args = args[1:]
		if err := cmd.Flags().Set("idle-timeout", value); err != nil {
			return nil, cli.UsageError{Err: fmt.Errorf("--idle-timeout %q: give a duration such as 10s", value)}
		}
	}
	return args, nil
}

// commandOptions are those of a command, beside the options of all tasks.
var commandOptions = []cmdline.Option{
	{Name: "param", Metavar: "NAME=VALUE", Help: "Param of the command, for {params.NAME} (repeatable)", Repeated: true},
}

// runCommand runs the command behind the --.
func runCommand(cmd *cobra.Command, args []string, idle time.Duration, ends bool) error {
	behind := slices.Index(args, "--")
	if behind < 0 {
		behind = len(args)
	}
	options := cmdline.Options(cmdline.Either, commandOptions, "")
	values, err := cmdline.Parse(options, args[:behind])
	if err != nil {
		return cli.UsageError{Err: fmt.Errorf("%w; see tigerflow task run --help", err)}
	}
	if values.Has("help") {
		return printHelp(cmd.OutOrStdout(), "tigerflow task run … -- COMMAND", "Run a command over the files of a folder", options)
	}
	if behind >= len(args)-1 {
		return cli.UsageError{Err: errors.New("put the command behind --, as in: tigerflow task run --input-dir … -- cp {input} {output}")}
	}
	command := args[behind+1:]
	s := standalone.FromValues(cmdline.Either, values, strings.TrimPrefix(filepath.Base(command[0]), "."))
	s.Handler.Command = command
	if s.Params, err = commandParams(values["param"]); err != nil {
		return cli.UsageError{Err: err}
	}
	return runLone(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), s, idle, ends)
}

func commandParams(pairs []string) (map[string]json.RawMessage, error) {
	params := map[string]json.RawMessage{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("--param %q: give NAME=VALUE", pair)
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		params[name] = text
	}
	return params, nil
}

func printHelp(out io.Writer, program, summary string, options []cmdline.Option) error {
	_, err := io.WriteString(out, cmdline.Help(program, summary, options, cmdline.Width(os.Stdout)))
	return err
}

// runNamed runs a library task: a builtin one here, an installed one by Python.
func runNamed(cmd *cobra.Command, name string, args []string, idle time.Duration, ends bool) error {
	t, ok := library.Find(name)
	if !ok {
		return runInstalled(cmd.Context(), name, args, idle, ends)
	}
	params, err := t.Options()
	if err != nil {
		return err
	}
	program := "tigerflow task run " + name
	options := cmdline.Options(cmdline.Either, params, t.Class)
	values, err := cmdline.Parse(options, args)
	if err != nil {
		return cli.UsageError{Err: fmt.Errorf("%w; see %s --help", err, program)}
	}
	if values.Has("help") {
		return printHelp(cmd.OutOrStdout(), program, t.Description, options)
	}
	s := standalone.FromValues(cmdline.Either, values, t.Class)
	s.Handler.Builtin = name
	if s.Params, err = serve.Params(params, values); err != nil {
		return err
	}
	if err := t.Check(s.Params); err != nil {
		return cli.UsageError{Err: fmt.Errorf("%w; see %s --help", err, program)}
	}
	return runLone(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), s, idle, ends)
}

// runInstalled runs a task that a Python package has brought.
func runInstalled(ctx context.Context, name string, args []string, idle time.Duration, ends bool) error {
	found, err := installedTask(ctx, name)
	if err != nil {
		return err
	}
	if found == nil {
		return cli.UsageError{Err: fmt.Errorf("there is no library task %q: tigerflow tasks list names them; a Python module ends in .py, and a command stands behind --", name)}
	}
	if found.Error != "" {
		return cli.UsageError{Err: fmt.Errorf("library task %s cannot be loaded: %s", name, found.Error)}
	}
	call := "import importlib, sys; t = importlib.import_module(sys.argv[1])\n" +
		"for name in sys.argv[2].split('.'): t = getattr(t, name)\n" +
		"del sys.argv[1:3]; sys.argv[0] = 'tigerflow task run " + strings.ReplaceAll(name, "'", "") + "'; t.cli()"
	return becomePython([]string{"-c", call, found.ModuleName(), found.Class}, args, idle, ends)
}

// becomePython replaces this process by Python, which reads the rest of the command line and comes back by task exec.
func becomePython(before, args []string, idle time.Duration, ends bool) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return cli.UsageError{Err: errors.New("python3 is not on the PATH: install it, or activate the environment that has it")}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path, err := pythonPath()
	if err != nil {
		return err
	}
	// Of a variable that is there twice, programs see the first.
	err = errors.Join(os.Setenv("TIGERFLOW_BIN", self), os.Setenv("PYTHONPATH", path))
	if ends {
		err = errors.Join(err, os.Setenv(standalone.IdleVariable, idle.String()))
	}
	if err != nil {
		return err
	}
	return syscall.Exec(python, slices.Concat([]string{"python3"}, before, args), os.Environ())
}
