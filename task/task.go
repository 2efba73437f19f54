// Package task is the Go SDK for task authors. A task turns one input file into one output file. It is a struct with a
// Run method; Setup and Teardown are optional:
//
//	type Greet struct {
//		Greeting string `param:"greeting" default:"Hello" help:"Greeting to prepend"`
//		client   *http.Client
//	}
//
//	func (g *Greet) Setup(ctx context.Context) error                     // once, before the first file
//	func (g Greet) Run(ctx context.Context, input, output string) error  // for every file
//	func (g *Greet) Teardown(ctx context.Context) error                  // once, after the last file
//
//	func main() { task.Main[Greet]() }
//
// The struct holds the task's params and what Setup makes for all files. Run has a value receiver, and the compiler
// sees to it (Runner is asked of Greet, not of *Greet): every call gets a copy, so what one file does to the struct no
// other file sees, and files in flight at once share nothing but what pointers lead to.
//
// # Params
//
// An exported field with a param tag is set from the Task's params before Setup. It may be a string, bool, integer,
// float, time.Duration or a slice of these. A default tag makes it optional; elements of a slice are divided by commas.
// Without one the param is required, except that a bool is false. Params may be shared by embedding a struct of them.
//
// # Files
//
// The output exists already and is empty; Run writes into it or replaces it. Left empty it records that the file was
// processed without output. An error or a panic fails this one file. What Run prints goes to the worker's log.
package task

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/standalone"
	"tigerflow.dev/tigerflow/task/cmdline"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/task/serve"
	"tigerflow.dev/tigerflow/worker/workermain"
)

// Runner turns input into output. Where the Task's concurrency is above 1, Run is called by several goroutines.
type Runner = serve.Runner

// Kind is the kind of a task.
type Kind = cmdline.Kind

// The kinds: one file at a time; many at once, up to --concurrency-limit, for calls of APIs and the like; and workers on the
// compute nodes of a cluster.
const (
	Local = cmdline.Local
	Async = cmdline.LocalAsync
	Slurm = cmdline.Slurm
)

// Main is the main function of a task's program, which is all there is to install: by hand it is the task's command line, and
// it works the files off itself; as spec.handler.program of a Task it serves the worker that started it.
func Main[T Runner](kind ...Kind) {
	args := os.Args[1:]
	switch {
	case os.Getenv(protocol.EnvHandler) == "1":
		os.Exit(serve.Serve[T]())
	case len(args) > 0 && args[0] == "run" && os.Getenv(tether.LifelineEnv) != "": // started by run, below
		if err := workermain.Run(args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	k := Local
	if len(kind) > 0 {
		k = kind[0]
	}
	os.Exit(command[T](k, args, os.Stdout, os.Stderr))
}

// command is the command line of the task; it returns the exit code.
func command[T Runner](kind Kind, args []string, stdout, stderr io.Writer) int {
	program := filepath.Base(os.Args[0])
	s, help, err := specification[T](kind, program, args)
	if err == nil && help != "" {
		_, err = io.WriteString(stdout, help)
	} else if err == nil {
		err = run(s, stdout, stderr)
	}
	if err == nil {
		return 0
	}
	if s, ok := errors.AsType[*standalone.SignalError](err); ok {
		if s.Left != nil {
			fmt.Fprintln(stderr, "Error:", strings.ReplaceAll(s.Left.Error(), "\n", "; "))
		}
		return s.Code()
	}
	text := "Error: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	_, mistyped := errors.AsType[*cmdline.UsageError](err)
	switch {
	case mistyped:
		if !strings.HasSuffix(text, "?") {
			text += "."
		}
		fmt.Fprintf(stderr, "%s Try '%s --help' for help.\n", text, program)
		return 2
	case standalone.IsUsage(err):
		fmt.Fprintln(stderr, text)
		return 2
	}
	fmt.Fprintln(stderr, text)
	return 1
}

// specification is what the arguments ask for, or the help text if they ask for that.
func specification[T Runner](kind Kind, program string, args []string) (s standalone.Spec, help string, err error) {
	params, err := serve.Options[T]()
	if err != nil {
		return s, "", err
	}
	options := cmdline.Options(kind, params, reflect.TypeFor[T]().Name())
	values, err := cmdline.Parse(options, args)
	if err != nil {
		return s, "", err
	}
	if values.Has("help") {
		return s, cmdline.Help(program, "Run the task as a CLI application", options, cmdline.Width(os.Stdout)), nil
	}
	given, err := serve.Params(params, values)
	if err != nil {
		return s, "", err
	}
	if err := serve.Check[T](given); err != nil {
		return s, "", &cmdline.UsageError{Message: err.Error()}
	}
	self, err := os.Executable()
	if err != nil {
		return s, "", err
	}
	s = standalone.FromValues(kind, values, reflect.TypeFor[T]().Name())
	s.Params, s.Prog = given, program
	s.Handler.Program = &spool.ProgramHandler{Path: spool.Name(self)}
	return s, "", nil
}

// run works the files off, with this very program as the worker.
func run(s standalone.Spec, stdout, stderr io.Writer) error {
	if s.Type == spool.TypeSlurm {
		return submit(s)
	}
	idle, ends, err := standalone.IdleFromEnvironment()
	if err != nil {
		return err
	}
	return standalone.RunWithSignals(s, standalone.Options{
		Worker: string(s.Handler.Program.Path), Stdout: stdout, Stderr: stderr, Ends: ends, IdleTimeout: idle,
		Log: slog.New(slog.DiscardHandler),
	})
}
