package pod

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/config/crd"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/executortest"
)

// TestMain makes the test binary a worker program, and the author's: `<test binary> solo INPUT OUTPUT`.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "solo" {
		if err := solo(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 6 && os.Args[1] == "run" && os.Args[6] == "--eat" {
		eat()
	}
	executortest.Main(m)
}

// eat takes memory until it is killed for it.
func eat() {
	for all := [][]byte{}; ; {
		all = append(all, bytes.Repeat([]byte{1}, 1<<20))
	}
}

// nobody is who the workers of tests are.
var nobody = Identity{UID: 65532, GID: 65532}

// lab is a namespace of a real cluster, at the level Restricted, with a folder of this machine as its workspace.
type lab struct {
	testing.TB
	dir, namespace, workspace string
	client                    client.Client
	pods                      typedcorev1.PodInterface
	task                      *v1alpha1.Task
	image                     string // of the worker
}

// newLab needs a cluster that hack/kubernetes/up.sh has brought up.
func newLab(t testing.TB) *lab {
	t.Helper()
	dir := os.Getenv("TIGERFLOW_K8S_LAB")
	if dir == "" {
		t.Skip("needs a Kubernetes cluster: make test-kubernetes")
	}
	return newLabIn(t, dir)
}

// newOwnLab has a cluster to itself, beside the one of newLab, for what would disturb others.
func newOwnLab(t testing.TB) *lab {
	t.Helper()
	beside := os.Getenv("TIGERFLOW_K8S_LAB")
	if beside == "" {
		t.Skip("needs a Kubernetes cluster: make test-kubernetes")
	}
	l := &lab{TB: t, dir: beside + "-" + strings.ToLower(t.Name())}
	t.Cleanup(func() { // the last: its folder has the workspace
		l.run("hack/kubernetes/down.sh")
		l.must(os.RemoveAll(l.dir))
	})
	l.run("hack/kubernetes/up.sh")
	return newLabIn(t, l.dir)
}

func newLabIn(t testing.TB, dir string) *lab {
	t.Helper()
	l := &lab{TB: t, dir: dir}
	l.namespace = fmt.Sprintf("pods-%x", time.Now().UnixNano())
	l.workspace = filepath.Join(l.dir, "shared", l.namespace)
	l.must(os.Mkdir(l.workspace, 0o777))
	t.Cleanup(func() { l.must(os.RemoveAll(l.workspace)) })
	l.open(l.workspace)
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(l.dir, "admin.kubeconfig"))
	l.must(err)
	ctrllog.SetLogger(logr.Discard())
	config.QPS, config.Burst = 200, 400
	core, err := typedcorev1.NewForConfig(config)
	l.must(err)
	l.pods = core.Pods(l.namespace)
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	l.client, err = client.New(config, client.Options{Scheme: scheme})
	l.must(err)
	l.prepare()
	return l
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// open lets the workers' user write below a folder.
func (l *lab) open(root string) {
	l.Helper()
	l.must(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o777) //nolint:gosec // other users are to write there
		}
		return err
	}))
}

// prepare makes what a Task needs, and the Task.
func (l *lab) prepare() {
	l.Helper()
	crds, err := crd.All()
	l.must(err)
	for _, c := range crds {
		l.kubectl("apply", "--server-side", "-f", "config/crd/bases/"+c.Spec.Group+"_"+c.Spec.Names.Plural+".yaml")
	}
	// kubectl wait fails for a CustomResourceDefinition that has no conditions yet.
	l.must(wait.PollUntilContextTimeout(l.Context(), 100*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		return l.client.List(ctx, &v1alpha1.TaskList{}) == nil, nil
	}))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: l.namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	l.create(ns)
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	l.create(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: l.namespace}, Spec: corev1.PersistentVolumeSpec{
		Capacity: size, AccessModes: modes, ClaimRef: &corev1.ObjectReference{Namespace: l.namespace, Name: "workspace"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: l.workspace}},
	}})
	l.create(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "workspace"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: modes, StorageClassName: new(""), VolumeName: l.namespace, Resources: corev1.VolumeResourceRequirements{Requests: size},
	}})
	l.task = &v1alpha1.Task{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: "demo"}}
	l.task.Spec.Type = v1alpha1.TaskLocalAsync
	l.task.Spec.LocalAsync = &v1alpha1.LocalAsync{Concurrency: 1}
	l.task.Spec.Workspace.Path = l.workspace
	l.task.Spec.Workspace.Volume = &v1alpha1.WorkspaceVolume{PersistentVolumeClaim: v1alpha1.PersistentVolumeClaim{ClaimName: "workspace"}}
	l.task.Spec.Input, l.task.Spec.Output = v1alpha1.FileSet{Directory: "in", Extension: ".a"}, v1alpha1.FileSet{Directory: "out", Extension: ".b"}
	l.task.Spec.Handler.Builtin = "echo"
	l.create(l.task)
}

// create makes an object, and ends it with the test.
func (l *lab) create(o client.Object) {
	l.Helper()
	l.must(l.client.Create(l.Context(), o))
	l.Cleanup(func() {
		if err := client.IgnoreNotFound(l.client.Delete(context.Background(), o)); err != nil {
			l.Error(err)
		}
	})
}

// build makes an image with this package's test binary as /tigerflow-worker, and returns its name.
func (l *lab) build() string {
	l.Helper()
	folder := filepath.Join(l.TempDir(), "scripted")
	l.must(os.Mkdir(folder, 0o700))
	binary := filepath.Join(folder, "test")
	l.must(os.WriteFile(filepath.Join(folder, "image.yaml"), []byte("files: {/tigerflow-worker: "+binary+"}\n"), 0o600))
	l.run("go", "test", "-c", "-o", binary, "./executor/pod")
	return l.load(folder)
}

// load builds the image of a folder, and has the node have it.
func (l *lab) load(folder string) string {
	l.Helper()
	archives, name := l.TempDir(), filepath.Base(folder)
	l.run("go", "run", "./hack/images", "-o", archives, "-repository", "test.local", "-version", l.namespace, "-platforms", "linux/"+l.arch(), folder)
	l.node("ctr", "-n", "k8s.io", "images", "import", "--digests=false", filepath.Join(archives, name+".tar"))
	image := "test.local/" + name + ":" + l.namespace
	l.Cleanup(func() { l.node("ctr", "-n", "k8s.io", "images", "rm", image) })
	return image
}

func (l *lab) arch() string { return strings.TrimSpace(l.run("go", "env", "GOARCH")) }

// run runs a program at the root of the repository.
func (l *lab) run(name string, args ...string) string {
	l.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0", "LAB="+l.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.Fatalf("%s: %v\n%s", strings.Join(append([]string{name}, args...), " "), err, out)
	}
	return string(out)
}

// node runs a program as root on the node.
func (l *lab) node(args ...string) string {
	l.Helper()
	return l.run("hack/kubernetes/enter.sh", args...)
}

// light starts workers that ask for nothing: a small node has room for many.
type light struct{ view }

func (l light) Start(ctx context.Context, specs []executor.Spec) error {
	for i := range specs {
		specs[i].Resources = executor.Resources{}
	}
	return l.view.Start(ctx, specs)
}

// executor is one for the Task of the lab.
func (l *lab) executor() *Executor {
	return New(Config{
		Pods: l.pods, Select: labels.Set{v1alpha1.LabelTask: l.task.Name}, As: nobody,
		Images: Images{Worker: l.image, Python: l.image, Pull: corev1.PullIfNotPresent},
	})
}

func TestConformance(t *testing.T) {
	l := newLab(t)
	l.image = l.build()
	t.Setenv("TMPDIR", l.workspace)
	executortest.Run(t, executortest.Harness{
		Open: func(t *testing.T) executor.Executor {
			l.open(filepath.Dir(t.TempDir()))
			return light{view{l.executor(), l.task}}
		},
		Close:   func(_ *testing.T, e executor.Executor) { e.(light).Close() },
		Outlive: true, UTF8: true, Unhurried: true, Patience: 5 * time.Minute,
	})
}
