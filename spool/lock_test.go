package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a Contender's clock that a test turns.
type clock struct{ now time.Time }

func (c *clock) contender(s *Spool) *Contender {
	return &Contender{Spool: s, Owner: testOwner, Now: func() time.Time { return c.now }}
}

func (c *clock) forward(d time.Duration) { c.now = c.now.Add(d) }

func wantEpoch(t *testing.T, l *Lock, err error, epoch int) *Lock {
	t.Helper()
	if err != nil || l.Epoch() != epoch {
		t.Fatalf("lock %+v, %v; want epoch %d", l, err, epoch)
	}
	t.Cleanup(l.Abandon)
	return l
}

func wantHeld(t *testing.T, l *Lock, err error, left time.Duration) {
	t.Helper()
	var held *HeldError
	if l != nil || !errors.As(err, &held) || held.Left != left {
		t.Fatalf("lock %v, %v; want it held for another %s", l, err, left)
	}
}

func TestLockClosed(t *testing.T) {
	s := newSpool(t)
	for epoch := 1; epoch <= 3; epoch++ {
		l := wantEpoch(t, lock(t, s), nil, epoch)
		must(t, l.Check())
		must(t, l.Append(Entry{Kind: EntryFold, Worker: "w.0.r1"}))
		must(t, l.Close()) // and the next need not wait
	}
	epochs, err := s.Epochs()
	if err != nil || !reflect.DeepEqual(epochs, []int{1, 2, 3}) {
		t.Fatalf("epochs %v, %v", epochs, err)
	}
}

func TestLockOfAnotherProcess(t *testing.T) {
	s := newSpool(t)
	holder := start(t, "hold", s.Path())
	holder.line()
	c := &clock{now: time.Now()}
	contender := c.contender(s)
	l, err := contender.Try()
	wantHeld(t, l, err, LeasePatience)
	var held *HeldError
	if !errors.As(err, &held) || held.Holder.PID != holder.cmd.Process.Pid || held.Holder.Owner != testOwner {
		t.Fatalf("held by %+v", held.Holder)
	}
	for _, word := range []string{held.Holder.Host, "default/demo", "1m0s"} {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%q does not name %q", err, word)
		}
	}
	c.forward(LeasePatience - time.Second)
	l, err = contender.Try()
	wantHeld(t, l, err, time.Second)

	holder.kill() // seen at once, before the patience is at its end
	l, err = contender.Try()
	wantEpoch(t, l, err, 2)
}

func roleHold(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	if _, err := (&Contender{Spool: s, Owner: testOwner}).Try(); err != nil {
		return err
	}
	say("held")
	released()
	return nil
}

func TestLockPatience(t *testing.T) {
	s := newSpool(t)
	l1 := lock(t, s) // by this process, which lives
	c := &clock{now: time.Now()}
	contender := c.contender(s)
	l, err := contender.Try()
	wantHeld(t, l, err, LeasePatience)
	for range 50 { // the lease moves, however seldom: never
		_, err = l1.Renew()
		must(t, err)
		c.forward(LeasePatience + time.Hour)
		l, err = contender.Try()
		wantHeld(t, l, err, LeasePatience)
		c.forward(LeasePatience - 1)
		l, err = contender.Try()
		wantHeld(t, l, err, 1)
	}
	must(t, l1.Check())
	c.forward(1) // it stands still
	l, err = contender.Try()
	wantEpoch(t, l, err, 2)
	wantIs(t, l1.Check(), ErrSuperseded)

	// Each contender has to see it with its own eyes.
	l, err = c.contender(s).Try()
	wantHeld(t, l, err, LeasePatience)
}

func TestLockHolderOnAnotherHost(t *testing.T) {
	s := newSpool(t)
	lock(t, s).Abandon()
	path := filepath.Join(s.epochDir(1), "owner.json")
	var h Holder
	must(t, readJSON(path, &h))
	h.Host, h.BootID, h.PID = "elsewhere", "another", 1<<30
	must(t, writeJSON(path, h))
	c := &clock{now: time.Now()}
	contender := c.contender(s)
	l, err := contender.Try()
	wantHeld(t, l, err, LeasePatience)
	c.forward(LeasePatience)
	l, err = contender.Try()
	wantEpoch(t, l, err, 2)
}

func TestTakeOver(t *testing.T) {
	s := newSpool(t)
	l1 := lock(t, s)
	must(t, l1.Append(Entry{Kind: EntryFailed, File: "a.txt"}))
	contender := (&clock{now: time.Now()}).contender(s)
	contender.TakeOver = true
	l, err := contender.Try()
	l2 := wantEpoch(t, l, err, 2)

	wantIs(t, l1.Check(), ErrSuperseded)
	must(t, l1.Close()) // in peace, but without a word
	if got := read(t, s.ledgerPath(1)); got != "" {
		t.Fatalf("a superseded dispatcher wrote %q", got)
	}
	must(t, l2.Check())

	// It was asked to take over from epoch 1: it leaves alone who else has come since.
	l, err = contender.Try()
	wantHeld(t, l, err, LeasePatience)
	must(t, l2.Close())
	l, err = contender.Try()
	wantEpoch(t, l, err, 3)
}

func TestLockByManyAtOnce(t *testing.T) {
	s := newSpool(t)
	var children []*child
	for range 4 {
		c := start(t, "contend", s.Path())
		c.line()
		children = append(children, c)
	}
	results := make(chan error, 16)
	var wg sync.WaitGroup
	for range cap(results) {
		wg.Go(func() {
			l, err := (&Contender{Spool: s, Owner: testOwner}).Try()
			if err == nil {
				t.Cleanup(l.Abandon)
			}
			results <- err
		})
	}
	for _, c := range children {
		fmt.Fprintln(c.in, "go")
	}
	wg.Wait()
	close(results)
	won := map[bool]int{}
	for err := range results {
		var held *HeldError
		if err != nil && !errors.As(err, &held) {
			t.Fatal(err)
		}
		won[err == nil]++
	}
	for _, c := range children {
		won[c.line() == "won"]++
	}
	if won[true] != 1 || won[false] != 19 {
		t.Fatalf("won: %v", won)
	}
	for _, c := range children {
		c.end()
	}
}

func roleContend(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	say("ready")
	var word string
	if _, err := fmt.Fscanln(os.Stdin, &word); err != nil {
		return err
	}
	_, err = (&Contender{Spool: s, Owner: testOwner}).Try()
	var held *HeldError
	switch {
	case err == nil:
		say("won")
	case errors.As(err, &held):
		say("held")
	default:
		return err
	}
	released() // a winner that ended would be succeeded
	return nil
}

// TestLockAfterKillWhileTaking finds what a process leaves that dies between building the folder and naming it.
func TestLockAfterKillWhileTaking(t *testing.T) {
	s := newSpool(t)
	for i, left := range []string{newPrefix + "0123456789abcdef", "notes", "7", "+00008", "0000009"} {
		must(t, os.Mkdir(s.path("dispatch", left), 0o777))
		l := wantEpoch(t, lock(t, s), nil, i+1)
		must(t, l.Close())
	}
}

// TestKilledWhileTaking kills processes that take the lock and are born as workers all the time. Whatever moment it hits,
// no folder may stand without its owner, and the next one takes the lock at once.
func TestKilledWhileTaking(t *testing.T) {
	s := newSpool(t)
	for round := range 20 {
		c := start(t, "churn", s.Path(), fmt.Sprintf("w%d", round))
		for range 1 + round%3 {
			c.line()
		}
		c.kill()
		l, err := (&clock{}).contender(s).Try()
		must(t, err)
		must(t, l.Close())
	}
	epochs, err := s.Epochs()
	must(t, err)
	for _, e := range epochs {
		var h Holder
		must(t, readJSON(filepath.Join(s.epochDir(e), "owner.json"), &h))
		_, err := s.closed(e)
		must(t, err)
	}
	workers, err := s.Workers()
	must(t, err)
	for _, id := range workers {
		_, err := s.ReadBorn(id)
		must(t, err)
	}
	t.Logf("%d locks, %d workers", len(epochs), len(workers))
}

func roleChurn(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		l, err := (&Contender{Spool: s, Owner: testOwner}).Try()
		if err != nil {
			return err
		}
		if _, _, err := s.Bear(fmt.Sprintf("%s.%d.r1", args[1], i), Born{}); err != nil {
			return err
		}
		say("%d", i)
		if err := l.Close(); err != nil {
			return err
		}
	}
}

func TestLockDamagedOwner(t *testing.T) {
	s := newSpool(t)
	lock(t, s).Abandon()
	path := filepath.Join(s.epochDir(1), "owner.json")
	write(t, path, "{")
	if _, err := (&Contender{Spool: s}).Try(); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v does not name %s", err, path)
	}
}

func TestLockOfRemovedSpool(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	must(t, os.RemoveAll(s.Path()))
	if err := l.Check(); err == nil || errors.Is(err, ErrSuperseded) || !strings.Contains(err.Error(), s.Path()) {
		t.Fatalf("checking the lock of a spool that was removed: %v", err)
	}
}

func TestRenew(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	path := filepath.Join(s.epochDir(1), "lease")
	seen := map[string]bool{read(t, path): true}
	for range 20 {
		at, err := l.Renew()
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		if !at.Equal(info.ModTime()) {
			t.Fatalf("the file system's clock is told as %s, it is %s", at, info.ModTime())
		}
		text := read(t, path)
		if seen[text] || len(text) != 21 {
			t.Fatalf("lease %q", text)
		}
		seen[text] = true
	}
}

func TestLedger(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	var want []Entry
	for _, n := range hardNames {
		want = append(want,
			Entry{
				Kind: EntryFold, Worker: "w.0.r1", Offset: 7, Done: []Name{Name(n)}, Seconds: 0.5, Back: []Name{"b"}, Suspect: []Name{"c"}, Gone: []Name{"d"},
				Tried: []Try{{File: Name(n), Crashed: true, Failure: &Failure{Type: "Crashed", ExitCode: -11, Stderr: "x"}}},
			},
			Entry{Kind: EntryFailed, File: Name(n), Failure: &Failure{Type: "ValueError", Message: "m", Traceback: "t", Errno: 28}, Attempts: 2, Reason: "found"})
	}
	for _, e := range want {
		must(t, l.Append(e))
	}
	must(t, l.Flush())
	got := ledger(t, s, 1)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("wrote\n%+v\nread\n%+v", want, got)
	}
	must(t, l.Close())
	if got := ledger(t, s, 1); len(got) != len(want)+1 || got[len(want)].Kind != EntryClosed {
		t.Fatalf("after Close the ledger ends with %+v", got[len(got)-1])
	}
	if got := ledger(t, s, 2); len(got) > 0 {
		t.Fatalf("an epoch that never was: %+v", got)
	}
}

func ledger(t *testing.T, s *Spool, epoch int) []Entry {
	t.Helper()
	var got []Entry
	must(t, s.ReadLedger(epoch, func(e Entry) error {
		got = append(got, e)
		return nil
	}))
	return got
}
