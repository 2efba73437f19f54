package spool

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// renameat2(2) with RENAME_NOREPLACE is one operation where link and unlink are two. NFS and most parallel file systems
// answer EINVAL, old kernels ENOSYS; after the first such answer it is not tried again.
const renameNoReplaceFlag = 1

var (
	renameat2        = map[string]uintptr{"amd64": 316, "arm64": 276}[runtime.GOARCH]
	renameat2Refused atomic.Bool
)

func renameNoReplace(from, to string) error {
	if renameat2 == 0 || renameat2Refused.Load() {
		return errors.ErrUnsupported
	}
	f, err := syscall.BytePtrFromString(from)
	if err != nil {
		return err
	}
	t, err := syscall.BytePtrFromString(to)
	if err != nil {
		return err
	}
	const cwd = ^uintptr(99) // AT_FDCWD, -100
	for {
		_, _, errno := syscall.Syscall6(renameat2, cwd, uintptr(unsafe.Pointer(f)), cwd, uintptr(unsafe.Pointer(t)), renameNoReplaceFlag, 0)
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
			continue
		case syscall.EINVAL, syscall.ENOSYS, syscall.ENOTSUP:
			renameat2Refused.Store(true)
			return errors.ErrUnsupported
		}
		return &os.LinkError{Op: "renameat2", Old: from, New: to, Err: errno}
	}
}
