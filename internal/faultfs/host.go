package faultfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// fsName marks mounts as ours: leftovers of killed tests are found by it.
const fsName = "tigerflow-faultfs"

// Options say how a host caches. The zero value caches nothing and writes at once.
type Options struct {
	Attrs     time.Duration // how long attributes are believed
	Names     time.Duration // how long it is believed that a name is or is not there
	Listings  time.Duration // how long listings are
	WriteBack time.Duration // how long data may stay on the host; 0 writes at once
	// LaterFirst writes the last page of a file back first and the others a WriteBack later: others see NULs meanwhile.
	LaterFirst bool
	PageSize   int // default 4096
	// NoReplace supports renaming without overwriting, which NFS has not.
	NoReplace bool
	Decide    Decider // nil decides on no faults
}

// Host is one machine's mount of the tree.
type Host struct {
	server *Server
	name   string
	opts   Options
	fuse   *fuse.Server
	dir    string
	over   chan struct{} // closed by Close
	done   sync.WaitGroup

	mu     sync.Mutex
	inodes map[uint64]*inode // never forgotten: their descriptors keep inode numbers from being used again
	counts map[Op]int
	decide Decider
	hung   chan struct{} // not nil while the host hangs; closed when it goes on
	intr   bool          // a hanging operation is interrupted by any signal, not only by a deadly one
	lost   syscall.Errno // what everything answers once the mount is lost
}

// Mount mounts the tree at dir for a host of that name. It needs root or fusermount3.
func (s *Server) Mount(name, dir string, opts Options) (*Host, error) {
	if opts.PageSize == 0 {
		opts.PageSize = 4096
	}
	h := &Host{
		server: s, name: name, opts: opts, dir: dir, over: make(chan struct{}),
		inodes: map[uint64]*inode{}, counts: map[Op]int{}, decide: opts.Decide,
	}
	root, errno := h.at(unix.AT_FDCWD, s.dir)
	if errno != 0 {
		return nil, fmt.Errorf("opening %s: %w", s.dir, errno)
	}
	none := time.Duration(0)
	server, err := mountAlone(dir, &node{h: h, i: root}, &fs.Options{
		EntryTimeout: &none, AttrTimeout: &none, NegativeTimeout: &none, NullPermissions: true,
		RootStableAttr: &fs.StableAttr{Ino: root.ino, Mode: syscall.S_IFDIR},
		MountOptions: fuse.MountOptions{
			FsName: fsName, Name: "faultfs", DirectMount: true, DisableReadDirPlus: true, DisableXAttrs: true,
			AllowOther: os.Geteuid() == 0, MaxBackground: 128,
		},
	})
	if err != nil {
		h.closeAll()
		return nil, fmt.Errorf("mounting %s: %w", dir, err)
	}
	h.fuse = server
	if opts.WriteBack > 0 {
		h.done.Go(h.writeBackNowAndThen)
	}
	return h, nil
}

// mountAlone mounts while nothing is forked, and keeps the connection from children: one that had it would keep requests
// waiting when this process is gone.
func mountAlone(dir string, root *node, opts *fs.Options) (*fuse.Server, error) {
	if os.Geteuid() == 0 { // else a program has to be started
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		opts.DirectMountStrict = true
	}
	server, err := fs.Mount(dir, root, opts)
	if err != nil {
		return nil, err
	}
	fds, err := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && to == "/dev/fuse" {
			n, _ := strconv.Atoi(fd.Name()) // it is a number
			unix.CloseOnExec(n)
		}
	}
	return server, err
}

// Server is what the host mounts.
func (h *Host) Server() *Server { return h.server }

// Decide sets what goes wrong from now on.
func (h *Host) Decide(d Decider) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.decide = d
}

// Hang has every operation wait until Resume, Lose or Close, as a hard mount does whose server is silent. A process that
// is killed leaves its operation; with intr any signal makes it EINTR.
func (h *Host) Hang(intr bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hung == nil {
		h.hung = make(chan struct{})
	}
	h.intr = intr
}

// Resume ends Hang.
func (h *Host) Resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.resume()
}

func (h *Host) resume() {
	if h.hung != nil {
		close(h.hung)
		h.hung = nil
	}
}

// Lose takes the mount away for good: data that is not on the server is gone, and every operation that has not been done
// by now fails.
func (h *Host) Lose(errno syscall.Errno) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = errno
	for _, i := range h.inodes {
		i.pages = nil
	}
	h.resume()
}

// Close unmounts, also under processes that use the mount: what they wait for or ask from now on fails.
func (h *Host) Close() error {
	select {
	case <-h.over:
		return nil
	default:
	}
	h.mu.Lock()
	if h.lost == 0 {
		h.lost = syscall.EIO
	}
	h.resume()
	h.mu.Unlock()
	close(h.over)
	h.done.Wait()
	err := unmount(h.dir)
	h.fuse.Wait()
	h.closeAll()
	return err
}

func (h *Host) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.inodes {
		_ = unix.Close(i.fd) // it was only read from
	}
	clear(h.inodes)
}

// unmount has the kernel drop the connection: a file that somebody has open would keep it.
func unmount(dir string) error {
	err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)
	if errors.Is(err, unix.EPERM) {
		err = fusermount(dir)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // nothing is mounted there
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return nil
}

// do does an operation with what is decided to go wrong with it. Nothing is done once the mount is lost, so what was
// answered well was done before.
func (h *Host) do(ctx context.Context, op Op, path func() string, fn func(Fault) syscall.Errno) syscall.Errno {
	f := h.fault(op, path)
	if errno := h.wait(ctx, f.Delay); errno != 0 {
		return errno
	}
	if f.Before != 0 {
		return f.Before
	}
	h.mu.Lock()
	if h.lost != 0 {
		defer h.mu.Unlock()
		return h.lost
	}
	errno := fn(f)
	if f.Repeat && errno == 0 {
		errno = fn(f)
	}
	h.mu.Unlock()
	if errno == 0 && f.After != 0 {
		errno = f.After
	}
	if f.Late > 0 {
		h.pause(f.Late)
	}
	return errno
}

func (h *Host) fault(op Op, path func() string) Fault {
	h.mu.Lock()
	decide, n := h.decide, h.counts[op]
	h.counts[op]++
	h.mu.Unlock()
	if decide == nil {
		return Fault{}
	}
	return decide(Call{Op: op, Path: path(), N: n})
}

// wait is the time before an operation is done.
func (h *Host) wait(ctx context.Context, delay time.Duration) syscall.Errno {
	h.pause(delay)
	// It is asked beside: the kernel does not tell of a process that closes its files in execve(2) before it has the answer
	// that is waited for here.
	ends, asked := make(chan bool, 1), false
	for {
		h.mu.Lock()
		hung, intr := h.hung, h.intr
		h.mu.Unlock()
		if hung == nil {
			return 0
		}
		select {
		case <-hung:
		case asked = <-ends:
			if asked {
				return syscall.EINTR
			}
		case <-time.After(10 * time.Millisecond): // an exiting process sends no interrupt, and a second signal neither
			if intr && ctx.Err() != nil {
				return syscall.EINTR
			}
			if !asked {
				asked = true
				go func() { ends <- killed(ctx) }() // ends when the operation is answered at the latest
			}
		}
	}
}

func (h *Host) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-h.over:
	}
}

// killed reports whether the thread that waits for the operation has SIGKILL pending, is exiting, or is gone.
func killed(ctx context.Context) bool {
	caller, ok := fuse.FromContext(ctx)
	if !ok {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", caller.Pid))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		if mask, found := strings.CutPrefix(line, "SigPnd:"); found {
			var pending uint64
			_, err := fmt.Sscanf(mask, "%x", &pending)
			return err != nil || pending&(1<<(syscall.SIGKILL-1)) != 0 || exiting(caller.Pid)
		}
	}
	return true
}

// exiting looks for PF_EXITING among the flags of proc_pid_stat(5).
func exiting(tid uint32) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", tid))
	if err != nil {
		return true
	}
	const flags, exitingFlag = 6, 0x4 // the field's place behind the name
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) <= flags {
		return true
	}
	n, err := strconv.ParseUint(fields[flags], 10, 64)
	return err != nil || n&exitingFlag != 0
}
