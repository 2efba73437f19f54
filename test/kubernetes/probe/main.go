// Command probe is the author's program in images for tests: it copies a file, if the container around it is as Tasks may expect.
//
//	probe INPUT OUTPUT
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(input, output string) error {
	if os.Getuid() == 0 {
		return errors.New("it is root")
	}
	if err := os.WriteFile("/probe.txt", nil, 0o600); err == nil {
		return errors.New("the root file system can be written")
	}
	for _, name := range []string{"HOME", "TMPDIR", "XDG_CACHE_HOME"} {
		dir := os.Getenv(name)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "probe.txt"), nil, 0o600)); err != nil {
			return fmt.Errorf("%s cannot be written: %w", name, err)
		}
	}
	if _, err := os.Stat("/var/run/secrets/kubernetes.io/serviceaccount/token"); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("there is a token of the API server, or it cannot be looked for")
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, want := range []string{"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want) {
			return fmt.Errorf("not %q in %s", want, status)
		}
	}
	text, err := os.ReadFile(input)
	if err != nil {
		return err
	}
	return os.WriteFile(output, text, 0o600)
}
