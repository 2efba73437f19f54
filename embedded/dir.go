package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	runPrefix  = "run-"
	socketName = "etcd"
	// etcd takes about 17 MiB at once: two preallocated log segments and the database.
	minFree = 64 << 20
	// maxSocket is the shortest limit for the path of a Unix socket among the systems Go runs on.
	maxSocket = 104
)

// runDir is the private folder of one control plane. The lock on it, which the kernel drops with the process,
// tells a run from the leftovers of one that was killed; systemd-tmpfiles, too, leaves a locked folder alone.
type runDir struct {
	path string
	lock *os.File
}

// newRunDir makes a run folder below base, or below a folder of this user on a node-local disk if base is "".
// It first removes what killed runs left in base.
func newRunDir(base string) (*runDir, error) {
	var err error
	if base == "" {
		base, err = defaultBase(os.TempDir(), usable)
	} else {
		base, err = filepath.Abs(base)
	}
	if err != nil {
		return nil, err
	}
	if err := makeBase(base); err != nil {
		return nil, err
	}
	if err := usable(base); err != nil {
		return nil, err
	}
	if err := removeLeftovers(base); err != nil {
		return nil, err
	}
	return lockNew(base)
}

func (d *runDir) join(name string) string { return filepath.Join(d.path, name) }

// remove deletes the folder, then gives up the lock.
func (d *runDir) remove() error {
	return errors.Join(os.RemoveAll(d.path), d.lock.Close())
}

// defaultBase picks the first of tmp and the usual places that can hold the state.
func defaultBase(tmp string, usable func(string) error) (string, error) {
	tmp, err := filepath.Abs(tmp)
	if err != nil {
		return "", err
	}
	var unfit []string
	for i, dir := range []string{tmp, "/tmp", "/var/tmp", "/dev/shm"} {
		if i > 0 && dir == tmp {
			continue
		}
		base := filepath.Join(dir, fmt.Sprintf("tigerflow-%d", os.Getuid()))
		err := socketFits(base)
		if err == nil {
			err = usable(dir)
		}
		if err == nil {
			return base, nil
		}
		unfit = append(unfit, err.Error())
	}
	return "", fmt.Errorf("no place for its state: %s; set TMPDIR to a folder on a local disk", strings.Join(unfit, "; "))
}

// makeBase makes base, or checks that it is ours alone: whoever else could write there could replace our files.
func makeBase(base string) error {
	if err := socketFits(base); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(base, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(base, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: base, Err: err}
	}
	switch mode := st.Mode & 0o777; {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is not a folder: remove it, or set TMPDIR to another place", base)
	case int(st.Uid) != os.Getuid():
		return fmt.Errorf("%s belongs to another user (uid %d): set TMPDIR to another place", base, st.Uid)
	case mode&0o077 != 0:
		return fmt.Errorf("%s is open to other users (mode %#o): run chmod 700 on it", base, mode)
	}
	return nil
}

// lockNew makes a run folder and locks it. Between the two another process may have taken it for a leftover;
// then the next name is tried.
func lockNew(base string) (*runDir, error) {
	for {
		path, err := os.MkdirTemp(base, runPrefix)
		if err != nil {
			return nil, err
		}
		lock, err := tryLock(path)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		held, err := lock.Stat()
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
		if now, err := os.Lstat(path); err == nil && os.SameFile(held, now) {
			return &runDir{path: path, lock: lock}, nil
		}
		_ = lock.Close() // of a folder that is gone
	}
}

// removeLeftovers removes the run folders that no live process has locked.
func removeLeftovers(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), runPrefix) {
			continue
		}
		path := filepath.Join(base, e.Name())
		lock, err := tryLock(path)
		if err != nil {
			continue // in use, or gone by now
		}
		err = os.RemoveAll(path)
		_ = lock.Close()
		if err != nil {
			return fmt.Errorf("removing what a killed run left: %w", err)
		}
	}
	return nil
}

// tryLock opens the folder and locks it, or fails with EWOULDBLOCK.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// socketFits refuses a base so long that a socket in its run folders could not be bound.
func socketFits(base string) error {
	longest := filepath.Join(base, runPrefix+"4294967295", socketName)
	if over := len(longest) - maxSocket; over > 0 {
		return fmt.Errorf("%s is %d bytes too long for a Unix socket in it", base, over)
	}
	return nil
}

// usable refuses a folder that cannot hold the state: not writable, full, or not on a disk of this node.
func usable(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if name, remote := remoteFS[uint32(st.Type)]; remote {
		return fmt.Errorf("%s is on %s, and etcd needs a disk of this node", dir, name)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s is not writable: %w", dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < minFree {
		return fmt.Errorf("%s has %d MiB free, and %d MiB are needed", dir, free>>20, minFree>>20)
	}
	return nil
}

// remoteFS names the file systems that are, or with FUSE may be, on other nodes, by the magic number of statfs(2).
// Those that golang.org/x/sys does not know are from the sources of the file system.
var remoteFS = map[uint32]string{
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.SMB2_SUPER_MAGIC:  "SMB",
	unix.CIFS_SUPER_MAGIC:  "SMB",
	unix.CEPH_SUPER_MAGIC:  "CephFS",
	unix.AFS_SUPER_MAGIC:   "AFS",
	unix.AFS_FS_MAGIC:      "AFS",
	unix.CODA_SUPER_MAGIC:  "Coda",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	unix.V9FS_MAGIC:        "9P",
	unix.FUSE_SUPER_MAGIC:  "FUSE",
	0x0BD00BD0:             "Lustre", //nolint:misspell // a file system
	0x47504653:             "GPFS",
	0x19830326:             "BeeGFS",
	0xAAD7AAEA:             "PanFS",
	0x20030528:             "OrangeFS",
	0x01161970:             "GFS2",
}
