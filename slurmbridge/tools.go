package slurmbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// toolTimeout is when a command of Slurm is ended that has not answered. The commands give up by themselves, mostly after
// MessageTimeout (10 s unless a site changed it) and some retries.
const toolTimeout = 90 * time.Second

// tools runs the commands of Slurm.
type tools struct {
	env     []string // of all commands; that of sbatch becomes the jobs' own
	observe func(tool string, took time.Duration, err error)
}

// run returns what a command printed. The error, a *toolError unless ctx has ended, has what it wrote to stderr.
func (t *tools) run(ctx context.Context, stdin, tool string, args ...string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(limited, tool, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Stdin = t.env, &out, &errs, strings.NewReader(stdin)
	cmd.WaitDelay = time.Second // for what it has started and left
	// Ctrl-C goes to all processes of the terminal's group: an sbatch that it ended would leave in doubt whether there is a job.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	begin := time.Now()
	err := cmd.Run()
	if ctx.Err() != nil {
		err = ctx.Err()
	} else if err != nil {
		err = &toolError{tool: tool, said: messages(tool, errs.String()), timedOut: limited.Err() != nil, err: err}
	}
	if t.observe != nil {
		t.observe(tool, time.Since(begin), err)
	}
	return out.Bytes(), err
}

// toolError is the failure of a command.
type toolError struct {
	tool     string
	said     []string // the lines that it wrote to stderr, without its own name
	timedOut bool
	err      error
}

func (e *toolError) Error() string {
	switch {
	case e.timedOut:
		return fmt.Sprintf("%s has not answered for %s", e.tool, toolTimeout)
	case len(e.said) == 0:
		return fmt.Sprintf("%s: %v", e.tool, e.err)
	}
	return e.tool + ": " + e.text()
}

// text is what the command said, in one line.
func (e *toolError) text() string { return strings.Join(e.said, ": ") }

func (e *toolError) Unwrap() error { return e.err }

// messages are the lines of what a command wrote to stderr, less the prefixes that say who speaks.
func messages(tool, text string) (said []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{tool + ": ", "error: ", "fatal: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		if line != "" && !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return said
}

// find reports what is missing of Slurm's commands on the PATH.
func find(names ...string) error {
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not found: run this where jobs can be submitted, with Slurm's commands on the PATH", name)
		}
	}
	return nil
}

// Available reports whether jobs can be submitted from here: whether Slurm's commands are on the PATH.
func Available() bool { return find("sbatch", "squeue", "scancel", "scontrol") == nil }

// Environment is env less what would speak for the person who set it to sbatch and to the jobs: the defaults of Slurm's
// commands, and a job that this process runs in. SLURM_CONF stays: it says where the cluster is.
func Environment(env []string) []string {
	foreign := []string{"SBATCH_", "SLURM_", "SLURMD_", "SRUN_", "SQUEUE_", "SCANCEL_", "SACCT_", "SCONTROL_", "SALLOC_"}
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return !strings.HasPrefix(v, "SLURM_CONF=") &&
			slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(v, prefix) })
	})
}

var errClosed = errors.New("the executor is closed")
