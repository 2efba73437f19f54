// Package workerbin carries the worker program inside the binaries that start workers, and writes it out for them.
package workerbin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Name is how the worker program is called where nothing else is said.
const Name = "tigerflow-worker"

// ErrNotEmbedded says that the binary cannot run workers.
var ErrNotEmbedded = errors.New("this tigerflow was built without its worker: build it with make build")

//go:embed all:bin
var embedded embed.FS

// Install writes the worker program into the folder, made if absent, and returns its path. The name tells the content,
// so that versions live side by side; a program that is there already is checked and kept. Without a folder it takes the
// first that will do: the user's cache folder, then a private one below the temporary folder.
func Install(dir string) (string, error) {
	if dir != "" {
		return install(embedded, dir)
	}
	return installAny(embedded)
}

func installAny(files fs.FS) (string, error) {
	path, cacheErr := installAt(files, userCache)
	if cacheErr == nil || errors.Is(cacheErr, ErrNotEmbedded) {
		return path, cacheErr
	}
	path, err := installAt(files, privateTemp)
	if err != nil {
		return "", fmt.Errorf("%w; in a temporary folder neither: %w", cacheErr, err)
	}
	return path, nil
}

func installAt(files fs.FS, place func() (string, error)) (string, error) {
	dir, err := place()
	if err != nil {
		return "", fmt.Errorf("finding a folder for the worker program: %w", err)
	}
	return install(files, dir)
}

func userCache() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "tigerflow"), err
}

// privateTemp refuses a folder that another user could have put there.
func privateTemp() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("tigerflow-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s is not a folder that only you can write to: remove it, or set TMPDIR to another place", dir)
	}
	return dir, nil
}

func install(files fs.FS, dir string) (string, error) {
	program, err := fs.ReadFile(files, "bin/"+Name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotEmbedded
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, Name+"-"+hex.EncodeToString(sum[:])[:12])
	if !holds(path, program) {
		if err := write(path, program); err != nil {
			return "", fmt.Errorf("writing the worker program: %w", err)
		}
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return "", fmt.Errorf("%s cannot be executed (%w): %s may be mounted noexec, set XDG_CACHE_HOME to a folder elsewhere", path, err, dir)
	}
	return path, nil
}

func holds(path string, program []byte) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() != int64(len(program)) || info.Mode().Perm() != 0o755 {
		return false
	}
	found, err := os.ReadFile(path)
	return err == nil && bytes.Equal(found, program)
}

// write replaces the file at once: others may be starting it.
func write(path string, program []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+Name+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error says more
		}
	}()
	_, err = f.Write(program)
	err = errors.Join(err, f.Chmod(0o755), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
