package handler

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launch describes a process to start.
type launch struct {
	argv  []string // the first is the path of the program
	env   []string
	dir   string
	files []*os.File // descriptors of the process from 0; nil is closed
}

// child is a started process, leader of its own process group.
type child struct {
	pid  int
	dead chan struct{} // closed when the process has ended and its group was killed

	mu     sync.Mutex
	reaped bool             // the number may mean another process by now
	state  *os.ProcessState // set before dead is closed
}

func startChild(ctx context.Context, l launch) (*child, error) {
	c := &child{dead: make(chan struct{})}
	started := make(chan error, 1)
	go c.own(ctx, l, started)
	return c, <-started
}

// own starts the process and stays with it until it is dead. The kernel sends Pdeathsig when the *thread* that forked
// ends, so this goroutine keeps its thread for as long as the process lives.
func (c *child) own(ctx context.Context, l launch, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	process, err := fork(ctx, l)
	if err != nil {
		started <- err
		return
	}
	c.pid = process.Pid
	started <- nil
	waitForEnd(c.pid)
	c.reap(process)
	c.reapGroup()
	close(c.dead)
}

func fork(ctx context.Context, l launch) (*os.Process, error) {
	attr := &os.ProcAttr{
		Dir:   l.dir,
		Env:   l.env,
		Files: l.files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	// A program just written is busy while a process forked meanwhile by another thread still holds it open.
	for pause := time.Millisecond; ; pause *= 2 {
		process, err := start(l.argv, attr)
		if !errors.Is(err, syscall.ETXTBSY) || pause > 500*time.Millisecond {
			return process, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// start starts a process and notes that it is ours to wait for.
func start(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	forking.RLock()
	defer forking.RUnlock()
	process, err := os.StartProcess(argv[0], argv, attr)
	if err == nil {
		started.Store(process.Pid, process)
	}
	return process, err
}

// waitForEnd waits until the process is dead and leaves it a zombie, so that its number stays its own.
func waitForEnd(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// reap kills what the dead leader left in its group, while the number of the group is still taken, and reaps the leader.
func (c *child) reap(process *os.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = unix.Kill(-c.pid, unix.SIGKILL)
	c.state, _ = process.Wait() // fails only if somebody else reaped it; state is nil then
	c.reaped = true
	started.CompareAndDelete(c.pid, process) // the number may be that of another by now
}

// reapGroup waits for the killed rest of the group, but not long for what cannot be killed. Only a subreaper has
// inherited it; for others this is ECHILD at once.
func (c *child) reapGroup() {
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		pid, err := unix.Wait4(-c.pid, nil, unix.WNOHANG, nil)
		switch {
		case pid > 0 || errors.Is(err, unix.EINTR):
		case err != nil:
			return
		default:
			<-retry.C
		}
	}
}

// kill ends the process group; dead follows.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = unix.Kill(-c.pid, unix.SIGKILL)
	}
}

// exit says how the process ended, once it is dead.
func (c *child) exit() Exit {
	if c.state == nil {
		return Exit{Code: -1}
	}
	e := Exit{Code: c.state.ExitCode()}
	if status, ok := c.state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	return e
}
