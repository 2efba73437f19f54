package inpod

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary is also a worker program.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "version":
		os.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == "broken":
		os.Exit(3)
	case len(os.Args) > 1 && os.Args[1] == "talk":
		if err := Log(); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		fmt.Fprintf(os.Stdout, "out%s ", os.Getenv(LogEnv))
		fmt.Fprint(os.Stderr, "err ")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // what is there, and may be running, is replaced
		if err := Install(dir, "version"); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, Program))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("another program was installed (%v)", err)
	}
	info, err := os.Stat(filepath.Join(dir, Program))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files are there (%v)", len(entries), err)
	}
	var ended *exec.ExitError
	if err := Install(dir, "broken"); !errors.As(err, &ended) || errors.Is(err, ErrNotExecutable) {
		t.Errorf("a program that fails: %v", err)
	}
}

func TestInstallWhereNothingCanBeRun(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Skipf("mounting a file system without programs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := Install(dir, "version"); !errors.Is(err, ErrNotExecutable) {
		t.Errorf("error %v, want %v", err, ErrNotExecutable)
	}
}

func TestInstallWhereNothingCanBeWritten(t *testing.T) {
	if err := Install(filepath.Join(t.TempDir(), "absent"), "version"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "k.0.r1.log")
	var shown bytes.Buffer
	for range 2 {
		cmd := exec.Command(os.Args[0], "talk")
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), LogEnv+"="+path), &shown, &shown
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
	line := "the log of this worker is " + path + "\n"
	if got := shown.String(); got != line+line {
		t.Errorf("outside the log stands %q", got)
	}
	if log, err := os.ReadFile(path); err != nil || string(log) != "out err out err " {
		t.Errorf("the log is %q (%v)", log, err)
	}
	cmd := exec.Command(os.Args[0], "talk")
	cmd.Env = append(os.Environ(), LogEnv+"="+filepath.Join(path, "below"))
	if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("error: making the folder of logs: mkdir ")) {
		t.Errorf("a log that cannot be made: %q (%v)", out, err)
	}
}
