package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// upGrace is how long workers may finish what is in hand when `up` ends.
const upGrace = time.Second

func newUp() *cobra.Command {
	var dir string
	var takeOver bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Serve the Kubernetes API for Tasks on this machine until interrupted",
		Long: `Serve the Kubernetes API for Tasks on this machine until interrupted.

No Kubernetes is needed. kubectl works with the kubeconfig that is printed; the workers are processes of this machine.
The objects end with this process; outputs and progress stay on disk, and applying a Task again goes on with them.`,
		Example: "  tigerflow up -f tasks/",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return up(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), dir, takeOver)
		},
	}
	cmd.Flags().StringVarP(&dir, "filename", "f", "", "apply the YAML files of this folder at the start")
	cmd.Flags().BoolVar(&takeOver, "take-over", false, "do not wait for the lease of a dispatcher that has died on another host")
	return cmd
}

func up(ctx context.Context, stdout, stderr io.Writer, dir string, takeOver bool) (err error) {
	files, err := manifests(dir)
	if err != nil {
		return err
	}
	p, err := startPlane(ctx, takeOver)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(upGrace)) }()
	for _, file := range files {
		objects, err := readManifest(file)
		if err != nil {
			return err
		}
		for _, u := range objects {
			if err := apply(ctx, p.client, u, file); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(stdout, "export KUBECONFIG=%s\n", p.control.Kubeconfig())
	if dir == "" {
		fmt.Fprintln(stderr, "The objects end with this process: keep their YAML files, or have a folder of them applied with -f DIR.")
	} else {
		fmt.Fprintf(stderr, "%d files of %s applied. Objects applied later end with this process.\n", len(files), dir)
	}
	fmt.Fprintln(stderr, "Ctrl-C ends it.")
	select {
	case <-ctx.Done():
		return nil
	case <-p.done():
		return errors.New("the control plane ended by itself")
	}
}

// manifests lists the YAML files of a folder, by name.
func manifests(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	var files []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, usageError{fmt.Errorf("-f %s: %w", dir, err)}
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, usageError{fmt.Errorf("-f %s: there is no .yaml file in that folder", dir)}
	}
	slices.Sort(files)
	return files, nil
}
