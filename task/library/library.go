// Package library holds the builtin tasks, which a Task names under handler.builtin.
package library

import (
	"maps"
	"slices"

	"tigerflow.dev/tigerflow/task"
)

var builtins = map[string]func() *task.Inside{
	"echo": task.NewInside[Echo],
}

// Lookup finds a builtin task. Calling what it returns makes an instance of it.
func Lookup(name string) (instance func() *task.Inside, ok bool) {
	instance, ok = builtins[name]
	return instance, ok
}

// Names lists the builtin tasks in order.
func Names() []string { return slices.Sorted(maps.Keys(builtins)) }
