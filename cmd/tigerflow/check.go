package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/spool"
)

func newCheck() *cobra.Command {
	var task string
	var repair bool
	cmd := &cobra.Command{
		Use:   "check OUTPUT_DIR",
		Short: "Compare what a Task keeps on disk with its rules",
		Long: `Compare inputs, outputs, error files and the records of a Task with each other. Without --repair nothing is written.

With --repair, and if nothing runs there, it mends what needs no guess: it removes batches of ended dispatchers, error files beside an
output, and temporaries that lie among the outputs or were left by workers that have ended. Requests that wait stay.

The exit code is 0 if all is in order, 1 if something is not, and 2 for a mistake on the command line.`,
		Example: "  tigerflow check results\n  tigerflow check results --repair",
		Args:    outputDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return check(cmd.OutOrStdout(), args[0], task, repair)
		},
	}
	cmd.Flags().StringVar(&task, "task", "", "of this Task only")
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what needs no guess")
	return cmd
}

func check(out io.Writer, dir, task string, repair bool) error {
	spools, err := openSpools(dir, task)
	if err != nil {
		return err
	}
	bad := 0
	for _, s := range spools {
		if repair {
			if err := mend(out, s); err != nil {
				return err
			}
		}
		report, err := spool.Check(s.Path())
		if err != nil {
			return err
		}
		bad += len(report.Problems)
		printReport(out, s, report)
	}
	if bad > 0 {
		return fmt.Errorf("%s in %s", plural(int64(bad), "breach of the rules", "breaches of the rules"), dir)
	}
	return nil
}

// mend repairs a spool and says what it did.
func mend(out io.Writer, s *spool.Spool) error {
	mended, err := s.Repair()
	if held, ok := errors.AsType[*spool.HeldError](err); ok {
		return fmt.Errorf("--repair: %s is in use by %s: end that one first", s.Spec().Task, held.Holder.Process)
	}
	for _, p := range mended {
		fmt.Fprintf(out, "%s: mended %s\n", s.Spec().Task, p)
	}
	return err
}

func printReport(out io.Writer, s *spool.Spool, r *spool.Report) {
	for _, p := range r.Problems {
		fmt.Fprintf(out, "%s: %s\n", s.Spec().Task, p)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(out, "%s: note: %s\n", s.Spec().Task, n)
	}
	state := "in use, or left by a kill: the next start goes on from here"
	if r.Settled {
		state = "ended in good order"
	}
	fmt.Fprintf(out, "%s: %s: %d done, %d failed, %d waiting; %s\n",
		s.Spec().Task, plural(int64(r.Inputs), "file", "files"), r.Done, r.Failed, r.Waiting, state)
}
