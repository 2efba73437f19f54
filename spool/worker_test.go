package spool

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestBear(t *testing.T) {
	s := newSpool(t)
	w, born, err := s.Bear("demo.0.r1", Born{Revision: "r", Job: "17_4", Time: time.Unix(1, 0).UTC()})
	if err != nil || !born || w.ID() != "demo.0.r1" {
		t.Fatalf("born: %t, %v", born, err)
	}
	got, err := s.ReadBorn("demo.0.r1")
	must(t, err)
	if got.Process != Self() || got.Nonce == "" || got.Revision != "r" || got.Job != "17_4" || !got.Time.Equal(time.Unix(1, 0)) {
		t.Fatalf("born.json has %+v", got)
	}
	must(t, w.Journal.Append(Event{Kind: EventBeat, Count: 1}))
	if _, err := s.ReadExit(w.ID()); err == nil {
		t.Fatal("it has an exit record and lives")
	}
	must(t, w.Exit(ExitSetupFailed, &Failure{Type: "ImportError", Message: "no module"}))
	exit, err := s.ReadExit(w.ID())
	if err != nil || exit.Reason != ExitSetupFailed || exit.Failure.Message != "no module" || exit.Time.IsZero() {
		t.Fatalf("exit.json has %+v, %v", exit, err)
	}
	var events int
	must(t, s.JournalTail(w.ID(), 0).Read(func([]byte, int64) error { events++; return nil }))
	if events != 1 {
		t.Fatalf("Exit left %d of 1 events in the journal", events)
	}
}

func TestBearTakenOrMisnamed(t *testing.T) {
	s := newSpool(t)
	must(t, bear(t, s, "demo.0.r1").Exit(ExitIdle, nil))
	if again, born, err := s.Bear("demo.0.r1", Born{}); again != nil || born || err != nil {
		t.Fatalf("the slot of a worker that ended is given again: %t, %v", born, err)
	}
	for _, id := range []string{"../evil.0.r1", "demo", ""} {
		if _, born, err := s.Bear(id, Born{}); born || err == nil {
			t.Errorf("worker id %q: %t, %v", id, born, err)
		}
	}
	workers, err := s.Workers()
	if err != nil || !reflect.DeepEqual(workers, []string{"demo.0.r1"}) {
		t.Fatalf("workers %q, %v", workers, err)
	}
}

func TestLiving(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	bear(t, s, "w.0.r1")
	must(t, bear(t, s, "w.1.r1").Exit(ExitIdle, nil))
	bear(t, s, "w.2.r1")
	for _, id := range []string{"w.2.r1", "w.3.r1"} { // one that was born, and one that was not
		if _, err := l.Fence(id); err != nil {
			t.Fatal(err)
		}
	}
	killed := start(t, "bear", s.Path(), "w.4.r1")
	killed.line()
	killed.in.Close()
	if killed.line() != "born" {
		t.Fatal("not born")
	}
	if err := killed.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if living, err := s.Living(); err != nil || !slices.Equal(living, []string{"w.0.r1"}) {
		t.Fatalf("%q live, %v", living, err)
	}
}

// TestBearByMany starts many goroutines and processes for one slot: one is born, the others touch nothing.
func TestBearByMany(t *testing.T) {
	s := newSpool(t)
	var children []*child
	for range 4 {
		c := start(t, "bear", s.Path(), "twin.0.r1")
		c.line()
		children = append(children, c)
	}
	births := make(chan bool, 16)
	var wg sync.WaitGroup
	for range cap(births) {
		wg.Go(func() {
			_, born, err := s.Bear("twin.0.r1", Born{})
			if err != nil {
				t.Error(err)
			}
			births <- born
		})
	}
	for _, c := range children {
		c.release()
	}
	wg.Wait()
	close(births)
	n := 0
	for born := range births {
		if born {
			n++
		}
	}
	for _, c := range children {
		if slices.Contains(c.end(), "born") {
			n++
		}
	}
	entries, err := os.ReadDir(s.path("workers"))
	must(t, err)
	if n != 1 || len(entries) != 1 {
		t.Fatalf("%d were born for one slot, the folder holds %v", n, entries)
	}
}

func roleBear(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	say("ready")
	released()
	_, born, err := s.Bear(args[1], Born{})
	if born {
		say("born")
	}
	return err
}

func TestBearAfterFence(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	for range 2 {
		held, err := l.Fence("late.0.r1")
		if err != nil || len(held) > 0 {
			t.Fatalf("fencing a worker that is not born: %v, %v", held, err)
		}
	}
	if w, born, err := s.Bear("late.0.r1", Born{}); w != nil || born || err != nil {
		t.Fatalf("it was born all the same: %t, %v", born, err)
	}
	if !s.IsFenced("late.0.r1") || s.IsFenced("other.0.r1") {
		t.Fatal("IsFenced is wrong")
	}
}

func TestBlame(t *testing.T) {
	s := newSpool(t)
	w := bear(t, s, "w.0.r1")
	slot := func(i int, text string) {
		t.Helper()
		data := fmt.Appendf(nil, "%-*s", SlotSize, text)
		if _, err := w.Current.WriteAt(data[:SlotSize], int64(i*SlotSize)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(marks ...string) {
		t.Helper()
		got, err := w.Blamed()
		if err != nil || !slices.Equal(got, marks) {
			t.Fatalf("blamed %q, %v; want %q", got, err, marks)
		}
	}
	want()
	slot(2, "000001-00000001/2") // slots 0 and 1 are a hole
	want("000001-00000001/2")
	slot(0, "000001-00000001/0\n")
	want("000001-00000001/0", "000001-00000001/2")
	slot(0, "")
	want("000001-00000001/2")
	slot(2, strings.Repeat("\x00", SlotSize))
	want()
	_, err := w.Current.WriteAt([]byte("half a slot"), 3*SlotSize)
	must(t, err)
	want()
}

func TestRoom(t *testing.T) {
	s := newSpoolIn(t, mountTmpfs(t))
	w := bear(t, s, "w.0.r1")
	filler := s.path("filler")
	fill(t, filler, 4096)
	if err := w.Room(); !IsFull(err) {
		t.Fatalf("a full disk has room: %v", err)
	}
	if left, _ := os.ReadDir(s.tmpDir(w.ID())); len(left) > 0 {
		t.Fatalf("the probe left %v", left)
	}
	must(t, os.Remove(filler))
	if err := w.Room(); !IsFull(err) {
		t.Fatalf("64 KiB fit into a file system of 64 KiB that is not empty: %v", err)
	}
	here := bear(t, newSpool(t), "w.0.r1")
	must(t, here.Room())
	if left, _ := os.ReadDir(here.spool.tmpDir(here.ID())); len(left) > 0 {
		t.Fatalf("the probe left %v", left)
	}
	_, err := lock(t, here.spool).Fence(here.ID())
	must(t, err)
	wantIs(t, here.Room(), fs.ErrNotExist)
}

func TestExitOntoFullDisk(t *testing.T) {
	s := newSpoolIn(t, mountTmpfs(t))
	w := bear(t, s, "w.0.r1")
	must(t, w.Journal.Append(Event{Kind: EventDone, Files: []Name{Name(strings.Repeat("x", 255))}}))
	fill(t, filepath.Join(s.Path(), "filler"), 0)
	if err := w.Exit(ExitStopped, nil); !IsFull(err) {
		t.Fatalf("leaving with the disk full: %v", err)
	}
	if _, err := s.ReadExit(w.ID()); err == nil {
		t.Fatal("there is an exit record, and the journal before it was not written")
	}
}
