// Package serve is what the Go SDK, the builtin library and the worker share: one instance of a task, its params, and the
// conversation with a worker.
package serve

import (
	"context"
	"fmt"
	"os"
	"reflect"
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
