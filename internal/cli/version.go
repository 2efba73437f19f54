package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/internal/version"
)

// NewVersion makes the command that prints the version of the program.
func NewVersion(program string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of " + program,
		Args:  NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch output {
			case "":
				_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Get())
				return err
			case "json":
				return json.NewEncoder(cmd.OutOrStdout()).Encode(version.Get())
			default:
				return UsageError{Err: fmt.Errorf("--output %q: the only format is json", output)}
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "format: json, or a line of text if not given")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
