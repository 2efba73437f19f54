package worker

import (
	"io"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// TestNobodyReadsWhatIsTold: the user may stop the terminal, for as long as they like. A worker goes on showing that it lives.
func TestNobodyReadsWhatIsTold(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Type = spool.TypeLocal })
	r.feed("a", ok, "b", ok)
	reader, terminal := io.Pipe()
	w := r.start(func(c *Config) { stays(c); c.timing.silence, c.Narrate = 600*time.Millisecond, terminal })
	t.Cleanup(func() { reader.Close() }) // before the worker's end is waited for
	r.exists("out/b.out")
	beats := func() int { return len(w.about(spool.EventBeat)) }
	n := beats()
	eventually(t, "beats", func() bool {
		select {
		case <-w.done:
			return true
		default:
			return beats() > n+int(2*600*time.Millisecond/brisk.beat)
		}
	})
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	w.drain()
	w.ends(spool.ExitDrained)
	w.wantFiles("done", "a b")
}
