package workermain

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"tigerflow.dev/tigerflow/internal/tether"
	"tigerflow.dev/tigerflow/spool"
)

// SweepUsage is how what a worker has left on its machine is ended.
const SweepUsage = `--id ID`

// ErrSweepUsage means that the flags are wrong.
var ErrSweepUsage = errors.New("usage: tigerflow-worker sweep " + SweepUsage)

// Sweep ends what a worker that has ended left running on this machine: user code that outlived a worker which was killed. It
// is called by the script that started the worker, and leaves alone what had begun before that: Slurm may run a job twice.
func Sweep(args []string) error {
	var id string
	flags := flag.NewFlagSet("sweep", flag.ContinueOnError)
	flags.StringVar(&id, "id", "", "the worker's name")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return ErrSweepUsage
	}
	if !spool.ValidWorker(id) {
		return fmt.Errorf("%w: --id %q is not KEY.INDEX.rN", ErrSweepUsage, id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), leftoverPatience)
	defer cancel()
	return tether.EndWorkerOf(ctx, id, os.Getppid())
}
