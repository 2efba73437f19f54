package workerbin

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
)

var script = []byte("#!/bin/sh\necho worker \"$@\"\n")

func with(program []byte) fstest.MapFS {
	return fstest.MapFS{"bin/" + Name: {Data: program}}
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	path, err := install(with(script), dir)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(path) != dir || !strings.HasPrefix(filepath.Base(path), Name+"-") || len(filepath.Base(path)) != len(Name)+13 {
		t.Errorf("installed as %s", path)
	}
	if out, err := exec.Command(path, "run").CombinedOutput(); err != nil || string(out) != "worker run\n" {
		t.Errorf("running it: %q, %v", out, err)
	}
	other, err := install(with(append(script, '\n')), dir)
	if err != nil || other == path {
		t.Errorf("another version is at %s, %v", other, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

func TestInstallKeepsGoodAndMendsBad(t *testing.T) {
	dir := t.TempDir()
	path, err := install(with(script), dir)
	if err != nil {
		t.Fatal(err)
	}
	before := stat(t, path)
	if _, err := install(with(script), dir); err != nil || !os.SameFile(before, stat(t, path)) {
		t.Errorf("a good program was written anew, %v", err)
	}
	spoil := map[string]func() error{
		"cut short":    func() error { return os.Truncate(path, 5) },
		"same size":    func() error { return os.WriteFile(path, bytes.Repeat([]byte("x"), len(script)), 0o755) },
		"not runnable": func() error { return os.Chmod(path, 0o644) },
		"for all":      func() error { return os.Chmod(path, 0o777) },
		"removed":      func() error { return os.Remove(path) },
	}
	for name, do := range spoil {
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if _, err := install(with(script), dir); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, script) || stat(t, path).Mode() != 0o755 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestInstallAtOnce(t *testing.T) {
	dir := t.TempDir()
	program := append(bytes.Clone(script), bytes.Repeat([]byte("#"), 1<<20)...)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := install(with(program), dir)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, program) {
				t.Errorf("half a program was seen: %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

func TestInstallAny(t *testing.T) {
	cache, temp := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("TMPDIR", temp)
	if path, err := installAny(with(script)); err != nil || filepath.Dir(path) != filepath.Join(cache, "tigerflow") {
		t.Errorf("with a cache folder: %s, %v", path, err)
	}

	blocked := filepath.Join(temp, "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", blocked)
	path, err := installAny(with(script))
	if err != nil || filepath.Dir(filepath.Dir(path)) != temp || stat(t, filepath.Dir(path)).Mode().Perm() != 0o700 {
		t.Errorf("without: %s, %v", path, err)
	}

	private := filepath.Dir(path)
	if err := os.Chmod(private, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = installAny(with(script))
	if err == nil || !strings.Contains(err.Error(), "TMPDIR") || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("in a folder that others can write to: %v", err)
	}
	if err := os.Rename(private, private+"-elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(private+"-elsewhere", private); err != nil {
		t.Fatal(err)
	}
	if _, err := installAny(with(script)); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("through a link: %v", err)
	}
}

func TestNotEmbedded(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	bare := fstest.MapFS{"bin/.gitignore": {}}
	if _, err := install(bare, dir); !errors.Is(err, ErrNotEmbedded) {
		t.Errorf("install: %v", err)
	}
	if _, err := installAny(bare); !errors.Is(err, ErrNotEmbedded) {
		t.Errorf("installAny: %v", err)
	}
}

// What is embedded in this build runs, if anything is.
func TestEmbedded(t *testing.T) {
	path, err := Install(t.TempDir())
	if errors.Is(err, ErrNotEmbedded) {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError // a program may well refuse to run without flags
	if err := exec.Command(path).Run(); err != nil && (!errors.As(err, &ended) || !ended.Exited()) {
		t.Errorf("running it: %v", err)
	}
}

// TestNoexec mounts a file system in a namespace of its own, so that it needs no rights where users may have some.
func TestNoexec(t *testing.T) {
	const inside = "WORKERBIN_TEST_NOEXEC"
	if dir := os.Getenv(inside); dir != "" {
		if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_NOEXEC, ""); err != nil {
			t.Skipf("mounting: %v", err)
		}
		_, err := install(with(script), dir)
		if !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "noexec") {
			t.Errorf("install into a noexec folder: %v", err)
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestNoexec$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC), strings.Contains(string(out), "SKIP"):
		if os.Getenv("CI") == "true" {
			t.Fatalf("namespaces are needed: %v\n%s", err, out)
		}
		t.Skipf("no namespaces here: %v\n%s", err, out)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	}
}

func BenchmarkInstallAgain(b *testing.B) {
	program := bytes.Repeat([]byte("0123456789abcdef"), 1<<16*10) // 10 MiB
	dir := b.TempDir()
	for b.Loop() {
		if _, err := install(with(program), dir); err != nil {
			b.Fatal(err)
		}
	}
}
