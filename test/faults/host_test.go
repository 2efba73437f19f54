package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/internal/tether"
)

// order is what a host is told.
type order struct {
	Op     string   `json:"op"` // start, signal (a process by its id), hit (processes of a role)
	ID     string   `json:"id,omitempty"`
	Argv   []string `json:"argv,omitempty"`
	Env    []string `json:"env,omitempty"`
	Log    string   `json:"log,omitempty"`
	Role   string   `json:"role,omitempty"`
	Pick   uint64   `json:"pick,omitempty"` // which of them
	All    bool     `json:"all,omitempty"`  // or all
	Signal int      `json:"signal,omitempty"`
}

// notice is what a host tells.
type notice struct {
	Ended  string `json:"ended,omitempty"` // the id of a process
	Code   int    `json:"code,omitempty"`
	Signal int    `json:"signal,omitempty"`
	Ready  bool   `json:"ready,omitempty"`
	Hit    *int   `json:"hit,omitempty"` // answer to hit: how many processes were hit
}

// runHost is the first process of a host's namespaces: it sees its own processes only, has a name of its own, and its mount
// of the tree lies where every host has it. When it ends, all of them do.
func runHost(mount, at, name string) error {
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount(mount, at, "", unix.MS_BIND, "") },
		func() error { return unmountAllBut(at) },
		func() error { return unix.Mount("proc", "/proc", "proc", 0, "") },
		func() error { return unix.Sethostname([]byte(name)) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("becoming a host: %w", err)
		}
	}
	h := &initProcess{ids: map[int]string{}, roles: map[int]string{}, out: json.NewEncoder(os.Stdout)}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			h.reap()
		}
	}()
	h.tell(notice{Ready: true})
	orders := json.NewDecoder(os.Stdin)
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			return nil //nolint:nilerr // the test lets go of the host
		}
		if err := h.obey(o); err != nil {
			return err
		}
	}
}

// unmountAllBut lets go of the mounts of other hosts, also of other seeds, which the namespace has copied.
func unmountAllBut(at string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "fuse.faultfs" && f[1] != at {
			err := unix.Unmount(f[1], unix.MNT_DETACH)
			// Its seed has just removed the place, and the mount with it.
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
				return err
			}
		}
	}
	return nil
}

type initProcess struct {
	mu    sync.Mutex
	ids   map[int]string
	roles map[int]string // of those that it has started itself
	out   *json.Encoder
}

func (h *initProcess) tell(n notice) {
	_ = h.out.Encode(n) // the test may have ended
}

func (h *initProcess) obey(o order) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o.Op {
	case "start":
		log, err := os.OpenFile(o.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
		if err != nil {
			return err
		}
		defer log.Close()
		null, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		defer null.Close()
		p, err := os.StartProcess(o.Argv[0], o.Argv, &os.ProcAttr{
			Env: append(os.Environ(), o.Env...), Files: []*os.File{null, log, log}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
		if err != nil {
			return err
		}
		h.ids[p.Pid], h.roles[p.Pid] = o.ID, o.Argv[1]
	case "signal":
		for pid, id := range h.ids {
			if id == o.ID {
				_ = syscall.Kill(pid, syscall.Signal(o.Signal))
			}
		}
	case "hit":
		pids := h.pidsOf(o.Role)
		if len(pids) > 0 && !o.All {
			pids = []int{pids[o.Pick%uint64(len(pids))]}
		}
		n := 0
		for _, pid := range pids {
			if syscall.Kill(pid, syscall.Signal(o.Signal)) == nil {
				n++
			}
		}
		h.tell(notice{Hit: &n})
	}
	return nil
}

// reap waits for ended processes, and ends what a worker has left before it tells of it, as a scheduler does.
func (h *initProcess) reap() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
		id, known := h.ids[pid]
		if !known {
			continue
		}
		delete(h.ids, pid)
		delete(h.roles, pid)
		go func() {
			_ = tether.EndWorker(context.Background(), id, 0) // without a deadline it ends when nothing is left
			h.mu.Lock()
			defer h.mu.Unlock()
			n := notice{Ended: id, Code: status.ExitStatus()}
			if status.Signaled() {
				n.Signal = int(status.Signal())
			}
			h.tell(n)
		}()
	}
}

// pidsOf finds the processes of a role: node, user, or run, which is a worker. In the middle of exec a process shows no
// arguments.
func (h *initProcess) pidsOf(role string) []int {
	var pids []int
	for pid, its := range h.roles {
		if its == role {
			pids = append(pids, pid)
		}
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if argv := strings.Split(string(line), "\x00"); len(argv) > 1 && argv[1] == role && h.roles[pid] == "" {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// machine is a host as the test has it.
type machine struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	hits chan int
	done chan struct{} // closed when all its processes have ended

	mu     sync.Mutex
	orders *json.Encoder
}

// startMachine starts a host whose mount of the tree lies at mount, and is seen at the place at.
func startMachine(self, name, mount, at string, ended func(notice)) (*machine, error) {
	cmd := exec.Command(self, "host", mount, at, name)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL,
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	m := &machine{name: name, cmd: cmd, in: in, hits: make(chan int, 1), done: make(chan struct{}), orders: json.NewEncoder(in)}
	ready := make(chan struct{})
	go func() { // ends with the host
		defer close(m.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var n notice
			switch err := json.Unmarshal(lines.Bytes(), &n); {
			case err != nil:
			case n.Ready:
				close(ready)
			case n.Hit != nil:
				m.hits <- *n.Hit
			default:
				ended(n)
			}
		}
		_ = cmd.Wait() // it was killed
	}()
	select {
	case <-ready:
		return m, nil
	case <-m.done:
		return nil, fmt.Errorf("host %s did not come up: %v", name, cmd.ProcessState)
	}
}

func (m *machine) order(o order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.orders.Encode(o) // it may have ended
}

// hit sends a signal to one process of a role, and reports whether there was one.
func (m *machine) hit(role string, pick uint64, s syscall.Signal) bool {
	return m.strike(order{Op: "hit", Role: role, Pick: pick, Signal: int(s)}) > 0
}

// hitAll sends a signal to all processes of a role, and counts them. Signal 0 only counts.
func (m *machine) hitAll(role string, s syscall.Signal) int {
	return m.strike(order{Op: "hit", Role: role, All: true, Signal: int(s)})
}

func (m *machine) strike(o order) int {
	m.order(o)
	select {
	case n := <-m.hits:
		return n
	case <-m.done:
		return 0
	}
}

// crash ends all processes of the host at once. One that waits for the file system may not end before that is gone.
func (m *machine) crash() error {
	_ = m.cmd.Process.Kill() // it may have ended
	select {
	case <-m.done:
		return nil
	case <-time.After(killTime):
		return fmt.Errorf("host %s does not end when it is killed", m.name)
	}
}
