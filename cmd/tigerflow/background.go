package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tigerflow.dev/tigerflow/internal/cli"
)

// runInBackground starts this command line again, detached from the terminal, and returns when the run is under way. One that
// comes to nothing before is told of as if it had been in the foreground.
func runInBackground(ctx context.Context, stdout, stderr io.Writer, objects []*unstructured.Unstructured) error {
	records, err := recordsOf(objects[0])
	if err != nil {
		return cli.UsageError{Err: err}
	}
	log, err := openLog(records)
	if err != nil {
		return err
	}
	defer log.Close()
	pid, err := cli.Detach(ctx, stderr, log)
	if err != nil || pid == 0 {
		return err
	}
	_, err = fmt.Fprintf(stdout, "Started (pid %d). Its messages go to %s.\nTo follow it: tigerflow report %s --watch; to end it: tigerflow stop %s\n",
		pid, log.Name(), records, records)
	return err
}

// openLog opens what takes the messages of a run in the background.
func openLog(records string) (*os.File, error) {
	dir := filepath.Join(records, ".tigerflow")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "run.log"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
}

// recordsOf is the output directory of an object.
func recordsOf(u *unstructured.Unstructured) (string, error) {
	workspace, _, _ := unstructured.NestedString(u.Object, "spec", "workspace", "path")
	output, _, err := unstructured.NestedString(u.Object, "spec", "output", "directory")
	if err != nil || output == "" {
		return "", fmt.Errorf("%s %s: spec.output.directory is missing", u.GetKind(), u.GetName())
	}
	if filepath.IsAbs(output) {
		return output, nil
	}
	return filepath.Join(workspace, output), nil
}
