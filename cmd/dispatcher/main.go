// Command dispatcher (tigerflow-dispatcher) dispatches one Task, or all Tasks of one Pipeline, whose workers are Pods. It runs in
// a Pod that the manager makes, beside the files.
package main

import (
	"context"
	"io"
	"os"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/internal/kube"
)

func main() {
	ctx, stop := cli.WithSignals(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code. An error is one line on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.ExitCode(kube.Execute(ctx, newRoot(stdout, stderr), args), stderr)
}
