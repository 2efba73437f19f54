package task

import (
	"testing"

	"tigerflow.dev/tigerflow/embedded/embeddedtest"
)

// shared is what the tests of this package share.
var shared embeddedtest.Server

func TestMain(m *testing.M) { embeddedtest.Main(m, &shared) }
