package main

import (
	"slices"
	"strings"
)

// loginEnvironment is what of env the commands of Slurm get, and with sbatch's all jobs: what a login sets, and where the
// cluster is. The bridge's own, such as KUBECONFIG or what was loaded in the shell that started it, is nothing to jobs: their
// script makes a login shell of its own, and a Task has container.env and setupCommands.
func loginEnvironment(env []string) []string {
	names := []string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "SLURM_CONF"}
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return !slices.Contains(names, name) && !strings.HasPrefix(name, "LC_")
	})
}
