// Command worker is the process that works on a Task's files, wherever an executor starts it. It is small and static and
// knows no Kubernetes. People do not run it by hand.
package main

import (
	"errors"
	"fmt"
	"os"

	"tigerflow.dev/tigerflow/internal/version"
	"tigerflow.dev/tigerflow/worker/workermain"
)

const usage = "usage: tigerflow-worker run " + workermain.Usage + `
       tigerflow-worker version`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if errors.Is(err, errUsage) || errors.Is(err, workermain.ErrUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New(usage)

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "run":
		return workermain.Run(args[1:])
	case "version":
		_, err := fmt.Fprintln(os.Stdout, version.Get().Version)
		return err
	}
	return errUsage
}
