package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/spool"
)

// outputDir is the one argument of the commands that work on what a Task keeps on disk.
func outputDir(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one output directory, and got %s", cmd.CommandPath(), plural(int64(len(args)), "argument", "arguments"))
	}
	return nil
}

// openSpools opens the spools of the Tasks that write below an output directory, or that of one Task. What is wrong with
// the arguments is a usage error.
func openSpools(dir, task string) ([]*spool.Spool, error) {
	tasks, err := spool.Tasks(dir)
	switch {
	case errors.Is(err, fs.ErrPermission), err != nil && spool.IsStorage(err):
		return nil, err
	case err != nil:
		return nil, cli.UsageError{Err: err}
	case len(tasks) == 0:
		return nil, cli.UsageError{Err: noTask(dir)}
	}
	var spools []*spool.Spool
	for _, name := range tasks {
		if task != "" && name != task {
			continue
		}
		s, err := spool.Open(spool.Dir(dir, name))
		if errors.As(err, new(*spool.FormatError)) {
			return nil, cli.UsageError{Err: err}
		}
		if err != nil {
			return nil, err
		}
		spools = append(spools, s)
	}
	if len(spools) == 0 {
		return nil, cli.UsageError{Err: fmt.Errorf("--task %s: %s has the Tasks %s", task, dir, strings.Join(tasks, ", "))}
	}
	return spools, nil
}

// noTask says why a directory has no Task, and what was meant perhaps.
func noTask(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case dir == "":
		return errors.New("the output directory is empty text: give that of a Task")
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is a file: give the output directory of a Task", dir)
	}
	if _, err := os.Lstat(filepath.Join(dir, "spool.json")); err == nil {
		return fmt.Errorf("%s is a spool: give the output directory that it lies in, the one with .tigerflow", dir)
	}
	return fmt.Errorf("%s: no Task has written there: give the output directory of a Task, the one with .tigerflow", dir)
}

// whenAnswered says who answers a request, or that nobody does now.
func whenAnswered(s *spool.Spool, kind spool.RequestKind) (string, error) {
	h, err := s.Dispatching()
	if err != nil {
		return "", err
	}
	if h != nil {
		return fmt.Sprintf("%s works on it and does this within seconds, if it lives; else it is done at the next start", h.Process), nil
	}
	where := ""
	if kind == spool.RequestRetry { // control planes look for it while their Tasks are complete
		where = servedBy(s.Owner())
	}
	return "nothing works on it now: this is done " + where + "when it is next started", nil
}

// servedBy says which control plane may have the object of a spool still; nothing for a run from the command line.
func servedBy(o spool.Owner) string {
	switch {
	case o.Plane == planeEmbedded:
		return "within seconds if tigerflow up still serves the Task, else "
	case strings.Contains(o.Plane, "://"):
		return fmt.Sprintf("within seconds if %s still has the Task (kubectl get task %s -n %s), else ", o.Plane, o.Name, o.Namespace)
	default:
		return ""
	}
}

// inUse says who works on a spool and whether that one lives.
func inUse(h *spool.Holder) string {
	ago := max(0, time.Since(h.Seen)).Round(time.Second)
	if h.Silent() {
		return fmt.Sprintf("%s, for %s, has given no sign of life for %s: it is dead, or its host is cut off", h.Process, h.Owner, ago)
	}
	return fmt.Sprintf("%s works on it, for %s, since %s; last sign of life %s ago", h.Process, h.Owner, h.Since.Local().Format(time.DateTime), ago)
}
