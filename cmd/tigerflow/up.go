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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tigerflow.dev/tigerflow/internal/cli"
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
		Args:    cli.NoArgs,
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
	ctx, stop := cli.WithHangup(ctx, &stdout, &stderr)
	defer stop()
	p, err := startPlane(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(upGrace)) }()
	for _, m := range files {
		for _, u := range m.objects {
			if err := create(ctx, p.client, u, m.path); err != nil {
				return err
			}
		}
	}
	if err := p.begin(takeOver); err != nil {
		return err
	}
	if dir == "" {
		fmt.Fprintln(stderr, "The objects end with this process: keep their YAML files, or have a folder of them applied with -f DIR.")
	} else {
		fmt.Fprintf(stderr, "%s of %s applied. What is applied later ends with this process.\n", plural(int64(len(files)), "file", "files"), dir)
	}
	fmt.Fprintln(stderr, "Ctrl-C ends it. For kubectl, in another shell:")
	fmt.Fprintf(stdout, "export KUBECONFIG=%s\n", p.control.Kubeconfig())
	select {
	case <-ctx.Done():
		return nil
	case <-p.done():
		return errors.New("the control plane ended by itself")
	}
}

// manifest is the objects of one file.
type manifest struct {
	path    string
	objects []*unstructured.Unstructured
}

// manifests reads the YAML files of a folder, in the order of their names.
func manifests(dir string) ([]manifest, error) {
	if dir == "" {
		return nil, nil
	}
	var files []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, cli.UsageError{Err: fmt.Errorf("-f %s: %w", dir, err)}
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, cli.UsageError{Err: fmt.Errorf("-f %s: there is no .yaml file in that folder", dir)}
	}
	slices.Sort(files)
	var list []manifest
	for _, file := range files {
		objects, err := readManifest(file)
		if err != nil {
			return nil, err
		}
		list = append(list, manifest{file, objects})
	}
	return list, nil
}
