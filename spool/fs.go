package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// IsStorage reports whether err says that the storage, not the file at hand, is at fault: it is full, over quota, read
// only, it failed, its server is out of reach, or it hung until the call was interrupted (language runtimes repeat any other
// EINTR by themselves). Work waits until the storage is well again.
func IsStorage(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && IsStorageErrno(errno)
}

// IsStorageErrno is IsStorage for the number that a handler reported.
func IsStorageErrno(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ESTALE, syscall.EROFS, syscall.EINTR:
		return true
	// What is said of a server that is gone: by parallel file systems, FUSE, CIFS, and NFS mounted softerr.
	case syscall.ESHUTDOWN, syscall.ENOTCONN, syscall.ECOMM, syscall.EHOSTDOWN, syscall.ETIMEDOUT:
		return true
	}
	return false
}

// IsFull tells, of storage errors, those that freeing space mends.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// makeDirOnce makes the folder parent/name with these files in it, whole or not at all, and reports whether this call
// made it. A folder that is there already belongs to somebody else – or to this call, when a network file system
// repeated a rename whose answer was lost: owned tells. After an error it may be there all the same, or a leftover beside it
// whose name begins with newPrefix, which readers pass over.
func makeDirOnce(parent, name string, build func(dir string) error, owned func(dir string) bool) (bool, error) {
	staging, target := filepath.Join(parent, newPrefix+nonce()), filepath.Join(parent, name)
	err := os.Mkdir(staging, 0o777)
	if err != nil {
		return false, tempError{err, staging, target}
	}
	err = build(staging)
	if err == nil {
		err = SyncDir(staging)
	}
	if err != nil {
		_ = os.RemoveAll(staging)
		return false, tempError{err, staging, target}
	}
	err = os.Rename(staging, target) // refuses a target that is there
	switch {
	case err == nil || owned(target):
		return true, SyncDir(parent)
	case IsStorage(err) && !IsFull(err), errors.Is(err, fs.ErrNotExist):
		// It may have been renamed all the same: a host that remembers the old name would remove the files by it.
		return false, tempError{err, staging, target}
	}
	_ = os.RemoveAll(staging)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return false, nil
	}
	return false, tempError{err, staging, target}
}

// tempError tells the name that a temporary was to get in place of its own: the same fault twice says the same, which a status
// that is written when it changes relies on.
type tempError struct {
	error
	tmp, path string
}

func (e tempError) Error() string { return strings.ReplaceAll(e.error.Error(), e.tmp, e.path) }

func (e tempError) Unwrap() error { return e.error }

// removeAll is os.RemoveAll for what user code leaves: folders that it made read-only are opened up first.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path) // tells what could not be opened up
}

// writeFileOnce publishes a file that nobody may overwrite and reports whether this call did.
func writeFileOnce(path string, data []byte) (bool, error) {
	tmp, err := writeTemp(path, data)
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(tmp) }()
	published, err := publish(tmp, path)
	if err != nil {
		err = tempError{err, tmp, path}
	}
	return published, err
}

// writeFile replaces a file at once: readers see the old one or the new one.
func writeFile(path string, data []byte) error {
	tmp, err := writeTemp(path, data)
	if err != nil {
		return err
	}
	return replace(tmp, path)
}

// replace renames the caller's own temporary over path.
func replace(tmp, path string) error {
	err := rename(tmp, path)
	if err == nil {
		_, err = os.Lstat(path) // that the temporary is gone does not tell yet that it was there
	}
	if err != nil {
		_ = os.Remove(tmp)
		return tempError{err, tmp, path}
	}
	return nil
}

// rename renames what nobody else can. If only the answer was lost, on the way or by a client that asked twice, the old name
// is gone.
func rename(from, to string) error {
	err := os.Rename(from, to)
	if err == nil {
		return nil
	}
	if _, lookErr := os.Lstat(from); errors.Is(lookErr, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeTemp writes data beside path and onto the disk.
func writeTemp(path string, data []byte) (string, error) {
	tmp := filepath.Join(filepath.Dir(path), newPrefix+nonce())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", tempError{err, tmp, path}
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(tmp)
		return "", tempError{err, tmp, path}
	}
	return tmp, nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

// readJSON reads a file that was published whole.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

// publish gives the file tmp the name target unless that exists, and reports whether tmp is now there. It is link and
// unlink, which every file system has; quicker ways come first where the system has them. An answer that got lost on
// the way makes the second try fail: the inode tells our own success from somebody else's file.
func publish(tmp, target string) (bool, error) {
	info, err := os.Lstat(tmp)
	if err != nil {
		return false, err
	}
	return publishKnown(tmp, target, info)
}

func publishKnown(tmp, target string, info fs.FileInfo) (bool, error) {
	err := renameNoReplace(tmp, target)
	if errors.Is(err, errors.ErrUnsupported) {
		if err = os.Link(tmp, target); err == nil || sameFile(target, info) {
			_ = os.Remove(tmp) // what stays behind is swept with the folder
			return true, nil
		}
	}
	switch {
	case err == nil:
		return true, nil
	case sameFile(target, info):
		return true, nil
	case errors.Is(err, fs.ErrExist):
		return false, noFolder(target)
	}
	return false, err
}

// noFolder tells a folder, which is nobody's output, from what may be one.
func noFolder(path string) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return &fs.PathError{Op: "publish", Path: path, Err: syscall.EISDIR}
	}
	return nil
}

func sameFile(path string, info fs.FileInfo) bool {
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(there, info)
}

// SyncDir makes the names in a folder survive a power cut.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems have none for folders
		return fmt.Errorf("syncing folder %s: %w", path, err)
	}
	return nil
}

// listNames lists a folder without what is not published yet. A folder that is not there is empty.
func listNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	kept := names[:0]
	for _, n := range names {
		if !strings.HasPrefix(n, newPrefix) {
			kept = append(kept, n)
		}
	}
	return kept, err
}
