package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/spool"
)

func newRetry() *cobra.Command {
	var task, match string
	cmd := &cobra.Command{
		Use:   "retry OUTPUT_DIR",
		Short: "Run failed files again",
		Long: `Run failed files again, as if they never had been: their error files go, and their attempts count from the start.

It works from any host that sees the directory. If nothing runs there now, it is done at the next start.`,
		Example: "  tigerflow retry results\n  tigerflow retry results --match '2024-*'",
		Args:    outputDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return retry(cmd.OutOrStdout(), args[0], task, match)
		},
	}
	cmd.Flags().StringVar(&task, "task", "", "of this Task only")
	cmd.Flags().StringVar(&match, "match", "", "only files whose name, or path in the input directory, matches a pattern with *, ? and [...]")
	return cmd
}

func retry(out io.Writer, dir, task, match string) error {
	if _, err := path.Match(match, ""); err != nil {
		return cli.UsageError{Err: fmt.Errorf("--match %q: %w: close every [ and put something behind every \\", match, err)}
	}
	spools, err := openSpools(dir, task)
	if err != nil {
		return err
	}
	for _, s := range spools {
		request := spool.Request{Kind: spool.RequestRetry, Match: match}
		n, err := failures(s, request)
		if err != nil {
			return err
		}
		if _, err := s.Ask(request); err != nil {
			return err
		}
		when, err := whenAnswered(s, spool.RequestRetry)
		if err != nil {
			return err
		}
		what := plural(int64(n), "failed file is", "failed files are") + " to run again"
		if n == 0 {
			what = "no error file is there now; what fails before this is read runs again"
		}
		fmt.Fprintf(out, "%s: %s; %s\n", s.Spec().Task, what, when)
	}
	return nil
}

// failures counts the error files of the inputs that a request means.
func failures(s *spool.Spool, r spool.Request) (int, error) {
	spec, n := s.Spec(), 0
	err := eachFile(string(spec.OutputDir), spool.ErrExt, spec.Recursive, func(stem string) {
		if r.Matches(spool.Name(stem + spec.InputExt)) {
			n++
		}
	})
	if errors.Is(err, fs.ErrNotExist) { // a task of a pipeline that has not begun
		err = nil
	}
	return n, err
}
