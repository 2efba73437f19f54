package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"tigerflow.dev/tigerflow/embedded/embeddedtest"
)

// shared is what the tests of this package share.
var shared embeddedtest.Server

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	embeddedtest.Main(m, &shared)
}
