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
	"context"
	"fmt"
	"os"
	"reflect"

	"tigerflow.dev/tigerflow/task/protocol"
)

// Runner turns input into output. Where the Task's concurrency is above 1, Run is called by several goroutines.
type Runner interface {
	Run(ctx context.Context, input, output string) error
}

type setupper interface {
	Setup(ctx context.Context) error
}

type teardowner interface {
	Teardown(ctx context.Context) error
}

// Main is the main function of a task's program. A worker that started the program is served; started by hand, the
// program says how it is run and exits with status 2.
func Main[T Runner]() {
	if os.Getenv(protocol.EnvHandler) == "1" {
		os.Exit(Serve[T]())
	}
	fmt.Fprintf(os.Stderr, "%s is a TigerFlow task: run it by `tigerflow run FILE`, where handler.program.path in FILE is this program\n",
		reflect.TypeFor[T]().Name())
	os.Exit(2)
}

// Serve runs the task over the handler protocol on the inherited descriptors until the worker asks for teardown, and
// returns the exit status of the process. When the worker is gone Serve ends the process at once.
func Serve[T Runner]() int {
	s, err := inherit()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return s.serve(newInstance[T]())
}

// instance is the one value of a task in a handler process.
type instance struct {
	pointer any // *T, to set it up and tear it down
	run     func(ctx context.Context, input, output string) error
}

func newInstance[T Runner]() instance {
	v := new(T)
	return instance{
		pointer: v,
		run: func(ctx context.Context, input, output string) error {
			return (*v).Run(ctx, input, output)
		},
	}
}

// check finds what the compiler cannot: a task by pointer, and optional methods that would silently not be called.
func (i instance) check() error {
	t := reflect.TypeOf(i.pointer).Elem()
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("a task must be a struct type, not %s: give Run a value receiver and name the struct in task.Main[…]()", t)
	}
	pointer := reflect.PointerTo(t)
	if _, has := pointer.MethodByName("Setup"); has && !pointer.Implements(reflect.TypeFor[setupper]()) {
		return fmt.Errorf("method Setup of %s must be func(context.Context) error", t.Name())
	}
	if _, has := pointer.MethodByName("Teardown"); has && !pointer.Implements(reflect.TypeFor[teardowner]()) {
		return fmt.Errorf("method Teardown of %s must be func(context.Context) error", t.Name())
	}
	return nil
}

func (i instance) setup(ctx context.Context) error {
	if s, ok := i.pointer.(setupper); ok {
		return s.Setup(ctx)
	}
	return nil
}

func (i instance) teardown(ctx context.Context) error {
	if t, ok := i.pointer.(teardowner); ok {
		return t.Teardown(ctx)
	}
	return nil
}
