// Command manager (tigerflow-manager) looks after the Tasks and Pipelines of a Kubernetes cluster: it makes the Tasks of Pipelines and the
// Pods of dispatchers, and watches over these and over Slurm bridges. It sees no files.
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
