package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tigerflow.dev/tigerflow/internal/cli"
)

const reportPeriod = time.Second

// The sections of a report.
const (
	sectionStatus   = "status"
	sectionProgress = "progress"
	sectionMetrics  = "metrics"
	sectionErrors   = "errors"
)

var sections = []string{sectionStatus, sectionProgress, sectionMetrics, sectionErrors}

type reportOptions struct {
	task    string
	include []string // sections; empty is all, with a few of the errors only unless it is JSON
	json    bool
	watch   bool
}

func (o *reportOptions) shows(section string) bool {
	return len(o.include) == 0 || slices.Contains(o.include, section)
}

func newReport() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report OUTPUT_DIR",
		Short: "Tell how far the files of a Task or a pipeline are",
		Long: `Tell how far the files of a Task or a pipeline are, who works on them and where, how long they take, and which failed.

It reads what lies in the directory, so it works while they run, afterwards, and from any host that sees the directory.

A file is finished when the last task of every branch has its output. It has failed when a task has given it up.`,
		Example: `  tigerflow report results
  tigerflow report results --watch
  tigerflow report results --include errors
  tigerflow report results --json --include status,progress`,
		Args: outputDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return report(cmd.Context(), cmd.OutOrStdout(), args[0], o)
		},
	}
	cmd.Flags().StringVar(&o.task, "task", "", "of this Task only")
	cmd.Flags().StringSliceVar(&o.include, "include", nil, "only these sections: "+strings.Join(sections, ", ")+"; errors are then listed without a limit")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "bring it up to date each second, until Ctrl-C")
	return cmd
}

func report(ctx context.Context, out io.Writer, dir string, o reportOptions) error {
	for _, section := range o.include {
		if !slices.Contains(sections, section) {
			return cli.UsageError{Err: fmt.Errorf("--include %q: the sections are %s", section, strings.Join(sections, ", "))}
		}
	}
	if o.watch && o.json {
		return cli.UsageError{Err: errors.New("--watch cannot be used with --json: repeat the command instead")}
	}
	if _, err := openSpools(dir, o.task); err != nil {
		return err
	}
	s, err := newSurvey(dir)
	if err != nil {
		return err
	}
	if o.watch {
		return watchReport(ctx, out, s, o)
	}
	if err := s.read(o); err != nil {
		return err
	}
	if o.json {
		return writeJSON(out, s.json(o))
	}
	return s.write(out, o)
}

// watchReport draws the report anew in its place, or writes a line whenever something has changed.
func watchReport(ctx context.Context, out io.Writer, s *survey, o reportOptions) error {
	tick := time.NewTicker(reportPeriod)
	defer tick.Stop()
	screen := &screen{out: out}
	file, isFile := out.(*os.File)
	if screen.drawn = isFile && term.IsTerminal(int(file.Fd())); screen.drawn {
		screen.height = func() int {
			_, height, err := term.GetSize(int(file.Fd()))
			if err != nil {
				return 0
			}
			return height
		}
	} else {
		o.include = []string{sectionProgress} // a line is no more
	}
	for {
		if err := s.read(o); err != nil {
			return err
		}
		if err := screen.show(s, o); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// What makes a terminal cut long lines, which then take one line each, and what ends that.
const (
	noWrap = "\x1b[?7l"
	wrap   = "\x1b[?7h"
)

// screen is what was last shown.
type screen struct {
	out    io.Writer
	drawn  bool
	height func() int // of the terminal; 0 if it does not know
	lines  int        // that stand on it
	last   string
}

func (c *screen) show(s *survey, o reportOptions) error {
	var text strings.Builder
	if !c.drawn {
		s.summarize(&text, o)
		if line := strings.ReplaceAll(strings.TrimSpace(text.String()), "\n", "; "); line != c.last {
			c.last = line
			fmt.Fprintln(c.out, line)
		}
		return nil
	}
	if err := s.write(&text, o); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	if height := c.height(); height > 0 { // what does not fit could not be drawn over
		lines = lines[:min(len(lines), max(1, height-1))]
	}
	text.Reset()
	if c.lines > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", c.lines)
	}
	fmt.Fprintf(&text, "\r\x1b[J"+noWrap+"%s\n"+wrap, strings.Join(lines, "\n"))
	c.lines = len(lines)
	_, err := io.WriteString(c.out, text.String())
	return err
}
