package task

import (
	"reflect"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/executor"
)

func slurmTask() *v1alpha1.Task {
	task := sampleTask()
	task.Spec.Type = v1alpha1.TaskSlurm
	task.Spec.Slurm = &v1alpha1.Slurm{
		Time: metav1.Duration{Duration: 2 * time.Hour}, Partition: "gpu", Account: "astro", QOS: "short", SbatchOptions: []string{"-x"},
	}
	return task
}

func TestWantOfSlurm(t *testing.T) {
	task := slurmTask()
	task.Spec.TaskName = "Words_v2"
	task.Spec.SetupCommands = []string{"module load x"}
	need := wantOf(task).Need
	if need.Task != "Words_v2" || need.WallTime != 2*time.Hour || need.MaxQueued != 1 || need.MaxPending != 0 {
		t.Errorf("%+v", need)
	}
	if want := (executor.Slurm{Partition: "gpu", Account: "astro", QOS: "short", Options: []string{"-x"}}); !reflect.DeepEqual(need.Slurm, want) {
		t.Errorf("got %+v, want %+v", need.Slurm, want)
	}
	if commands := specOf(t, task).SetupCommands; len(commands) != 1 || need.Container.SetupCommands != nil {
		t.Errorf("without a container the worker runs the setup commands: %v, %+v", commands, need.Container)
	}
	before := specOf(t, task).Revision
	task.Spec.Container = &v1alpha1.Container{Image: "x.sif"}
	need = wantOf(task).Need
	if commands := specOf(t, task).SetupCommands; commands != nil || !reflect.DeepEqual(need.Container.SetupCommands, task.Spec.SetupCommands) {
		t.Errorf("with a container the host runs them: %v, %+v", commands, need.Container)
	}
	with := specOf(t, task).Revision
	task.Spec.Container.SetupCommands = []string{"activate"}
	if commands := specOf(t, task).SetupCommands; !slices.Equal(commands, []string{"activate"}) || specOf(t, task).Revision == with {
		t.Errorf("the container's run within: %v", commands)
	}
	task.Spec.SetupCommands = []string{"module load y"}
	if other := specOf(t, task).Revision; before == with || with == other {
		t.Errorf("revisions %s, %s, %s", before, with, other)
	}
}

func TestImages(t *testing.T) {
	for image, want := range map[string]string{
		"whisper.sif":                   "/work space/whisper.sif",
		"images/sandbox":                "/work space/images/sandbox",
		"/opt/x.sif":                    "/opt/x.sif",
		"docker://ghcr.io/a/b@sha256:0": "docker://ghcr.io/a/b@sha256:0",
		"library://a/b:latest":          "library://a/b:latest",
		"oras://a/b":                    "oras://a/b",
		"docker-daemon:a:latest":        "docker-daemon:a:latest",
		"docker-archive:x.tar":          "docker-archive:/work space/x.tar",
		"oci-archive:/opt/x.tar":        "oci-archive:/opt/x.tar",
		"oci:layout:tag":                "oci:/work space/layout:tag",
	} {
		task := slurmTask()
		task.Spec.Container = &v1alpha1.Container{Image: image}
		if got := wantOf(task).Need.Container.Image; got != want {
			t.Errorf("%s: got %s, want %s", image, got, want)
		}
	}
	task := sampleTask()
	task.Spec.SetupCommands = []string{"a"}
	task.Spec.Container = &v1alpha1.Container{Image: "ghcr.io/a/b", SetupCommands: []string{"b"}}
	if commands := specOf(t, task).SetupCommands; !slices.Equal(commands, []string{"a", "b"}) {
		t.Errorf("those of a Pod all run within: %v", commands)
	}
	if got := wantOf(task).Need.Container.Image; got != "ghcr.io/a/b" {
		t.Errorf("that of a Pod: %s", got)
	}
}

func TestPreview(t *testing.T) {
	task := slurmTask()
	s, err := Preview(task)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil || s.Spool != "/elsewhere/out/.tigerflow/tasks/words" || s.Slurm.Partition != "gpu" || s.WallTime != 2*time.Hour {
		t.Errorf("%v: %+v", err, s)
	}
}
