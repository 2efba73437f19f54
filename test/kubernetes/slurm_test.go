package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// login is the login node of a Slurm cluster, as its user hpc.
type login struct {
	dir string // the cluster's: what is in shared has the same path on its nodes and here
}

// hpc is the uid of the user.
const hpc = 2001

// run runs a command on the login node.
func (n login) run(args ...string) (string, error) {
	cmd := exec.Command("../../hack/slurm/enter.sh", append([]string{"-u", "hpc"}, args...)...)
	cmd.Env = append(os.Environ(), "LAB="+n.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

func (n login) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := n.run(args...)
	must(t, err)
	return out
}

// until waits until the jobs that have not ended are all in a state; "" is none.
func (n login) until(t *testing.T, state, what string) {
	t.Helper()
	until(t, what+" in the queue", func() bool { return n.must(t, "squeue", "--me", "--noheader", "--format=%T") == state })
}

// bridge installs a bridge as docs/kubernetes.md tells, and has it run until the test ends.
func (n login) bridge(p *place) {
	p.Helper()
	home := filepath.Join(n.dir, "shared", p.namespace+"-home")
	must(p.T, os.MkdirAll(home, 0o700))
	account := exec.Command("../../hack/bridge-kubeconfig.sh", p.namespace, "default", home)
	account.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(p.dir, "admin.kubeconfig"), "PATH="+filepath.Join(p.dir, "bin")+":"+os.Getenv("PATH"))
	if out, err := account.CombinedOutput(); err != nil {
		p.Fatalf("%s: %v\n%s", account, err, out)
	}
	program, err := os.ReadFile("../../bin/slurmbridge")
	must(p.T, err)
	must(p.T, os.WriteFile(filepath.Join(home, "slurmbridge"), program, 0o755))
	limits := fmt.Sprintf("roots: [%s]\nimages: [%s]\n", p.folder, p.file("images", "*"))
	must(p.T, os.WriteFile(filepath.Join(home, "limits.yaml"), []byte(limits), 0o600))
	must(p.T, exec.Command("chown", "-R", fmt.Sprint(hpc), home).Run())

	out := n.must(p.T, filepath.Join(home, "slurmbridge"), "--kubeconfig", filepath.Join(home, "default.kubeconfig"),
		"--limits", filepath.Join(home, "limits.yaml"), "--map-path", "/workspace="+p.folder, "--background")
	said := regexp.MustCompile(`^Started \(pid (\d+)\)\. Its messages go to (\S+)\.`).FindStringSubmatch(out)
	if said == nil {
		p.Fatalf("the bridge says %q", out)
	}
	p.Cleanup(func() {
		n.must(p.T, "kill", said[1])
		must(p.T, os.RemoveAll(home))
	})
	p.Cleanup(func() {
		if p.Failed() {
			for _, args := range [][]string{{"cat", said[2]}, {"scontrol", "show", "jobs"}} {
				out, err := n.run(args...)
				p.Logf("%v: %v\n%s", args, err, out)
			}
		}
		p.kubectl("delete", "pipelines,tasks", "--all", "--timeout="+patience.String())
	})
}

// shout runs in a container, and finds what params and code name where the cluster has it. It cannot bear some files.
const shout = `from typing import Annotated
from tigerflow.tasks import SlurmTask

class T(SlurmTask):
    class Params:
        suffix: Annotated[str, "a file with what is put behind"]

    @staticmethod
    def setup(context):
        context.prefix = open("/workspace/code/prefix").read()
        context.end = open(context.suffix).read()

    @staticmethod
    def run(context, input_file, output_file):
        text = input_file.read_text()
        if text.endswith("00"):
            raise ValueError("too round")
        output_file.write_text(context.prefix + text.upper() + context.end)
`

const measure = `from tigerflow.tasks import LocalAsyncTask

class T(LocalAsyncTask):
    @staticmethod
    async def run(context, input_file, output_file):
        text = input_file.read_text()
        if "11" in text:
            raise ValueError("too often")
        output_file.write_text(f"{len(text)} {text}")
`

// between is a Pipeline with tasks in pods between tasks on Slurm, which are one in a container and one that is a plain program.
const between = `
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: between, namespace: %s}
spec:
  workspace: {path: /workspace, volume: {persistentVolumeClaim: {claimName: workspace}}}
  input: {directory: in, extension: .txt}
  output: {directory: results}
  completeAfterIdle: 0s
  tasks:
  - name: shout
    type: Slurm
    slurm: {time: 10m}
    outputPolicy: Delete
    output: {extension: .loud}
    handler: {python: {module: /workspace/code/shout.py}}
    params: {suffix: /workspace/code/suffix}
    container: {image: /workspace/images/python.sif}
    scaling: {maxWorkers: 2}
  - name: measure
    dependsOn: shout
    type: LocalAsync
    localAsync: {concurrency: 10}
    outputPolicy: Delete
    output: {extension: .long}
    handler: {python: {module: code/measure.py}}
  - name: store
    dependsOn: measure
    type: Local
    output: {extension: .txt}
    handler: {command: [cp, "{input}", "{output}"]}
  - name: count
    dependsOn: measure
    type: Slurm
    slurm: {time: 10m}
    output: {extension: .n}
    handler: {command: [/workspace/code/count, "{input}", "{output}"]}
`

// lasting is a Pipeline with a worker on Slurm as long as it is there.
const lasting = `
apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: lasting, namespace: %s}
spec:
  workspace: {path: /workspace, volume: {persistentVolumeClaim: {claimName: workspace}}}
  input: {directory: in, extension: .txt}
  output: {directory: lasting}
  tasks:
  - name: copy
    type: Slurm
    slurm: {time: 10m}
    output: {extension: .copy}
    handler: {builtin: echo}
    scaling: {minWorkers: 1}
`

// testSlurm: one Pipeline over one tree, which pods have as their workspace and a Slurm cluster at a path of its own, with a bridge on the
// login node of that.
func testSlurm(t *testing.T, l lab) {
	n := login{dir: os.Getenv("TIGERFLOW_K8S_SLURM")}
	if n.dir == "" {
		t.Skip("needs a Slurm cluster beside the Kubernetes cluster: make test-kubernetes where both can be brought up")
	}
	namespace, _ := namespaceOf(t.Name())
	p := newPlaceIn(t, l, namespace, filepath.Join(n.dir, "shared"), hpc)
	p.inputs(300)
	p.code()
	n.must(t, "apptainer", "--quiet", "build", p.file("images", "python.sif"), "oci-archive:"+filepath.Join(n.dir, "shared", "python.tar"))
	n.bridge(p)

	p.apply(fmt.Sprintf(between, p.namespace))
	p.complete("pipeline/between")
	// Of the inputs 2 are too round, and 12 of the others have too many ones.
	p.wantCounts("task/between-shout", "done failed", "298 2")
	p.wantCounts("task/between-measure", "done failed", "286 12")
	p.wantCounts("task/between-store", "done failed", "286 0")
	p.wantCounts("task/between-count", "done failed", "286 0")
	p.wantCounts("pipeline/between", "finished failed inProgress staged", "286 14 0 0")
	p.wantFiles("results/store/*", 286)
	p.wantFiles("results/count/*", 286)
	p.wantFiles("results/.tigerflow/tasks/*/outputs/*.err", 14)
	// What was in between is gone, but for what is needed when the failed files are run again.
	p.wantFiles("results/.tigerflow/tasks/shout/outputs/*.loud", 12)
	p.wantFiles("results/.tigerflow/tasks/measure/outputs/*.long", 0)
	for name, want := range map[string]string{"store/00007.txt": "11 <CONTENT 7>", "count/00042.n": "15\n"} {
		if got, err := os.ReadFile(p.file("results", name)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v, want %q", name, got, err, want)
		}
	}
	p.check("results")
	if spec := p.kubectl("get", "task", "between-shout", "-o", "jsonpath={.spec}"); strings.Contains(spec, p.folder) {
		t.Errorf("the bridge has written its own paths into the Task: %s", spec)
	}
	n.until(t, "", "no jobs")

	p.apply(fmt.Sprintf(lasting, p.namespace))
	n.until(t, "RUNNING", "a job")
	p.kubectl("delete", "pipeline", "lasting", "--timeout="+patience.String())
	n.until(t, "", "no jobs")
	until(t, "the end of the Task", func() bool {
		return p.kubectl("get", "tasks", "-l", "tigerflow.dev/pipeline=lasting", "-o", "name") == ""
	})
}

// code writes what the Pipelines run, and makes the folder for an image.
func (p *place) code() {
	p.Helper()
	for _, dir := range []string{"code", "images"} {
		must(p.T, os.Mkdir(p.file(dir), 0o755))
		must(p.T, os.Chown(p.file(dir), p.uid, -1))
	}
	for name, text := range map[string]string{
		"shout.py": shout, "prefix": "<", "suffix": ">", "measure.py": measure, "count": "#!/bin/sh\nwc -c <\"$1\" >\"$2\"\n",
	} {
		p.write(text, "code", name)
	}
	must(p.T, os.Chmod(p.file("code", "count"), 0o755))
}

// wantCounts checks some of an object's status.files.
func (p *place) wantCounts(object, counts, want string) {
	p.Helper()
	var paths []string
	for count := range strings.FieldsSeq(counts) {
		paths = append(paths, "{.status.files."+count+"}")
	}
	if got := p.kubectl("get", object, "-o", "jsonpath="+strings.Join(paths, " ")); got != want {
		p.Errorf("of %s %s are %s, want %s", object, counts, got, want)
	}
}

// wantFiles checks how many files there are, and that all are the user's.
func (p *place) wantFiles(pattern string, want int) {
	p.Helper()
	list, err := filepath.Glob(p.file(pattern))
	must(p.T, err)
	if len(list) != want {
		p.Errorf("%s are %d, want %d", pattern, len(list), want)
	}
	for _, path := range list {
		if info, err := os.Stat(path); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != p.uid {
			p.Errorf("%s is not the user's: %v, %v", path, info, err)
		}
	}
}
