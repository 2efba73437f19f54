package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/spool"
)

// stopAsked runs `tigerflow stop` until it has asked for a kind, and returns what it writes and its exit code.
func (b *books) stopAsked(ctx context.Context, kind spool.RequestKind, args ...string) (*paper, <-chan int) {
	b.Helper()
	out, ended := &paper{}, make(chan int, 1)
	go func() { ended <- run(ctx, append([]string{"stop", b.path("out")}, args...), out, out) }()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		asked, err := b.locks["scan"].Spool().Requests()
		b.must(err)
		if len(asked) > 0 && asked[len(asked)-1].Kind == kind {
			return out, ended
		}
		select {
		case <-deadline:
			b.Fatalf("nothing is asked; it says\n%s", out)
		case <-tick.C:
		}
	}
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		kind spool.RequestKind
		args []string
		says string
	}{
		{spool.RequestDrain, nil, "finish the files in hand and stop"},
		{spool.RequestStop, []string{"--force"}, "stop at once"},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			b := newBooks(t)
			b.must(b.locks["shout"].Close())
			out, ended := b.stopAsked(t.Context(), tt.kind, tt.args...)
			asked := "count, scan: process P on H is asked to " + tt.says + "\n"
			out.wait(b, asked)
			b.must(b.locks["count"].Close())
			out.wait(b, asked+"count: stopped\n")
			b.must(b.locks["scan"].Close())
			if code := <-ended; code != 0 {
				t.Errorf("exit code %d", code)
			}
			b.want(b.plain(out.String()), asked+"count: stopped\nscan: stopped\n")
			if left, err := b.locks["shout"].Spool().Requests(); err != nil || len(left) > 0 {
				t.Errorf("asked of one that nobody works on: %v, %v", left, err)
			}
			b.want(b.tigerflow(0, "stop", b.path("out")), "DIR/out: nothing works on it\n")
		})
	}
}

// TestStopKeepsTask: a control plane that serves other Tasks as well does not end.
func TestStopKeepsTask(t *testing.T) {
	b := newBooks(t)
	w := b.worker("count", "k.0.r1")
	out, ended := b.stopAsked(t.Context(), spool.RequestDrain, "--task", "scan")
	asked := "scan: process P on H is asked to finish the files in hand and stop\n"
	out.wait(b, asked)
	s := b.locks["scan"].Spool()
	b.must(os.WriteFile(filepath.Join(s.WorkersDir(), "k.0.r1", "exit.json"), []byte(`{"reason": "Drained"}`), 0o666))
	out.wait(b, asked+"scan: no worker is left; process P on H keeps the Task, and begins nothing before tigerflow resume DIR/out\n")
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.must(w.Exit(spool.ExitDrained, nil))
}

func TestStopInVain(t *testing.T) {
	b := newBooks(t)
	b.want(b.tigerflow(cli.ExitUsage, "stop", b.path("out"), "--timeout", "-1s"), "error: --timeout: give 0s or more\n")
	b.want(b.tigerflow(cli.ExitFailure, "stop", b.path("out"), "--task", "scan", "--timeout", "0s"), `scan: process P on H is asked to finish the files in hand and stop
error: scan has not stopped within 0s: the request stays; --force does not wait for the files in hand
`)
	ctx, cancel := context.WithCancelCause(t.Context())
	out, ended := b.stopAsked(ctx, spool.RequestStop, "--task", "scan", "-f")
	asked := "scan: process P on H is asked to stop at once\n"
	out.wait(b, asked)
	cancel(&cli.SignalError{Signal: os.Interrupt, Code: cli.ExitInterrupted})
	if code := <-ended; code != cli.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
	b.want(b.plain(out.String()), asked+"scan: the request stays, and is followed\n")
}

// TestStopSilent: one that has died on another host is not waited for until the end.
func TestStopSilent(t *testing.T) {
	b := newBooks(t)
	s := &stopping{spool: b.locks["scan"].Spool(), heard: time.Now().Add(-2 * spool.LeasePatience)}
	h, err := s.spool.Dispatching()
	b.must(err)
	s.seen = h.Seen
	if _, err := s.look(&paper{}, "out"); err == nil || b.plain(err.Error()) != "scan: process P on H gives no sign of life: it is dead, or its host is cut off; the request stays" {
		t.Errorf("error %v", err)
	}
	s.seen = h.Seen.Add(-time.Second)
	if stopped, err := s.look(&paper{}, "out"); stopped || err != nil {
		t.Errorf("stopped %t, error %v", stopped, err)
	}
}
