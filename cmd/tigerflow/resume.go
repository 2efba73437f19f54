package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/spool"
)

func newResume() *cobra.Command {
	var task string
	cmd := &cobra.Command{
		Use:   "resume OUTPUT_DIR",
		Short: "Go on after files failed alike, or after a stop",
		Long: `Go on with a Task that has paused because so many files failed alike that the rest would too, or that was asked to stop.

Correct the cause first. The files that have failed stay failed: tigerflow retry runs them again, and goes on as well.`,
		Example: "  tigerflow resume results",
		Args:    outputDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return resume(cmd.OutOrStdout(), args[0], task)
		},
	}
	cmd.Flags().StringVar(&task, "task", "", "of this Task only")
	return cmd
}

func resume(out io.Writer, dir, task string) error {
	spools, err := openSpools(dir, task)
	if err != nil {
		return err
	}
	for _, s := range spools {
		if _, err := s.Ask(spool.Request{Kind: spool.RequestResume}); err != nil {
			return err
		}
		when, err := whenAnswered(s, spool.RequestResume)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: files that wait are tried again; %s\n", s.Spec().Task, when)
	}
	return nil
}
