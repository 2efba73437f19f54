package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/pipeline"
	"tigerflow.dev/tigerflow/pipeline/config"
)

func newConvert() *cobra.Command {
	return &cobra.Command{
		Use:   "convert CONFIG [INPUT_DIR OUTPUT_DIR]",
		Short: "Print a TigerFlow config.yaml as a Pipeline",
		Long: `Print a TigerFlow config.yaml as a Pipeline.

The Pipeline works in the current folder, as TigerFlow does. INPUT_DIR and OUTPUT_DIR are the folders that tigerflow run was
given; without them the Pipeline has input and output, for you to change. What TigerFlow passes over in silence, such as a
key that it does not know, is said on stderr. The exit code is 2 if CONFIG is wrong.`,
		Example: "  tigerflow convert config.yaml path/to/data path/to/results > pipeline.yaml",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 3 {
				return fmt.Errorf("%s takes CONFIG, or CONFIG INPUT_DIR OUTPUT_DIR, and got %s", cmd.CommandPath(), plural(int64(len(args)), "argument", "arguments"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				args = append(args, "input", "output")
			}
			return convert(cmd.OutOrStdout(), cmd.ErrOrStderr(), config.Options{
				File: args[0], InputDir: args[1], OutputDir: args[2], Idle: config.DefaultIdle,
			})
		},
	}
}

func convert(stdout, stderr io.Writer, o config.Options) error {
	data, err := os.ReadFile(o.File)
	if err != nil {
		return cli.UsageError{Err: err}
	}
	if o.WorkDir, err = os.Getwd(); err != nil {
		return err
	}
	p, warnings, err := readOptions(data, o)
	for _, warning := range warnings {
		fmt.Fprintln(stderr, "warning:", warning)
	}
	if err != nil {
		return cli.UsageError{Err: err}
	}
	manifest, err := pipeline.Manifest(p)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "# %s, as a Pipeline.\n%s", filepath.Base(o.File), manifest)
	return err
}

// readOptions is config.Read with what TigerFlow looks for outside the configuration.
func readOptions(data []byte, o config.Options) (*v1alpha1.Pipeline, []string, error) {
	s, err := readSettings()
	if err != nil {
		return nil, nil, err
	}
	if o.WorkerIdle, err = s.workerIdle(); err != nil {
		return nil, nil, err
	}
	o.Exists = isFile
	return config.Read(data, o)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
