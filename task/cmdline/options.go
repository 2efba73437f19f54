// Package cmdline is the command line that every task has: the options of all tasks, those of its kind, and its params. It
// parses them and prints the help, alike for Go programs, library tasks and commands. Python modules do so themselves.
package cmdline

import (
	"fmt"
	"strings"
)

// The kinds of values, as the help shows them.
const (
	Path    = "PATH"
	Text    = "TEXT"
	Integer = "INTEGER"
	Float   = "FLOAT"
	Flag    = "" // takes no value: it is true if it is given
)

// Option is one option.
type Option struct {
	Name     string // with underscores; the flag has hyphens
	Metavar  string // one of the kinds of values, or the author's own word
	Help     string
	Required bool
	Repeated bool   // may be given several times, for a list
	Default  string // shown in the help if not empty
	Hidden   bool
	Param    bool // of the author's
}

// Spelled is the flag that sets the option.
func (o Option) Spelled() string { return "--" + strings.ReplaceAll(o.Name, "_", "-") }

// Kind is the kind of a task: which options it has besides its params.
type Kind string

// The kinds, called as the types of Tasks are.
const (
	Local      Kind = "Local"
	LocalAsync Kind = "LocalAsync"
	Slurm      Kind = "Slurm"
	// Either runs one file at a time unless --concurrency-limit says otherwise.
	Either Kind = "Either"
)

// Options lists the options of a task, in the order of its help. The help of a task without params does not mention its
// name, as in TigerFlow.
func Options(kind Kind, params []Option, taskName string) []Option {
	all := []Option{
		{Name: "input_dir", Metavar: Path, Help: "Input directory to read data", Required: true},
		{Name: "input_ext", Metavar: Text, Help: "Input file extension", Required: true},
		{Name: "output_dir", Metavar: Path, Help: "Output directory to store results", Required: true},
		{Name: "output_ext", Metavar: Text, Help: "Output file extension", Required: true},
	}
	all = append(all, kind.options()...)
	all = append(all, params...)
	return append(all,
		Option{Name: "task_name", Metavar: Text, Help: "Task name", Default: taskName, Hidden: len(params) == 0},
		Option{Name: "help", Metavar: Flag, Help: "Show this message and exit."},
	)
}

func (k Kind) options() []Option {
	limit := Option{Name: "concurrency_limit", Metavar: Integer, Required: k == LocalAsync, Help: "Maximum number of files " +
		"that may be processed concurrently at any given time (excess files are queued until capacity becomes available)"}
	switch k {
	case LocalAsync, Either:
		return []Option{limit}
	case Slurm:
		return []Option{
			{Name: "max_workers", Metavar: Integer, Help: "Max number of workers for autoscaling", Required: true},
			{Name: "cpus", Metavar: Integer, Help: "Number of CPUs per worker", Required: true},
			{Name: "memory", Metavar: Text, Help: "Memory per worker", Required: true},
			{Name: "time", Metavar: Text, Help: "Wall time per worker", Required: true},
			{Name: "gpus", Metavar: Integer, Help: "Number of GPUs per worker"},
			{Name: "sbatch_option", Metavar: Text, Help: "Additional Slurm option for workers (repeatable)", Repeated: true},
			{Name: "setup_command", Metavar: Text, Help: "Shell command to run before the task starts (repeatable)", Repeated: true},
		}
	default:
		return nil
	}
}

// UsageError is a mistake on the command line, in one line.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

// Invalid is the UsageError of a value that the option does not take.
func Invalid(o Option, why string) error {
	return usage("Invalid value for '%s': %s", o.Spelled(), why)
}

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }
