package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// With childMode set, the test binary is a process with a control plane: the mode is "serve", or the options of a
// small tmpfs to mount at the parent of childDir first.
const (
	childMode = "EMBEDDED_TEST_CHILD"
	childDir  = "EMBEDDED_TEST_CHILD_DIR"
)

// runChild prints the path of the kubeconfig, or an error. It serves until its stdin ends; with a line on stdin it
// fills the disk and then waits for the control plane to end by itself.
func runChild(mode string) int {
	Quiet(funcr.New(func(prefix, line string) { fmt.Fprintln(os.Stderr, prefix, line) }, funcr.Options{}))
	if err := serveChild(mode, os.Getenv(childDir)); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func serveChild(mode, dir string) error {
	if mode != "serve" {
		if err := mountSmall(filepath.Dir(dir), mode); err != nil {
			return err
		}
	}
	crds, err := readCRDs()
	if err != nil {
		return err
	}
	c, err := Start(context.Background(), Options{Dir: dir, CRDs: crds})
	if err != nil {
		return err
	}
	fmt.Println(c.Kubeconfig())
	in, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err == nil && in == "fill\n" {
		if err := fill(c, filepath.Join(filepath.Dir(dir), "filler")); err != nil {
			return err
		}
	}
	return c.Stop()
}

func mountSmall(at, options string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	var flags uintptr
	if rest, ok := strings.CutPrefix(options, "ro,"); ok {
		flags, options = unix.MS_RDONLY, rest
	}
	return unix.Mount("tmpfs", at, "tmpfs", flags, options)
}

// fill takes all space with a file, then creates objects until that ends the control plane.
func fill(c *ControlPlane, filler string) error {
	f, err := os.Create(filler)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("filling the disk: %w", err)
	}
	cl, err := client.New(c.RESTConfig(), client.Options{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-c.Done()
		cancel()
	}()
	for i := 0; ctx.Err() == nil; i++ {
		errand := newErrand(fmt.Sprintf("errand-%d", i), strings.Repeat("x", 100))
		errand.SetAnnotations(map[string]string{"padding": strings.Repeat("x", 200_000)})
		_ = cl.Create(ctx, errand)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// startChild runs a control plane in a process of its own.
func startChild(t *testing.T, mode, dir string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	c.cmd.Stderr = &c.stderr
	if mode != "serve" {
		c.cmd.SysProcAttr = namespaces()
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewReader(stdout)
	if err := c.cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) && mode != "serve" {
			cannot(t, "this user may not make namespaces: "+err.Error())
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	return c
}

// namespaces lets any user mount.
func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

// line reads what the child says next.
func (c *child) line(t *testing.T) string {
	t.Helper()
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("reading from the child: %v; stderr: %s", err, c.stderr.String())
	}
	return strings.TrimSuffix(line, "\n")
}

func TestSilent(t *testing.T) {
	dir := stateDir(t)
	child := startChild(t, "serve", dir)
	config, err := clientcmd.BuildConfigFromFlags("", child.line(t))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	plane := &ControlPlane{config: config}
	openWatch(t, plane)
	if err := newClient(t, plane).Create(t.Context(), newErrand("shop", "milk")); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		leaveEarly(t, plane, time.Duration(i)*50*time.Microsecond)
	}
	openPost(t, plane)
	child.stdin.Close()
	if err := child.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if child.stderr.Len() > 0 {
		t.Errorf("on stderr: %s", child.stderr.String())
	}
}

// leaveEarly begins requests and gives them up after a while.
func leaveEarly(t *testing.T, c *ControlPlane, after time.Duration) {
	t.Helper()
	cl := newClient(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(after, cancel).Stop()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(errandKind)
	for _, err := range []error{cl.Create(ctx, newErrand("errand-"+after.String(), "leave")), cl.List(ctx, list)} {
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
}

func TestKilledRunIsRemoved(t *testing.T) {
	dir := stateDir(t)
	killed, alive := startChild(t, "serve", dir), startChild(t, "serve", dir)
	left := filepath.Dir(killed.line(t))
	kept := filepath.Dir(alive.line(t))
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.cmd.Wait()
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("the killed run left nothing to remove: %v", err)
	}

	c, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	runs := runsIn(t, dir)
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if len(runs) != 2 {
		t.Errorf("run folders: %q, want that of a live run and our own", runs)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the killed run: %v", err)
	}
	if _, err := os.Stat(filepath.Join(kept, "kubeconfig")); err != nil {
		t.Errorf("the folder of the live run: %v", err)
	}
}

func TestBadDisk(t *testing.T) {
	for _, tt := range []struct{ name, mount, want string }{
		{"full", "size=20m", "has 20 MiB free, and 64 MiB are needed"},
		{"read-only", "ro,size=100m", "read-only file system"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			child := startChild(t, tt.mount, stateDir(t))
			if got := child.line(t); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want an error with %q", got, tt.want)
			}
			if child.stdout.Buffered() > 0 {
				t.Error("the error is of more than one line")
			}
		})
	}
}

func TestDiskFillsUp(t *testing.T) {
	child := startChild(t, "size=80m", stateDir(t))
	child.line(t)
	if _, err := io.WriteString(child.stdin, "fill\n"); err != nil {
		t.Fatal(err)
	}
	if got := child.line(t); !strings.HasPrefix(got, "error: etcd: ") || !strings.Contains(got, "no space left on device") {
		t.Errorf("got %q, want an error of etcd for want of space; stderr: %s", got, child.stderr.String())
	}
}
