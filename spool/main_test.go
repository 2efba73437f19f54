package spool

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
	"testing"
	"time"
)

// roleVar names the role that this test binary plays when a test has started it as a process of its own.
const roleVar = "SPOOL_TEST_ROLE"

// roles are what such processes do. An error is told to the test on stderr.
var roles = map[string]func(args []string) error{
	"create":     roleCreate,
	"hold":       roleHold,
	"contend":    roleContend,
	"churn":      roleChurn,
	"claim":      roleClaim,
	"bear":       roleBear,
	"shortWrite": roleShortWrite,
	"wait":       roleWait,
	"hidden":     roleHidden,
	"readOnly":   roleReadOnly,
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "role %s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is this test binary in a role.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
}

// start runs a role in a process of its own, which is killed with the test if it has not ended before.
func start(t *testing.T, role string, args ...string) *child {
	t.Helper()
	return startCommand(t, command(t, role, args...))
}

func command(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	return cmd
}

func startCommand(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{t: t, cmd: cmd, stderr: &bytes.Buffer{}}
	cmd.Stderr = c.stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	c.in, c.out = in, bufio.NewReader(out)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // most have ended
		_ = cmd.Wait()
	})
	return c
}

// line waits for the child's next line.
func (c *child) line() string {
	c.t.Helper()
	s, err := c.out.ReadString('\n')
	if err != nil {
		_ = c.cmd.Wait()
		c.t.Fatalf("no answer: %v\n%s", err, c.stderr)
	}
	return strings.TrimSuffix(s, "\n")
}

// release lets a child go on that waits in released.
func (c *child) release() { c.in.Close() }

// end waits for a child that is to end well, and gives its remaining lines.
func (c *child) end() []string {
	c.t.Helper()
	c.release()
	rest, err := io.ReadAll(c.out)
	must(c.t, err)
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("%v\n%s", err, c.stderr)
	}
	return strings.Fields(string(rest))
}

// kill ends the child at once and reaps it.
func (c *child) kill() {
	c.t.Helper()
	must(c.t, c.cmd.Process.Kill())
	if err := c.cmd.Wait(); err == nil {
		c.t.Fatal("the child ended well although it was killed")
	}
}

// released waits, in a child, for the test's word.
func released() { _, _ = io.Copy(io.Discard, os.Stdin) }

func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

// roleWait waits, under the name that it is given.
func roleWait(args []string) error {
	if len(args) > 0 {
		if err := os.WriteFile("/proc/self/comm", []byte(args[0]), 0); err != nil {
			return err
		}
	}
	say("ready")
	released()
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition that another process or the kernel brings about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

var testOwner = Owner{Plane: "embedded", Namespace: "default", Name: "demo"}

// newSpool makes the spool of a Task from .txt to .out with its input and output folders.
func newSpool(t *testing.T) *Spool {
	t.Helper()
	return newSpoolIn(t, t.TempDir())
}

func newSpoolIn(t *testing.T, root string) *Spool {
	t.Helper()
	spec := testSpec(root)
	for _, dir := range []Name{spec.InputDir, spec.OutputDir} {
		must(t, os.MkdirAll(string(dir), 0o777))
	}
	s, err := Create(Dir(string(spec.OutputDir), spec.Task), testOwner, spec)
	must(t, err)
	return s
}

func testSpec(root string) Spec {
	return Spec{
		Task: "demo", Type: TypeLocalAsync, WorkDir: Name(root),
		InputDir: Name(filepath.Join(root, "in")), InputExt: ".txt",
		OutputDir: Name(filepath.Join(root, "out")), OutputExt: ".out",
		Handler: Handler{Builtin: "echo"}, Concurrency: 2, Durability: None,
		Retry: Retry{Attempts: 1, CrashLimit: 3},
	}
}

// lock takes the spool's lock, which must be free.
func lock(t *testing.T, s *Spool) *Lock {
	t.Helper()
	c := Contender{Spool: s, Owner: testOwner}
	l, err := c.Try()
	must(t, err)
	t.Cleanup(l.Abandon)
	return l
}

func bear(t *testing.T, s *Spool, id string) *Worker {
	t.Helper()
	w, born, err := s.Bear(id, Born{Time: time.Now()})
	must(t, err)
	if !born {
		t.Fatalf("the slot of worker %s is taken", id)
	}
	t.Cleanup(func() {
		_ = w.Journal.f.Close() // closed already by Exit
		_ = w.Current.Close()
	})
	return w
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o666))
}

func wantIs(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want %v", err, target)
	}
}
