package main

import (
	"errors"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/cli"
)

func TestSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	idle := func() (time.Duration, error) {
		s, err := readSettings()
		if err != nil {
			return 0, err
		}
		return s.workerIdle()
	}
	check := func(what string, want time.Duration) {
		t.Helper()
		if got, err := idle(); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", what, got, err, want)
		}
	}
	check("nothing set", 2*time.Minute)
	if err := os.WriteFile(".env", []byte("# ours\nTIGERFLOW_SLURM_TASK_SCALE_INTERVAL=5\nSECRET=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(".env", 40*time.Second)
	t.Setenv("TIGERFLOW_SLURM_TASK_SCALE_INTERVAL", "10")
	check("the environment goes first", 80*time.Second)
	if os.Getenv("SECRET") != "" {
		t.Error("what else is in .env comes into the environment")
	}
	t.Setenv("TIGERFLOW_SLURM_TASK_SCALE_WAIT_COUNT", "often")
	if _, err := idle(); !errors.As(err, new(cli.UsageError)) {
		t.Errorf("no number: %v", err)
	}
	t.Setenv("TIGERFLOW_SLURM_TASK_SCALE_WAIT_COUNT", "1")
	t.Setenv("TIGERFLOW_ENV_FILE", "other.env")
	check("a file that is not there", 10*time.Second)
}
