package worker

import (
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// What dies or fails of a signal to all processes speaks against no file, whether the worker hears of it before or after.
func TestNobodyIsBlamedForASignalToAll(t *testing.T) {
	sh := func(s *spool.Spec) { s.Handler = spool.Handler{Command: []string{"sh", "{input}", "{output}"}} }
	const shWaits = "touch b.begun\nuntil [ -e b.go ]; do sleep 0.01; done"
	const pyWaits = `wait("b")`
	for _, tt := range []struct {
		name       string
		change     func(*spool.Spec)
		waits, end string
	}{
		{"command killed", sh, shWaits, "kill -TERM $$"},
		{"command 143", sh, shWaits, "exit 143"},
		{"command cleans up", sh, shWaits, "exit 255"},
		{"child of a module", nil, pyWaits, "subprocess.check_call(['sh', '-c', 'kill -TERM $$'])"},
		{"module gives up", nil, pyWaits, "sys.exit(143)"},
		{"module dies", nil, pyWaits, "os._exit(143)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.change)
			r.feed("a", tt.end, "b", tt.waits)
			w := r.start(func(c *Config) { stays(c); c.timing.doubt = time.Hour })
			r.begun("b") // so the worker knows of the end of a
			w.drain()
			r.release("b")
			w.ends(spool.ExitDrained)
			w.wantFiles("done", "b", "back", "a")
		})
		t.Run(tt.name+" later", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.change)
			r.feed("b", tt.waits+"\n"+tt.end, "c", "")
			w := r.start(stays)
			r.begun("b")
			w.drain()
			eventually(t, "the rest given back", func() bool { return w.files(spool.EventBack) == "c" })
			r.release("b")
			w.ends(spool.ExitDrained)
			w.wantFiles("back", "b c")
		})
	}
}

// A setup that such a signal ended says nothing of the Task.
func TestSetupEndedByASignalToAll(t *testing.T) {
	r := newRig(t, nil)
	r.write("setup.py", "os._exit(143)")
	r.feed("a", ok)
	w := r.start(func(c *Config) { stays(c); c.timing.doubt = time.Hour })
	eventually(t, "the end of the handler", func() bool { return strings.Contains(w.log.String(), "ended before it was ready") })
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles()
}

// A second signal, or another end, leaves no verdict open.
func TestVerdictsAtTheEnd(t *testing.T) {
	for _, reason := range []spool.ExitReason{spool.ExitStopped, spool.ExitParentGone} {
		t.Run(string(reason), func(t *testing.T) {
			r := newRig(t, nil)
			r.feed("a", "os._exit(1)", "g", waits)
			parent := make(chan struct{})
			w := r.start(func(c *Config) { stays(c); c.timing.doubt, c.ParentGone = time.Hour, parent })
			r.begun("g")
			if reason == spool.ExitStopped {
				w.end()
				w.ends(reason)
				w.wantFiles("back", "a g")
				return
			}
			close(parent)
			w.ends(reason)
			w.wantFiles("crashed", "a", "back", "g")
		})
	}
}
