package caller

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newRemote makes a Caller of functions that run where a Serve is, and gives the end of that.
func newRemote(t *testing.T, change ...func(*Config)) (c *Caller, dir string, end func()) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, socket) }()
	over := false
	end = func() {
		cancel()
		if !over {
			over = true
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(end)
	eventually(t, "the socket", func() bool { _, err := os.Stat(socket); return err == nil })
	c, dir, _ = newCaller(t, append(change, func(cfg *Config) {
		cfg.Remote = &Remote{Socket: socket, Log: cfg.Dir + "/log"}
	})...)
	return c, dir, end
}

func TestCallInAnotherContainer(t *testing.T) {
	c, dir, _ := newRemote(t)
	names := make([]string, 5000) // more than a pipe holds
	for i := range names {
		names[i] = fmt.Sprintf("a\xff-%d.txt", i)
		write(t, filepath.Join(dir, "data", names[i]), "")
	}
	got, err := c.call(t, "reverse", names...)
	slices.Reverse(names)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("chose %d, %v", len(got), err)
	}
	for function, want := range map[string]string{
		"raises": "ValueError: two lines",
		"dies":   "the process that calls it has ended, signal: killed: I am dying",
		"leaves": "SystemExit: I leave",
	} {
		if _, err := c.call(t, function, "a.txt"); err == nil || err.Error() != want {
			t.Errorf("%s: %v", function, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || !strings.HasPrefix(string(text), "choosing 5000\n") {
		t.Errorf("the log is %q %v", text, err)
	}
}

// What hangs in another container is ended from here, and by the end of who serves there.
func TestHangingInAnotherContainer(t *testing.T) {
	for name, end := range map[string]func(c *Caller, serve func()){
		"close": func(c *Caller, _ func()) { c.Close() },
		"serve": func(_ *Caller, serve func()) { serve() },
	} {
		t.Run(name, func(t *testing.T) {
			c, dir, serve := newRemote(t)
			over := make(chan error)
			go func() {
				_, err := c.Call(t.Context(), "staging_functions:hangs", []string{"a.txt"}, counts)
				over <- err
			}()
			pid := hanging(t, dir)
			end(c, serve)
			if err := <-over; err == nil {
				t.Error("it has returned")
			}
			gone(t, pid)
		})
	}
}

func TestNoPythonInAnotherContainer(t *testing.T) {
	c, _, end := newRemote(t, func(cfg *Config) { cfg.Interpreter = "python-of-nowhere" })
	if _, err := c.call(t, "none"); err == nil || !strings.HasPrefix(err.Error(), `the process that calls it has ended, starting Python: exec: "python-of-nowhere"`) {
		t.Errorf("%v", err)
	}
	end()
	if _, err := c.call(t, "none"); err == nil || !strings.HasPrefix(err.Error(), "reaching the container for staging: ") || !strings.HasSuffix(err.Error(), "tells what it waits for") {
		t.Errorf("%v", err)
	}
}
