// Command slurmbridge runs the Slurm Tasks of one namespace of a Kubernetes cluster, as an ordinary user on a login node of a
// Slurm cluster.
package main

import (
	"context"
	"io"
	"os"
	"runtime"

	"tigerflow.dev/tigerflow/internal/cli"
)

// threads is how many run Go code at once: a login node is for everybody.
const threads = 2

func main() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(threads, runtime.GOMAXPROCS(0)))
	}
	ctx, stop := cli.WithSignals(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code. An error is one line on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return cli.ExitCode(execute(ctx, args, stdout, stderr), stderr)
}
