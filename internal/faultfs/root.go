package faultfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// TempRoot makes a temporary folder for the mounts of this process. Those of the same name that killed processes have left
// it unmounts and removes.
func TempRoot(name string) (string, error) {
	prefix := filepath.Join(os.TempDir(), name+"-")
	left, err := filepath.Glob(prefix + "*")
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(dir, prefix))
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := errors.Join(sweep(dir), os.RemoveAll(dir)); err != nil {
			return "", fmt.Errorf("removing what a killed test has left: %w", err)
		}
	}
	root := prefix + strconv.Itoa(os.Getpid())
	return root, os.MkdirAll(root, 0o777)
}

// sweep unmounts what is mounted below dir.
func sweep(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == fsName && strings.HasPrefix(fields[1], dir+"/") {
			err = errors.Join(err, unmount(fields[1]))
		}
	}
	return err
}
