package slurmbridge

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/slurmbridge/slurmtest"
	"tigerflow.dev/tigerflow/spool"
)

// containedTask is a Task whose worker runs in a container on the cluster.
type containedTask struct {
	t     *testing.T
	root  string
	spool *spool.Spool
	exec  *Executor
	spec  executor.Spec
}

// newContained makes a Task that runs a script of sh for its only input, in a folder whose name nobody would choose.
func newContained(t *testing.T, script string, image string) *containedTask {
	t.Helper()
	c := &containedTask{t: t, root: filepath.Join(t.TempDir(), `it's, 1:2 "q"`)}
	for _, dir := range []string{"in", "out", "elsewhere"} {
		if err := os.MkdirAll(filepath.Join(c.root, "work", dir), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	at := func(path string) spool.Name { return spool.Name(filepath.Join(c.root, "work", path)) }
	s, err := spool.Create(spool.Dir(string(at("out")), "a"), spool.Owner{Plane: "test", Name: "a"}, spool.Spec{
		Task: "a", Type: spool.TypeSlurm, WorkDir: at(""), InputDir: at("in"), InputExt: ".txt", OutputDir: at("out"), OutputExt: ".out",
		Handler: spool.Handler{Command: []string{"sh", "-c", script}}, Concurrency: 1, Durability: spool.None,
		Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := (&spool.Contender{Spool: s, Owner: s.Owner()}).Try()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Abandon)
	if _, err := lock.Feed(spool.Batch{Files: []spool.Name{"x.txt"}}); err != nil {
		t.Fatal(err)
	}
	c.spool = s
	id := executor.WorkerID{Key: s.ID(), Index: 0, Restart: 1}
	c.spec = executor.Spec{
		ID: id, Task: "a", Spool: s.Path(), Log: s.LogPath(id.String()), Args: []string{"--idle-timeout", "100ms"},
		Container:    executor.Container{Image: image, Binds: []executor.Bind{{Path: string(at(""))}}},
		DrainTimeout: time.Minute, WallTime: 10 * time.Minute,
	}
	t.Setenv("HIDDEN", "1")
	c.exec, err = New(Config{Install: workerbin.Install, Env: Environment(os.Environ()), timing: quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.exec.Stop(t.Context(), []executor.WorkerID{id}, executor.Kill)
		c.exec.Close()
	})
	return c
}

func (c *containedTask) path(name string) string { return filepath.Join(c.root, "work", name) }

func (c *containedTask) start() {
	c.t.Helper()
	if err := c.exec.Start(c.t.Context(), []executor.Spec{c.spec}); err != nil {
		c.t.Fatal(err)
	}
}

// until waits for something to become so on the shared file system.
func (c *containedTask) until(what string, holds func() bool) {
	c.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			log, _ := os.ReadFile(c.spec.Log)
			c.t.Fatalf("waited in vain for %s; the log:\n%s", what, log)
		}
	}
}

// phase is the worker's in the list, if it is there.
func (c *containedTask) phase() executor.Phase {
	list, _ := c.exec.List(c.t.Context())
	i := slices.IndexFunc(list, func(w executor.Worker) bool { return w.ID == c.spec.ID })
	if i < 0 {
		return ""
	}
	return list[i].Phase
}

// exit waits for the worker's exit record.
func (c *containedTask) exit(want spool.ExitReason) (exit spool.Exit) {
	c.t.Helper()
	c.until("the exit record", func() bool {
		var err error
		exit, err = c.spool.ReadExit(c.spec.ID.String())
		return err == nil
	})
	if exit.Reason != want {
		log, _ := os.ReadFile(c.spec.Log)
		c.t.Errorf("it ended with %s, %+v; want %s; the log:\n%s", exit.Reason, exit.Failure, want, log)
	}
	return exit
}

func (c *containedTask) input() {
	c.t.Helper()
	if err := os.WriteFile(c.path("in/x.txt"), []byte("x"), 0o666); err != nil {
		c.t.Fatal(err)
	}
}

func TestContainerLive(t *testing.T) {
	for _, image := range []string{"busybox", "busybox.sif"} {
		t.Run(image, func(t *testing.T) {
			c := newContained(t, "{ cat {input}; echo; env; pwd; echo 1 >/tmp/y; } > {output}", slurmtest.Image(t, image))
			c.input()
			c.spec.Resources.GPUs, c.spec.Slurm.Partition = 1, "gpu"
			c.spec.Container.SetupCommands = []string{`export OMP_NUM_THREADS='3 $HOME'`}
			c.start()
			c.exit(spool.ExitIdle)
			out, err := os.ReadFile(c.path("out/x.out"))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{
				"\nCUDA_VISIBLE_DEVICES=", "\nSLURM_ARRAY_TASK_ID=0\n", "\nTMPDIR=/tmp\n", "\nTIGERFLOW_CONTAINER=1\n",
				"\nOMP_NUM_THREADS=3 $HOME\n", c.path("") + "\n",
			} {
				if !strings.Contains(string(out), want) {
					t.Errorf("there is no %q", want)
				}
			}
			if strings.Contains(string(out), "HIDDEN") || t.Failed() {
				t.Errorf("inside it is\n%s", out)
			}
			c.until("the end of the job", func() bool { return c.phase().Terminal() })
			if left, err := filepath.Glob("/tmp/tigerflow.*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if born, err := c.spool.ReadBorn(c.spec.ID.String()); err != nil || !strings.HasSuffix(born.Job, "_0") {
				t.Errorf("it was born as %+v, %v", born, err)
			}
		})
	}
}

func TestContainerDrainsLive(t *testing.T) {
	c := newContained(t, "echo > begun; sleep 600", slurmtest.Image(t, "busybox.sif"))
	c.input()
	c.spec.DrainTimeout = time.Second
	c.start()
	c.until("the file in hand", func() bool { _, err := os.Stat(c.path("begun")); return err == nil })
	c.until("a listing that shows it", func() bool { return c.phase() == executor.Running })
	if err := c.exec.Stop(t.Context(), []executor.WorkerID{c.spec.ID}, executor.Drain); err != nil {
		t.Fatal(err)
	}
	c.exit(spool.ExitStopped)
}

func TestInputNotVisibleLive(t *testing.T) {
	c := newContained(t, "cat {input} > {output}", slurmtest.Image(t, "busybox.sif"))
	store := filepath.Join(c.root, "store")
	if err := os.MkdirAll(store, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store, "y"), []byte("y"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(store, "y"), c.path("in/x.txt")); err != nil {
		t.Fatal(err)
	}
	c.start()
	if exit := c.exit(spool.ExitInputNotVisible); exit.Failure == nil || !strings.Contains(exit.Failure.Message, "store") {
		t.Errorf("its word is %+v", exit.Failure)
	}
}

func TestImageThatIsNotThereLive(t *testing.T) {
	slurmtest.Image(t, "busybox.sif")
	c := newContained(t, "true", "/absent.sif")
	c.start()
	exit := c.exit(spool.ExitSetupFailed)
	if f := exit.Failure; f == nil || f.Type != "ContainerFailed" || !strings.Contains(f.Message, "container /absent.sif: exit status 255") ||
		!strings.Contains(f.Traceback, "FATAL") {
		t.Errorf("its word is %+v", f)
	}
}
