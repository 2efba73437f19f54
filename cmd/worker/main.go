// Command worker is the process that works on a Task's files, wherever an executor starts it. It is small and static and
// knows no Kubernetes. People do not run it by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"tigerflow.dev/tigerflow/internal/inpod"
	"tigerflow.dev/tigerflow/internal/version"
	"tigerflow.dev/tigerflow/staging/caller"
	"tigerflow.dev/tigerflow/worker/workermain"
)

const usage = "usage: tigerflow-worker run " + workermain.Usage + `
       tigerflow-worker setup-failed ` + workermain.SetupFailedUsage + ` <LAST-LINES
       tigerflow-worker sweep ` + workermain.SweepUsage + `
       tigerflow-worker install DIR
       tigerflow-worker stage SOCKET
       tigerflow-worker version`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if slices.ContainsFunc(usageErrors, func(e error) bool { return errors.Is(err, e) }) {
			os.Exit(2)
		}
		if errors.Is(err, inpod.ErrNotExecutable) {
			os.Exit(inpod.NotExecutable)
		}
		os.Exit(1)
	}
}

var (
	errUsage    = errors.New(usage)
	usageErrors = []error{errUsage, workermain.ErrUsage, workermain.ErrSetupFailedUsage, workermain.ErrSweepUsage}
)

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "run":
		return workermain.Run(args[1:])
	case "setup-failed":
		return workermain.SetupFailed(args[1:])
	case "sweep":
		return workermain.Sweep(args[1:])
	case "install": // the init container of a Pod does it
		if len(args) != 2 {
			return errUsage
		}
		return inpod.Install(args[1], "version")
	case "stage": // a container beside the dispatcher does it, for functions that choose files
		if len(args) != 2 {
			return errUsage
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		return caller.Serve(ctx, args[1])
	case "version":
		_, err := fmt.Fprintln(os.Stdout, version.Get().Version)
		return err
	}
	return errUsage
}
