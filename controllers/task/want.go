package task

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
)

// wantOf says what a Task asks of its workers.
func wantOf(t *v1alpha1.Task) flow.Want {
	s := &t.Spec
	limit, ends := s.IdleBeforeComplete()
	w := flow.Want{
		Ends: ends, IdleLimit: limit,
		Need: fleet.Need{
			Task: t.DisplayName(),
			Min:  int(min(s.MinWorkers(), s.WorkersWithinLimit())), Max: int(s.WorkersWithinLimit()),
			DrainTarget: s.DrainTarget(), IdleTimeout: s.WorkerIdleTimeout(), DrainTimeout: s.DrainGrace(),
			Resources: executor.Resources{CPUs: int(s.CPUs()), Memory: s.MemoryBytes(), GPUs: int(s.GPUs())},
			Container: containerOf(s), Suspended: s.IsSuspended(),
		},
	}
	if s.Type != v1alpha1.TaskSlurm {
		w.Need.MaxPending, w.Need.Pod = int(s.MaxPending()), podOf(s)
	}
	if sl := s.Slurm; sl != nil {
		w.Need.MaxQueued, w.Need.WallTime = int(s.MaxPending()), sl.Time.Duration
		w.Need.Slurm = executor.Slurm{Partition: sl.Partition, Account: sl.Account, QOS: sl.QOS, Options: sl.SbatchOptions}
	}
	return w
}

// podOf spells what only pods are given, in which the executor finds it by itself.
func podOf(s *v1alpha1.TaskSpec) string {
	asked := struct {
		Pod        *v1alpha1.Pod
		Mounts     []v1alpha1.Mount
		WorkerPath string
	}{Pod: s.Pod}
	if s.Container != nil {
		asked.Mounts, asked.WorkerPath = s.Container.Mounts, s.Container.WorkerPath
	}
	text, err := json.Marshal(asked)
	if err != nil { // not with these types
		return ""
	}
	return string(text)
}

// containerOf is where the workers run. That of a Slurm Task begins on its node, after the Task's own setup commands.
func containerOf(s *v1alpha1.TaskSpec) executor.Container {
	if s.Container == nil || s.Container.Image == "" {
		return executor.Container{}
	}
	if s.Type != v1alpha1.TaskSlurm {
		return executor.Container{Image: s.Container.Image}
	}
	return executor.Container{Image: imageOf(s), SetupCommands: s.SetupCommands}
}

// transport is the first part of a reference to an image, as Apptainer has them. What has none is a file or a folder.
var transport = regexp.MustCompile(`^[a-z0-9+-]+:`)

// imageOf is the image of a Slurm Task, with the path of one on the file system made absolute.
func imageOf(s *v1alpha1.TaskSpec) string {
	if scheme, path, onDisk := imageFile(s.Container.Image); onDisk {
		return scheme + string(within(s, path))
	}
	return s.Container.Image
}

// imageFile tells of a reference to an image, as Apptainer has them, whether it names something on the file system, and what.
func imageFile(image string) (scheme, path string, onDisk bool) {
	scheme = transport.FindString(image)
	switch scheme {
	case "", "docker-archive:", "oci-archive:", "oci:":
		return scheme, strings.TrimPrefix(image, scheme), true
	}
	return scheme, "", false
}

// setupOf is the setup commands that workers run themselves.
func setupOf(s *v1alpha1.TaskSpec) []string {
	switch {
	case s.Container == nil || s.Container.Image == "":
		return s.SetupCommands
	case s.Type == v1alpha1.TaskSlurm: // the Task's own have run on the host when the worker starts
		return s.Container.SetupCommands
	}
	return slices.Concat(s.SetupCommands, s.Container.SetupCommands)
}
