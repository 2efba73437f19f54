// Package e2e runs the binary tigerflow itself, as its users do.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tigerflow.dev/tigerflow/executor/workerbin"
)

// The programs that the tests run; built once.
var tigerflow, identifiers string

func TestMain(m *testing.M) {
	code, err := withPrograms(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func withPrograms(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "tigerflow-e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := workerbin.Install(dir); errors.Is(err, workerbin.ErrNotEmbedded) {
		if os.Getenv("CI") == "true" {
			return 0, errors.New("the worker program is not built: run make worker")
		}
		fmt.Println("skipped: the worker program is not built: run make worker")
		return 0, nil
	}
	if err := os.Chmod(dir, 0o755); err != nil { // also for the unprivileged user of some tests
		return 0, err
	}
	tigerflow, identifiers = filepath.Join(dir, "tigerflow"), filepath.Join(dir, "identifiers")
	for program, pkg := range map[string]string{tigerflow: "../../cmd/tigerflow", identifiers: "../../examples/identifiers"} {
		out, err := exec.Command("go", "build", "-o", program, pkg).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	return run(), nil
}
