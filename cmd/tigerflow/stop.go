package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/spool"
)

const (
	stopPoll = 200 * time.Millisecond
	// restAfter is how long nothing may be at work before it is said that nothing will be, although a control plane that
	// serves others as well goes on holding the Task.
	restAfter = 3 * time.Second
)

type stopOptions struct {
	task    string
	force   bool
	timeout time.Duration
}

func newStop() *cobra.Command {
	var o stopOptions
	cmd := &cobra.Command{
		Use:   "stop OUTPUT_DIR",
		Short: "Stop what works on an output directory, wherever it runs",
		Long: `Stop what works on an output directory, wherever it runs, and wait for its end. Files in hand are finished, others are left for
the next run. It works from any host that sees the directory.

A run from the command line ends. A control plane that serves Tasks (tigerflow up, a cluster) keeps the Task and begins nothing for it
until tigerflow resume. Ctrl-C ends the wait only.

The exit code is 0 if nothing works on it any more, 1 if something still does, and 2 for a mistake on the command line.`,
		Example: "  tigerflow stop results\n  tigerflow stop results --force",
		Args:    outputDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return stop(cmd.Context(), cmd.OutOrStdout(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.task, "task", "", "this Task only")
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "do not wait for the files in hand: they are run again the next time")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Minute, "how long to wait for the end")
	return cmd
}

// stopping is a Task that was asked to stop.
type stopping struct {
	spool  *spool.Spool
	holder spool.Holder
	rests  time.Time // since when nothing is at work; zero if something is
	seen   time.Time // the holder's last sign of life, by its clock,
	heard  time.Time // and by ours
}

func stop(ctx context.Context, out io.Writer, dir string, o stopOptions) error {
	if o.timeout < 0 {
		return cli.UsageError{Err: errors.New("--timeout: give 0s or more")}
	}
	spools, err := openSpools(dir, o.task)
	if err != nil {
		return err
	}
	asked, err := askToStop(spools, o.force)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		fmt.Fprintf(out, "%s: nothing works on it\n", dir)
		return nil
	}
	tellAsked(out, asked, o.force)
	return awaitStop(ctx, out, dir, asked, o.timeout)
}

// askToStop asks whoever works on the spools.
func askToStop(spools []*spool.Spool, force bool) (asked []*stopping, err error) {
	request := spool.Request{Kind: spool.RequestDrain}
	if force {
		request.Kind = spool.RequestStop
	}
	for _, s := range spools {
		h, err := s.Dispatching()
		if err != nil {
			return nil, err
		}
		if h == nil {
			continue
		}
		if _, err := s.Ask(request); err != nil {
			return nil, err
		}
		asked = append(asked, &stopping{spool: s, holder: *h, seen: h.Seen, heard: time.Now()})
	}
	return asked, nil
}

// tellAsked names each process that was asked once.
func tellAsked(out io.Writer, asked []*stopping, force bool) {
	what := "finish the files in hand and stop"
	if force {
		what = "stop at once"
	}
	told := map[spool.Process]bool{}
	for _, s := range asked {
		if told[s.holder.Process] {
			continue
		}
		told[s.holder.Process] = true
		var tasks []string
		for _, other := range asked {
			if other.holder.Process == s.holder.Process {
				tasks = append(tasks, other.spool.Spec().Task)
			}
		}
		fmt.Fprintf(out, "%s: %s is asked to %s\n", strings.Join(tasks, ", "), s.holder.Process, what)
	}
}

// awaitStop returns when nothing works on the spools any more.
func awaitStop(ctx context.Context, out io.Writer, dir string, asked []*stopping, timeout time.Duration) error {
	tick := time.NewTicker(stopPoll)
	defer tick.Stop()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		var open []*stopping
		for _, s := range asked {
			stopped, err := s.look(out, dir)
			if err != nil {
				return err
			}
			if !stopped {
				open = append(open, s)
			}
		}
		if asked = open; len(asked) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("%s has not stopped within %s: the request stays; --force does not wait for the files in hand", names(asked), timeout)
		case <-ctx.Done():
			fmt.Fprintf(out, "%s: the request stays, and is followed\n", names(asked))
			if signal, ok := cli.Interrupted(ctx); ok {
				return signal
			}
			return ctx.Err()
		}
	}
}

func names(asked []*stopping) string {
	tasks := make([]string, 0, len(asked))
	for _, s := range asked {
		tasks = append(tasks, s.spool.Spec().Task)
	}
	return strings.Join(tasks, ", ")
}

// look reports whether nothing works on a Task any more, and says how that is.
func (s *stopping) look(out io.Writer, dir string) (bool, error) {
	task, now := s.spool.Spec().Task, time.Now()
	h, err := s.spool.Dispatching()
	if err != nil {
		return false, err
	}
	if h == nil {
		fmt.Fprintf(out, "%s: stopped\n", task)
		return true, nil
	}
	if !h.Seen.Equal(s.seen) {
		s.seen, s.heard = h.Seen, now
	}
	if now.Sub(s.heard) > spool.LeasePatience {
		return false, fmt.Errorf("%s: %s gives no sign of life: it is dead, or its host is cut off; the request stays", task, h.Process)
	}
	workers, err := s.spool.Living()
	if err != nil {
		return false, err
	}
	if len(workers) > 0 {
		s.rests = time.Time{}
		return false, nil
	}
	if s.rests.IsZero() {
		s.rests = now
	}
	if now.Sub(s.rests) < restAfter {
		return false, nil
	}
	fmt.Fprintf(out, "%s: no worker is left; %s keeps the Task, and begins nothing before tigerflow resume %s\n", task, h.Process, dir)
	return true, nil
}
