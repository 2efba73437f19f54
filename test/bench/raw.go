package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// loop is a bare program over the same files. It returns the time that it took.
type loop func(ctx context.Context, in, out string, files int) (time.Duration, error)

// readWriteRename is what any program would have to do at least: one file after the other, nothing synced.
func readWriteRename(ctx context.Context, in, out string, files int) (time.Duration, error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return 0, err
	}
	begun := time.Now()
	for i := range files {
		name := inputName(i)
		content, err := os.ReadFile(filepath.Join(in, name))
		if err != nil {
			return 0, err
		}
		tmp := filepath.Join(out, ".~"+name)
		if err := os.WriteFile(tmp, content, 0o644); err != nil {
			return 0, err
		}
		if err := os.Rename(tmp, filepath.Join(out, name)); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), ctx.Err()
}

// groupSize is how many files a careful program writes before it waits for the disk.
const groupSize = 64

// groupCommit writes groups of files, syncs their data, renames them, and syncs the folder.
func groupCommit(ctx context.Context, in, out string, files int) (time.Duration, error) {
	if err := os.Mkdir(out, 0o755); err != nil {
		return 0, err
	}
	folder, err := os.Open(out)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	begun := time.Now()
	for from := 0; from < files; from += groupSize {
		if err := commit(in, out, from, min(from+groupSize, files)); err != nil {
			return 0, err
		}
		if err := folder.Sync(); err != nil {
			return 0, err
		}
	}
	return time.Since(begun), ctx.Err()
}

func commit(in, out string, from, to int) (err error) {
	var group []*os.File
	defer func() {
		for _, f := range group {
			if closing := f.Close(); err == nil {
				err = closing
			}
		}
	}()
	for i := from; i < to; i++ {
		content, err := os.ReadFile(filepath.Join(in, inputName(i)))
		if err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(out, ".~"+inputName(i)))
		if err != nil {
			return err
		}
		group = append(group, f)
		if _, err := f.Write(content); err != nil {
			return err
		}
	}
	for _, f := range group {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	for i := from; i < to; i++ {
		if err := os.Rename(filepath.Join(out, ".~"+inputName(i)), filepath.Join(out, inputName(i))); err != nil {
			return err
		}
	}
	return nil
}

const pythonLoopSource = `import os, sys, time
source, target = sys.argv[1:3]
os.mkdir(target)
names = os.listdir(source)
begun = time.monotonic()
for name in names:
    with open(os.path.join(source, name), "rb") as f:
        content = f.read()
    temporary = os.path.join(target, ".~" + name)
    with open(temporary, "wb") as f:
        f.write(content)
    os.rename(temporary, os.path.join(target, name))
print(time.monotonic() - begun)
`

// pythonLoop is readWriteRename as one would write it in Python. The start of Python is not counted.
func pythonLoop(ctx context.Context, in, out string, _ int) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "python3", "-c", pythonLoopSource, in, out)
	cmd.Stderr = os.Stderr
	said, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("python3: %w", err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(bytes.TrimSpace(said))), 64)
	return time.Duration(seconds * float64(time.Second)), err
}

// createAndRename makes the empty files that a handler without output leaves, by bare system calls, and returns the
// processor time that took.
func createAndRename(dir string, files int) (time.Duration, error) {
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	for i := range files {
		tmp := filepath.Join(dir, ".~"+inputName(i))
		fd, err := unix.Open(tmp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o666)
		if err != nil {
			return 0, err
		}
		if err := unix.Close(fd); err != nil {
			return 0, err
		}
		if err := unix.Rename(tmp, filepath.Join(dir, inputName(i))); err != nil {
			return 0, err
		}
	}
	after, err := ownCPU()
	return after - before, err
}

func ownCPU() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
