package workermain

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// SetupFailedUsage is how it is recorded that a worker could not be started on its machine.
const SetupFailedUsage = `--spool DIR --id ID --type TYPE --what TEXT --code N`

// ErrSetupFailedUsage means that the flags are wrong.
var ErrSetupFailedUsage = errors.New("usage: tigerflow-worker setup-failed " + SetupFailedUsage + " <LAST-LINES")

// What is kept of the lines that the failed command wrote last.
const lastLinesBytes = 4 << 10

// SetupFailed leaves the records of a worker whose machine could not be made ready for it: born, and ended with the reason
// SetupFailed. TYPE and TEXT say what failed, N is its exit status, and stdin has the last lines that it wrote. If the worker
// was born all the same it does nothing.
func SetupFailed(args []string) error {
	var dir, id, kind, what string
	var code int
	flags := flag.NewFlagSet("setup-failed", flag.ContinueOnError)
	flags.StringVar(&dir, "spool", "", "folder of the Task's spool")
	flags.StringVar(&id, "id", "", "the worker's name")
	flags.StringVar(&kind, "type", "", "what kind of failure it is, in one word")
	flags.StringVar(&what, "what", "", "what failed")
	flags.IntVar(&code, "code", 0, "its exit status")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 || kind == "" {
		return ErrSetupFailedUsage
	}
	if !spool.ValidWorker(id) {
		return fmt.Errorf("%w: --id %q is not KEY.INDEX.rN", ErrSetupFailedUsage, id)
	}
	said, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<20))
	if err != nil {
		return fmt.Errorf("reading what was written last: %w", err)
	}
	s, err := spool.Open(dir)
	if err != nil {
		return err
	}
	w, born, err := s.Bear(id, spool.Born{Revision: s.Spec().Revision, Job: os.Getenv(protocol.EnvJob), Node: os.Getenv(protocol.EnvNode), Time: time.Now().UTC()})
	if err != nil || !born {
		return err
	}
	return w.Exit(spool.ExitSetupFailed, &spool.Failure{
		Type:      kind,
		Message:   fmt.Sprintf("%s: exit status %d", protocol.Head(what, 200), code),
		Traceback: strings.TrimRight(protocol.Tail(protocol.Printable(string(said)), lastLinesBytes), "\n"),
	})
}
