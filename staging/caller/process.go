package caller

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/spool"
)

// startPython runs the package on PYTHONPATH. With -m Python would look in the working directory first, where the author may
// have a tigerflow.py; that folder is put back for the author's own imports.
const startPython = "import sys; first = [] if getattr(sys.flags, 'safe_path', False) else [sys.path.pop(0)]; " +
	"from tigerflow import _staging; sys.path[:0] = first or ['']; _staging.start()"

// process is a Python process, here or in another container.
type process interface {
	exchange(line []byte) []byte // sends a line and returns the one that answers it; a part of one, or none, if the process ends
	end()                        // kills the process with all of its group, and has exchange return
	how() string                 // it ended
}

// child is a Python process of this one, leader of its own process group. Its end of the pipe that requests come by tells it when
// this process is gone.
type child struct {
	cmd      *exec.Cmd
	log      *tail
	requests *os.File
	replies  *os.File
	lines    *bufio.Reader
	dead     chan struct{} // closed when it has ended and its group was killed

	mu     sync.Mutex
	reaped bool // the number may mean another process by now
}

// order is what a Python process is started by.
type order struct {
	Interpreter string     `json:"interpreter"`
	Package     spool.Name `json:"package"` // the Python package tigerflow
	Dir         spool.Name `json:"dir"`
	InputDir    spool.Name `json:"inputDir"`
	OutputDir   spool.Name `json:"outputDir"`
	Log         spool.Name `json:"log,omitempty"` // of a process in another container
}

// start has a process run, here or where the Config says.
func (c *Caller) start() (process, error) {
	path, err := c.install()
	if err != nil {
		return nil, fmt.Errorf("installing the Python package: %w", err)
	}
	o := order{
		Interpreter: cmp.Or(c.cfg.Interpreter, "python3"), Package: spool.Name(path), Dir: spool.Name(c.cfg.Dir),
		InputDir: spool.Name(c.cfg.InputDir), OutputDir: spool.Name(c.cfg.OutputDir),
	}
	if r := c.cfg.Remote; r != nil {
		o.Log = spool.Name(r.Log)
		return dial(c.closed, r.Socket, o)
	}
	return o.start(c.cfg.Env, c.log)
}

// start starts a process of this one. env is its environment; nil is that of this one.
func (o order) start(env []string, log *tail) (*child, error) {
	cmd := exec.Command(o.Interpreter, "-c", startPython, string(o.InputDir), string(o.OutputDir)) //nolint:noctx // it outlives the call
	cmd.Dir, cmd.Stdout, cmd.Stderr = string(o.Dir), log, log
	cmd.Env = withPythonPath(slices.Clone(env), string(o.Package))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // a child that has left the group may hold the log open
	theirRequests, requests, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirRequests.Close()
	replies, theirReplies, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, requests.Close())
	}
	defer theirReplies.Close()
	cmd.ExtraFiles = []*os.File{theirRequests, theirReplies} // descriptors 3 and 4
	p := &child{cmd: cmd, log: log, requests: requests, replies: replies, lines: bufio.NewReader(replies), dead: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting Python: %w", err), requests.Close(), replies.Close())
	}
	go p.bury()
	return p, nil
}

// withPythonPath has Python find a package first.
func withPythonPath(env []string, path string) []string {
	if env == nil {
		env = os.Environ()
	}
	for i, v := range env {
		if rest, ok := strings.CutPrefix(v, "PYTHONPATH="); ok && rest != "" {
			env[i] = "PYTHONPATH=" + path + string(os.PathListSeparator) + rest
			return env
		}
	}
	return append(env, "PYTHONPATH="+path)
}

// bury stays with the process until it is dead.
func (p *child) bury() {
	for errors.Is(unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	p.mu.Lock()
	_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) // what it left, while its number is still its own
	p.reaped = true
	p.mu.Unlock()
	_ = p.cmd.Wait() // how it ended is asked of ProcessState
	close(p.dead)
}

// kill kills the process with all of its group, if it is not dead yet.
func (p *child) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	}
}

// end returns when the process is dead.
func (p *child) end() {
	p.kill()
	<-p.dead
	_, _ = p.requests.Close(), p.replies.Close() // exchange returns
}

// how it ended, and the last that it printed.
func (p *child) how() string { return p.cmd.ProcessState.String() + p.log.lastLine() }

// exchange sends a line and returns the one that answers it; a part of one, or none, if the process ends.
func (p *child) exchange(line []byte) []byte {
	if _, err := p.requests.Write(line); err != nil {
		return nil
	}
	answer, err := p.lines.ReadBytes('\n')
	if err != nil {
		return nil
	}
	return answer
}
