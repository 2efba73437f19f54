package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tigerflow.dev/tigerflow/spool"
)

// invisible reports whether an input is a link that leads out of what the container has. That says nothing of the file: it is
// given back, and the worker takes no more, for no other in the same container would see it.
func (e *engine) invisible(f *file) bool {
	if _, err := os.Stat(f.input); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	target, err := os.Readlink(f.input)
	if err != nil { // it is gone, which its handler will find
		return false
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(f.input), target)
	}
	e.drop(f)
	// Not as one that was returned: where the link leads nowhere on the host either, nobody is to wait for it.
	e.recordFiles(spool.EventGone, f.batch, []spool.Name{f.name}, nil)
	mend := fmt.Sprintf("add export APPTAINER_BIND=%q to setupCommands", filepath.Dir(target))
	if e.spec.Type != spool.TypeSlurm {
		mend = "mount its volume by container.mounts"
	}
	e.unseen = &spool.Failure{Type: string(spool.ExitInputNotVisible), Message: fmt.Sprintf(
		"the input %q is a link to %q, which the container does not have: %s, or put the files themselves into the workspace", f.name, target, mend)}
	e.draining = spool.ExitInputNotVisible
	e.giveBack()
	return true
}
