package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
)

// logsPoll is how often it is looked for news of which the file system gives no hint.
const logsPoll = time.Second

type logsOptions struct {
	task, worker string
	follow       bool
}

func newLogs() *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs OUTPUT_DIR",
		Short: "Show what user code has printed",
		Long: `Show what user code has printed, with the messages of the workers that ran it: worker by worker, the one that wrote last at the end.
Where there are several, TASK/WORKER stands before each line.

It works from any host that sees the directory.`,
		Example: "  tigerflow logs results\n  tigerflow logs results --task transcribe -f",
		Args:    outputDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return logs(cmd.Context(), cmd.OutOrStdout(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.task, "task", "", "of this Task only")
	cmd.Flags().StringVar(&o.worker, "worker", "", "of this worker only, such as 0.r1")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with what is printed from now on, also by new workers, until Ctrl-C")
	return cmd
}

func logs(ctx context.Context, out io.Writer, dir string, o logsOptions) error {
	if _, err := openSpools(dir, o.task); err != nil {
		return err
	}
	l := &logReader{logsOptions: o, out: out, dir: dir, spools: map[string]*spool.Spool{}, known: map[string]bool{}}
	if o.follow {
		l.named = o.worker == "" // there may be several
		return errors.Join(l.followAll(ctx), l.end())
	}
	if err := l.find(); err != nil {
		return err
	}
	if len(l.files) == 0 && o.worker != "" {
		return cli.UsageError{Err: fmt.Errorf("--worker %s: %s", o.worker, l.workers())}
	}
	return errors.Join(l.read(), l.end())
}

// workers says which logs there are.
func (l *logReader) workers() string {
	worker := l.worker
	l.worker = ""
	if err := l.find(); err != nil || len(l.files) == 0 {
		return "no worker has left a log"
	}
	l.worker = worker
	list := make([]string, 0, len(l.files))
	for _, f := range l.files {
		list = append(list, f.label())
	}
	return "there are logs of " + strings.Join(list, ", ")
}

// followAll shows what there is and what comes, until ctx ends.
func (l *logReader) followAll(ctx context.Context) error {
	l.wake = wake.New()
	defer l.wake.Close()
	tick := time.NewTicker(logsPoll)
	defer tick.Stop()
	for {
		if err := errors.Join(l.find(), l.read()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake.C():
		case <-tick.C:
		}
	}
}

// find looks for Tasks, and for logs of their workers, that are new.
func (l *logReader) find() error {
	tasks, err := spool.Tasks(l.dir)
	if err != nil {
		return err
	}
	var found []*logFile
	for _, task := range tasks {
		if l.task != "" && task != l.task {
			continue
		}
		if l.spools[task] == nil {
			if l.spools[task], err = spool.Open(spool.Dir(l.dir, task)); err != nil {
				return err
			}
			if l.wake != nil {
				l.wake.Add(l.spools[task].LogsDir())
			}
		}
		logs, err := l.logsOf(l.spools[task])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		found = append(found, logs...)
	}
	l.add(found)
	return nil
}
