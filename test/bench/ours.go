package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// ours is a Task to be run by `tigerflow run`.
type ours struct {
	handler    string // YAML in the braces of spec.handler
	durability string
	workers    int    // 0 is a Task of type Local, which has one
	slurm      string // YAML in the braces of spec.slurm; empty is no Slurm Task
}

const pythonEcho = "python: {module: echo.py}"

const pythonEchoSource = `from tigerflow.tasks import LocalTask


class Echo(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        with open(input_file, "rb") as f:
            content = f.read()
        with open(output_file, "wb") as f:
            f.write(content)
`

const pythonBusy = "python: {module: busy.py}"

// pythonBusySource keeps a core busy for a millisecond with each file.
const pythonBusySource = `import time

from tigerflow.tasks import LocalTask


class Busy(LocalTask):
    @staticmethod
    def run(context, input_file, output_file):
        content = input_file.read_bytes()
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass
        output_file.write_bytes(content)
`

// sample is one run.
type sample struct {
	first time.Duration // from the start of the process to the first output's publication
	work  time.Duration // from the first output's publication to the last one's
	after time.Duration // from there to the end of the process
	cpu   time.Duration // of all processes, in user and system mode
	user  time.Duration // of that: in user mode
}

const manifest = `apiVersion: tigerflow.dev/v1alpha1
kind: Task
metadata: {name: %s}
spec:
  type: %s
  workspace: {path: %s}
  input: {directory: %s, extension: .txt}
  output: {directory: %s, extension: .txt}
  handler: {%s}
  durability: %s
`

// write writes the Task's file and returns its path.
func (o ours) write(g *ground, name, in, out string) (string, error) {
	kind, more := "Local", ""
	if o.workers > 0 {
		kind = "LocalAsync"
		more = fmt.Sprintf("  localAsync: {concurrency: 1}\n  scaling: {minWorkers: %[1]d, maxWorkers: %[1]d}\n", o.workers)
	}
	if o.slurm != "" {
		kind = "Slurm"
		more = fmt.Sprintf("  slurm: {%s}\n  resources: {cpus: 1, memory: 100Mi}\n  scaling: {minWorkers: %[2]d, maxWorkers: %[2]d}\n", o.slurm, o.workers)
	}
	path := g.path(name + ".yaml")
	content := fmt.Appendf(nil, manifest+more, name, kind, g.dir, in, out, o.handler, cmp.Or(o.durability, "Fsync"))
	for name, source := range map[string]string{"echo.py": pythonEchoSource, "busy.py": pythonBusySource} {
		if err := os.WriteFile(g.path(name), []byte(source), 0o644); err != nil {
			return "", err
		}
	}
	return path, os.WriteFile(path, content, 0o644)
}

// run runs the Task over a folder of inputs and tells from the outputs' own times when each was published: nothing looks
// on meanwhile.
func (b *bench) runOurs(g *ground, o ours, in, out string, files int) (sample, error) {
	path, err := o.write(g, "bench", in, out)
	if err != nil {
		return sample{}, err
	}
	cmd := b.start(b.tigerflow, "run", path)
	var said bytes.Buffer
	cmd.Stderr = &said
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("tigerflow run: %w: %s", err, said.Bytes())
	}
	ended := time.Now()
	first, last, found, err := published(g.path(out))
	if err != nil {
		return sample{}, err
	}
	if found != files {
		return sample{}, fmt.Errorf("%d outputs for %d inputs", found, files)
	}
	return sample{
		first: first.Sub(begun), work: last.Sub(first), after: ended.Sub(last),
		cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), user: cmd.ProcessState.UserTime(),
	}, nil
}

// start prepares a process that drains when the benchmark is interrupted.
func (b *bench) start(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = b.log
	return cmd
}

// published returns when the first and the last output got their names: a rename sets a file's time of change.
func published(out string) (first, last time.Time, found int, err error) {
	list, err := filepath.Glob(filepath.Join(out, "*.txt"))
	if err != nil {
		return first, last, 0, err
	}
	for _, path := range list {
		info, err := os.Stat(path)
		if err != nil {
			return first, last, 0, err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return first, last, 0, fmt.Errorf("%s: no time of change", path)
		}
		at := time.Unix(stat.Ctim.Unix())
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return first, last, len(list), nil
}
