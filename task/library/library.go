// Package library holds the builtin tasks, which a Task names under handler.builtin and the command line by their names.
package library

import (
	"encoding/json"
	"maps"
	"slices"

	"tigerflow.dev/tigerflow/task/cmdline"
	"tigerflow.dev/tigerflow/task/serve"
)

// Task is a builtin task.
type Task struct {
	Name        string
	Class       string // the name of its type
	Module      string // where it is written down
	Description string // one line

	New     func() *serve.Inside // makes an instance
	Options func() ([]cmdline.Option, error)
	Check   func(params map[string]json.RawMessage) error // reports params that it does not take
}

func builtin[T serve.Runner](name, class, module, description string) Task {
	return Task{
		Name: name, Class: class, Module: module, Description: description,
		New: serve.NewInside[T], Options: serve.Options[T], Check: serve.Check[T],
	}
}

var builtins = map[string]Task{
	"echo": builtin[Echo]("echo", "Echo", "tigerflow.library.echo",
		"Echo task - copies input to output with optional transformations."),
	"http-request": builtin[HTTPRequest]("http-request", "HTTPRequest", "tigerflow.dev/tigerflow/task/library",
		"HTTP request task - sends each input to a URL and writes the body of the response."),
}

// Find finds a builtin task.
func Find(name string) (Task, bool) {
	t, ok := builtins[name]
	return t, ok
}

// Lookup finds a builtin task. Calling what it returns makes an instance of it.
func Lookup(name string) (instance func() *serve.Inside, ok bool) {
	t, ok := builtins[name]
	return t.New, ok
}

// Names lists the builtin tasks in order.
func Names() []string { return slices.Sorted(maps.Keys(builtins)) }
