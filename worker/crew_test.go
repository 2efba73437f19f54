package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// crew is a worker at work in this process.
type crew struct {
	*rig
	id         string
	drain, end context.CancelFunc // of taking, of working
	log        *safeBuffer
	done       chan struct{}
	reason     spool.ExitReason
	err        error
}

// start starts a worker that leaves when it is idle, unless change says otherwise.
func (r *rig) start(change func(*Config)) *crew {
	r.t.Helper()
	return r.startAs(r.spool.ID()+".0.r0", change)
}

func (r *rig) startAs(id string, change func(*Config)) *crew {
	r.t.Helper()
	c := &crew{rig: r, id: id, log: &safeBuffer{}, done: make(chan struct{})}
	config := Config{
		Spool: r.spool.Path(), ID: id, IdleTimeout: 20 * time.Millisecond, timing: brisk,
		Log: slog.New(slog.NewTextHandler(c.log, nil)),
	}
	if change != nil {
		change(&config)
	}
	working, end := context.WithCancel(context.Background())
	taking, drain := context.WithCancel(working)
	c.end, c.drain = end, drain
	go func() {
		defer close(c.done)
		c.reason, c.err = Run(working, taking, config)
	}()
	r.t.Cleanup(func() {
		end()
		<-c.done
		if r.t.Failed() {
			prints, _ := os.ReadFile(r.spool.LogPath(id))
			r.t.Logf("worker %s:\n%s%s", id, c.log, prints)
		}
	})
	return c
}

// stays is for workers that the test ends.
func stays(c *Config) { c.IdleTimeout = 0 }

// impatient is for workers that stay and soon find that a file takes long.
func impatient(c *Config) { stays(c); c.timing.hold = 200 * time.Millisecond }

// ends waits for the worker, which must end for the reason and have written that down.
func (c *crew) ends(want spool.ExitReason) *spool.Failure {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(2 * time.Minute):
		c.t.Fatalf("the worker does not end; log:\n%s", c.log)
	}
	if c.reason != want || c.err != nil {
		exit, _ := c.spool.ReadExit(c.id)
		c.t.Fatalf("the worker ended with %q, error %v, %+v; want %q", c.reason, c.err, exit.Failure, want)
	}
	exit, err := c.spool.ReadExit(c.id)
	must(c.t, err)
	if exit.Reason != want {
		c.t.Fatalf("the exit record says %q, want %q", exit.Reason, want)
	}
	return exit.Failure
}

// events reads the worker's journal.
func (c *crew) events() (events []spool.Event) {
	c.t.Helper()
	must(c.t, c.spool.JournalTail(c.id, 0).Read(func(payload []byte, _ int64) error {
		var e spool.Event
		err := json.Unmarshal(payload, &e)
		events = append(events, e)
		return err
	}))
	return events
}

// about gives the events of a kind, one line each: their files without extension, sorted.
func (c *crew) about(kind spool.EventKind) (lines []string) {
	c.t.Helper()
	for _, e := range c.events() {
		if e.Kind != kind {
			continue
		}
		var names []string
		for _, f := range e.Files {
			names = append(names, strings.TrimSuffix(string(f), ".txt"))
		}
		slices.Sort(names)
		lines = append(lines, strings.Join(names, " "))
	}
	return lines
}

// files gives the files of all events of a kind, sorted, on one line.
func (c *crew) files(kind spool.EventKind) string {
	c.t.Helper()
	names := strings.Fields(strings.Join(c.about(kind), " "))
	slices.Sort(names)
	return strings.Join(names, " ")
}

// wantFiles compares the fates of all files: kinds and names by turns. Kinds that are not named must not occur.
func (c *crew) wantFiles(pairs ...string) {
	c.t.Helper()
	want := map[spool.EventKind]string{}
	for pair := range slices.Chunk(pairs, 2) {
		want[spool.EventKind(pair[0])] = pair[1]
	}
	for _, kind := range []spool.EventKind{spool.EventDone, spool.EventFailed, spool.EventCrashed, spool.EventBack, spool.EventGone, spool.EventStorage} {
		if got := c.files(kind); got != want[kind] {
			c.t.Errorf("%s: %q, want %q", kind, got, want[kind])
		}
	}
	for name := range strings.FieldsSeq(want[spool.EventDone]) {
		if !exists(c.path("out", name+".out")) {
			c.t.Errorf("there is no output of %s", name)
		}
	}
	claims, err := c.spool.Claims(c.id)
	must(c.t, err)
	if len(claims) > 0 {
		c.t.Errorf("the worker still holds %v", claims)
	}
}

// failure is what the journal says of the only event of a kind.
func (c *crew) failure(kind spool.EventKind) *spool.Failure {
	c.t.Helper()
	var found []*spool.Failure
	for _, e := range c.events() {
		if e.Kind == kind {
			found = append(found, e.Failure)
		}
	}
	if len(found) != 1 || found[0] == nil {
		c.t.Fatalf("%d events %s, want one with a failure", len(found), kind)
	}
	return found[0]
}
