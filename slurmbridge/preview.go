package slurmbridge

import (
	"path/filepath"
	"strings"

	"tigerflow.dev/tigerflow/executor"
)

// Preview is what would be handed to sbatch for a worker: the command, in the words of bash, and the script on its stdin. The
// worker program, whose name tells its version, is called worker.
func Preview(s executor.Spec, worker string) (command, script string, err error) {
	if err := s.Validate(); err != nil {
		return "", "", err
	}
	a := arrays([]executor.Spec{s}, defaultLimits.maxArraySize)[0]
	c := scriptConfig{worker: filepath.Join(binDir(s.Spool), worker)}
	args, err := a.args(c)
	if err != nil {
		return "", "", err
	}
	if script, err = a.script(c); err != nil {
		return "", "", err
	}
	return strings.TrimSpace("sbatch " + quoteAll(args)), script, nil
}
