// Package standalone runs one task from the command line, without an API server: the dispatcher, the workers and the loop
// between them in one process. What happens is told on the terminal, in order with what the author's code prints.
package standalone

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// Spec is what a lone task is to run. Relative folders are relative to the current one, which is also that of user code.
type Spec struct {
	TaskName    string                     `json:"taskName"`
	Type        string                     `json:"type"` // Local, LocalAsync or Slurm
	InputDir    string                     `json:"inputDir"`
	InputExt    string                     `json:"inputExt"`
	OutputDir   string                     `json:"outputDir"`
	OutputExt   string                     `json:"outputExt"`
	Concurrency int                        `json:"concurrency,omitempty"` // of LocalAsync: files in hand at once
	Handler     Handler                    `json:"handler"`
	Params      map[string]json.RawMessage `json:"params,omitempty"`
	Slurm       *Slurm                     `json:"slurm,omitempty"` // of Slurm
	Prog        string                     `json:"prog,omitempty"`  // what the user called, for messages
}

// Handler says what runs the files: exactly one field is set.
type Handler struct {
	Python  *Python               `json:"python,omitempty"`
	Builtin string                `json:"builtin,omitempty"`
	Command []string              `json:"command,omitempty"`
	Program *spool.ProgramHandler `json:"program,omitempty"`
}

// Python is a class of a TigerFlow module.
type Python struct {
	Module      string `json:"module"`          // absolute path or dotted name
	Class       string `json:"class,omitempty"` // its qualified name; empty is the only one
	Interpreter string `json:"interpreter,omitempty"`
}

// Slurm is what a Slurm task asks of the cluster.
type Slurm struct {
	MaxWorkers    int      `json:"maxWorkers"`
	CPUs          int      `json:"cpus"`
	Memory        string   `json:"memory"`
	Time          string   `json:"time"`
	GPUs          int      `json:"gpus,omitempty"`
	SbatchOptions []string `json:"sbatchOptions,omitempty"`
	SetupCommands []string `json:"setupCommands,omitempty"`
}

// UsageError is a mistake of who called the task. Its message is one line that names the option and the mend.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// ReadSpec reads a Spec as another program has written it.
func ReadSpec(r io.Reader) (Spec, error) {
	var s Spec
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, usage("the specification of the task cannot be read: %v", err)
	}
	return s, nil
}

const maxTaskName = 253 // as spec.taskName of a Task

// Validate reports the first mistake, a *UsageError.
func (s *Spec) Validate() error {
	for _, o := range []struct{ option, value string }{
		{"--input-dir", s.InputDir},
		{"--input-ext", s.InputExt},
		{"--output-dir", s.OutputDir},
		{"--output-ext", s.OutputExt},
		{"--task-name", s.TaskName},
	} {
		if o.value == "" {
			return usage("%s: give a value", o.option)
		}
	}
	if err := checkExtension("--input-ext", s.InputExt); err != nil {
		return err
	}
	if err := checkExtension("--output-ext", s.OutputExt); err != nil {
		return err
	}
	if strings.ContainsAny(s.TaskName, "/\x00\n") || strings.HasPrefix(s.TaskName, ".") || len(s.TaskName) > maxTaskName {
		return usage("--task-name %q: give a name without slashes and without a dot at its beginning, of at most %d bytes", s.TaskName, maxTaskName)
	}
	if err := s.Handler.validate(); err != nil {
		return err
	}
	return s.validateType()
}

func (s *Spec) validateType() error {
	switch s.Type {
	case spool.TypeLocal:
		return nil
	case spool.TypeLocalAsync:
		if s.Concurrency < 1 || s.Concurrency > maxConcurrency {
			return usage("--concurrency-limit %d: give a number from 1 to %d", s.Concurrency, maxConcurrency)
		}
		return nil
	case spool.TypeSlurm:
		return s.Slurm.validate()
	}
	return usage("task type %q: it must be Local, LocalAsync or Slurm", s.Type)
}

const maxConcurrency = 100_000

func checkExtension(option, ext string) error {
	switch {
	case !strings.HasPrefix(ext, ".") || len(ext) < 2 || strings.ContainsAny(ext, "/\x00\n"):
		return usage("%s %q: an extension begins with a dot and has no slash, as in .txt", option, ext)
	case ext == spool.ErrExt:
		return usage("%s %s: this extension is for error files, choose another", option, ext)
	}
	return nil
}

func (h *Handler) validate() error {
	n := 0
	for _, set := range []bool{h.Python != nil, h.Builtin != "", len(h.Command) > 0, h.Program != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return usage("a task is one of a Python module, a library task, a command and a program: %d are given", n)
	}
	if h.Python != nil && h.Python.Module == "" {
		return usage("the Python module has no name")
	}
	return nil
}

// spoolSpec says the same in the spool's terms.
func (s *Spec) spoolSpec() (spool.Spec, error) {
	dir, err := os.Getwd()
	if err != nil {
		return spool.Spec{}, fmt.Errorf("finding the current folder: %w", err)
	}
	within := func(path string) spool.Name {
		if filepath.IsAbs(path) {
			return spool.Name(filepath.Clean(path))
		}
		return spool.Name(filepath.Join(dir, path))
	}
	spec := spool.Spec{
		Task: s.TaskName, Type: s.Type, WorkDir: spool.Name(dir),
		InputDir: within(s.InputDir), InputExt: s.InputExt, OutputDir: within(s.OutputDir), OutputExt: s.OutputExt,
		Handler: s.Handler.spoolHandler(), Params: s.Params, Concurrency: max(1, s.Concurrency),
		Durability: spool.Fsync,
		Retry:      spool.Retry{Attempts: 1, Backoff: spool.Duration(30 * time.Second), CrashLimit: 3},
	}
	switch s.Type {
	case spool.TypeLocal:
		spec.Concurrency = 1
	case spool.TypeSlurm:
		spec.SetupCommands = s.Slurm.SetupCommands
		if p := spec.Handler.Python; p != nil && len(spec.SetupCommands) > 0 {
			p.Interpreter = "python3" // of the environment that they make
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return spec, usage("the params cannot be written down: %v", errors.Unwrap(err))
	}
	sum := sha256.Sum256(text)
	spec.Revision = hex.EncodeToString(sum[:6])
	return spec, nil
}

func (h *Handler) spoolHandler() spool.Handler {
	sh := spool.Handler{Builtin: h.Builtin, Command: h.Command, Program: h.Program}
	if p := h.Python; p != nil {
		module := p.Module
		if p.Class != "" {
			module += ":" + p.Class
		}
		sh.Python = &spool.PythonHandler{Module: module, Interpreter: p.Interpreter}
	}
	return sh
}
