// Package library holds the builtin tasks, which a Task names under handler.builtin.
package library

import (
	"maps"
	"slices"

	"tigerflow.dev/tigerflow/task"
)

var builtins = map[string]func() int{
	"echo": task.Serve[Echo],
}

// Lookup finds a builtin task. Calling serve makes this process its handler, as task.Serve does.
func Lookup(name string) (serve func() int, ok bool) {
	serve, ok = builtins[name]
	return serve, ok
}

// Names lists the builtin tasks in order.
func Names() []string { return slices.Sorted(maps.Keys(builtins)) }
