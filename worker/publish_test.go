package worker

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// TestPublishedWithoutHearingOfIt: a rename whose answer is lost is tried again, and the temporary's absence then is not user
// code's doing.
func TestPublishedWithoutHearingOfIt(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		r := newRig(t, func(s *spool.Spec) { s.Durability = durability })
		w, _, err := r.spool.Bear("k.0.r1", spool.Born{Time: time.Now()})
		must(t, err)
		_, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		rec := newRecorder(w, r.spool.Spec(), Config{Log: slog.New(slog.DiscardHandler), timing: usual}, stop)
		tmp, err := w.NewTemp(".out")
		must(t, err)
		must(t, os.WriteFile(tmp, []byte("x"), 0o666))
		b := &batch{left: 1}
		rec.group = []pending{{file: &file{batch: b, name: "a.txt", tmp: tmp, output: r.path("out", "a.out")}, synced: true}}
		must(t, rec.inspect(&rec.group[0], w.Inspection()))
		must(t, os.Rename(tmp, r.path("out", "a.out")))
		must(t, rec.publishGroup())
		if len(rec.names) != 1 || b.left != 0 || r.read("out/a.out") != "x" {
			t.Errorf("%s: done are %q", durability, rec.names)
		}
		must(t, w.Exit(spool.ExitStopped, nil))
	}
}

// TestOutputRemovedLate: what user code left running may remove an output after the worker has looked at it; the others go on.
func TestOutputRemovedLate(t *testing.T) {
	for _, durability := range []spool.Durability{spool.None, spool.Fsync} {
		t.Run(string(durability), func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { s.Durability = durability })
			e := newEngineIn(t, r)
			rec := newRecorder(e.w, e.spec, e.cfg, func(error) {})
			b := &batch{left: 2}
			for _, name := range []string{"a", "b"} {
				tmp, err := e.w.NewTemp(".out")
				must(t, err)
				must(t, os.WriteFile(tmp, []byte(name), 0o666))
				rec.group = append(rec.group, pending{file: &file{batch: b, name: spool.Name(name + ".txt"), tmp: tmp, output: r.path("out", name+".out")}})
				must(t, rec.inspect(&rec.group[len(rec.group)-1], e.w.Inspection()))
			}
			must(t, os.Remove(rec.group[0].file.tmp))
			must(t, rec.publishGroup())
			if b.left != 0 || len(rec.names) != 1 || r.read("out/b.out") != "b" {
				t.Errorf("%d files are open, done are %q", b.left, rec.names)
			}
		})
	}
}

// TestBeatsWhileAnOutputIsSynced: the sync of a large output may take longer than a worker may be silent.
func TestBeatsWhileAnOutputIsSynced(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Durability = spool.Fsync })
	e := newEngineIn(t, r)
	e.cfg.timing = brisk
	rec := newRecorder(e.w, e.spec, e.cfg, func(error) {})
	tmp, err := e.w.NewTemp(".out")
	must(t, err)
	must(t, os.Remove(tmp))
	must(t, syscall.Mkfifo(tmp, 0o666)) // to open it takes until somebody writes
	info, err := os.Lstat(tmp)
	must(t, err)
	b := &batch{left: 1}
	rec.group = []pending{{file: &file{batch: b, name: "a.txt", tmp: tmp, output: r.path("out", "a.out")}, info: info}}
	published := make(chan error, 1)
	go func() { published <- rec.publishGroup() }()
	beats := func() (n int) {
		must(t, r.spool.JournalTail(e.w.ID(), 0).Read(func(payload []byte, _ int64) error {
			if strings.Contains(string(payload), `"`+string(spool.EventBeat)+`"`) {
				n++
			}
			return nil
		}))
		return n
	}
	eventually(t, "beats", func() bool { return beats() > 2 && rec.beaten.Load() > 0 })
	writer, err := os.OpenFile(tmp, os.O_WRONLY, 0)
	must(t, err)
	must(t, <-published)
	must(t, writer.Close())
}
