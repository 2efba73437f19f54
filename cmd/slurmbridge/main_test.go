package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/embedded/embeddedtest"
	"tigerflow.dev/tigerflow/internal/kube/wiretest"
)

// shared is what the tests of this package share.
var shared embeddedtest.Server

const patience = 2 * time.Minute

// rights are those of config/rbac/bridge.yaml; nil where the sources are not: on a cluster of the tests.
var rights *wiretest.Rules

func TestMain(m *testing.M) {
	var err error
	rights, err = wiretest.Load("../../config/rbac/bridge.yaml")
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || os.Getenv("TIGERFLOW_SLURM_LAB") == "") {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	if err == nil {
		shared.Finally = rights.Unused
	}
	embeddedtest.Main(m, &shared, embeddedtest.Leases())
}

// wait returns when a condition holds.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s has not come within %s", what, patience)
		}
	}
}
