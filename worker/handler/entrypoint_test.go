package handler

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

// entrypoint makes a program that sets a variable and becomes what stands behind it, as those of images do.
func (f *fixture) entrypoint() string {
	f.Helper()
	path := filepath.Join(f.dir, "entry.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexport ENTERED=\"$1 $TIGERFLOW_TASK\"; shift; exec \"$@\"\n"), 0o700); err != nil { //nolint:gosec // it is to be run
		f.Fatal(err)
	}
	return path
}

func TestEntrypoint(t *testing.T) {
	for _, setup := range [][]string{nil, {"export SET=up"}} {
		f := setUp(t, theProgram("task"))
		f.config.Spec.Entrypoint, f.config.Spec.SetupCommands = []string{f.entrypoint(), "a  b"}, setup
		h := f.start()
		f.expectDone(h, f.run(h, "env ENTERED"), "a  b "+f.config.Spec.Task)
		if setup != nil {
			f.expectDone(h, f.run(h, "env SET"), "up")
		}
		if err := f.close(h); err != nil {
			t.Error(err)
		}
	}
}

func TestEntrypointOfCommands(t *testing.T) {
	for _, setup := range [][]string{nil, {"true"}} {
		f := setUp(t, command("sh", "-c", `printf %s "$ENTERED" >"$0"`, "{output}"))
		f.config.Spec.Entrypoint, f.config.Spec.SetupCommands = []string{f.entrypoint(), "$(false)"}, setup
		h := f.start()
		f.expectDone(h, f.run(h, "x"), "$(false) "+f.config.Spec.Task)
		if err := f.close(h); err != nil {
			t.Error(err)
		}
	}
}

func TestEntrypointIsNotFound(t *testing.T) {
	f := setUp(t, theProgram("task"))
	f.config.Spec.Entrypoint = []string{"/nonexistent/entry.sh"}
	want := `entrypoint "/nonexistent/entry.sh": no such file or directory: correct container.entrypoint, or leave it out`
	var start *StartError
	for _, h := range []spool.Handler{f.config.Spec.Handler, {Command: []string{"cp", "{input}", "{output}"}}} {
		f.config.Spec.Handler = h
		if err := f.startError(); !errors.As(err, &start) || err.Error() != want {
			t.Errorf("error %v\nwant  %s", err, want)
		}
	}
}
