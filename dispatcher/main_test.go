package dispatcher

import (
	"fmt"
	"os"
	"testing"
)

// roleVar names the role that this test binary plays when a test has started it as a process of its own.
const roleVar = "DISPATCHER_TEST_ROLE"

// roles are what such processes do. An error is told to the test on stderr.
var roles = map[string]func(args []string) error{
	"quiet": roleQuiet,
	"scale": roleScale,
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVar)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "role %s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}
