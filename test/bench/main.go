// Command bench measures bin/tigerflow as a user would run it, next to bare loops over the same files in the same run, and
// prints one table: what was measured, the figure, and the goal. Machines are noisy: contenders take turns, each figure is
// the median of three rounds, and most are ratios.
//
//	go run ./test/bench -only 'Python echo' -files 40000
//
// With -slurm it measures Slurm Tasks instead, where there is a Slurm: hack/slurm/bench.sh brings one up for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/task"
	"tigerflow.dev/tigerflow/task/protocol"
)

func main() {
	switch {
	case os.Getenv(protocol.EnvHandler) == "1": // a worker of ours started this program as a Task's handler
		task.Main[noop]()
	case len(os.Args) == 3 && os.Args[1] == "dispatch":
		exit(dispatch(os.Args[2], os.Stdout))
	}
	b := &bench{log: os.Stderr}
	only := flag.String("only", "", "measure only rows whose name this `REGEXP` finds, upper case or lower")
	list := flag.Bool("list", false, "list the rows")
	flag.IntVar(&b.files, "files", 20_000, "input files of a row that names no number")
	flag.StringVar(&b.dir, "dir", "", "measure on the file system of this `FOLDER` (default: a fresh ext4 image in memory)")
	flag.BoolVar(&b.million, "million", false, "rows that grow go on to 1,000,000 files: takes some 10 minutes more")
	flag.IntVar(&b.late, "latency", 20, "files moved into the quiet pipeline, one a second")
	flag.DurationVar(&b.watch, "watch", 5*time.Minute, "how long a bridge is watched")
	slurm := flag.Bool("slurm", false, "measure Slurm Tasks")
	flag.Parse()
	rows := rows
	if *slurm {
		rows = slurmRows
	}
	match, err := regexp.Compile("(?i)" + *only)
	if err == nil && (flag.NArg() > 0 || b.files < 100 || b.late < 1) {
		err = errors.New("-files is at least 100, -latency at least 1, and there are no arguments")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	if *list {
		for _, r := range rows {
			fmt.Println(r.name) //nolint:forbidigo // the terminal is what it is for
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	exit(b.run(rows, match))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is what the rows are measured with.
type bench struct {
	ctx     context.Context
	files   int
	dir     string
	million bool
	late    int
	watch   time.Duration
	log     io.Writer

	tigerflow string // the binaries, absolute
	self      string
}

// run measures the rows and prints the table.
func (b *bench) run(rows []row, match *regexp.Regexp) (err error) {
	if b.tigerflow, err = filepath.Abs("bin/tigerflow"); err != nil {
		return err
	}
	if _, err := os.Stat(b.tigerflow); err != nil {
		return fmt.Errorf("%w: run make build first, and this in the folder of the repository", err)
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	var t table
	for _, r := range rows {
		if !match.MatchString(r.name) {
			continue
		}
		fmt.Fprintln(b.log, "measuring:", r.name)
		figures, err := r.measure(b)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", r.name, err), t.print(os.Stdout))
		}
		t = append(t, figures...)
	}
	if len(t) == 0 {
		return fmt.Errorf("-only %s finds none of the rows: %s", strings.TrimPrefix(match.String(), "(?i)"), names(rows))
	}
	return t.print(os.Stdout)
}
