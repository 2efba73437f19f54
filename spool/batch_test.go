package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
)

func feed(t *testing.T, l *Lock, files ...Name) BatchID {
	t.Helper()
	id, err := l.Feed(Batch{Files: files})
	must(t, err)
	return id
}

func claim(t *testing.T, w *Worker, id BatchID) Batch {
	t.Helper()
	b, ok, err := w.Claim(id)
	if err != nil || !ok {
		t.Fatalf("claiming batch %s: %t, %v", id, ok, err)
	}
	return b
}

func queue(t *testing.T, s *Spool) []BatchID {
	t.Helper()
	ids, err := s.Queue()
	must(t, err)
	slices.SortFunc(ids, BatchID.Compare)
	return ids
}

func TestBatch(t *testing.T) {
	s := newSpool(t)
	l, w := lock(t, s), bear(t, s, "w.0.r1")
	var want []Batch
	for i, n := range hardNames {
		b := Batch{Files: []Name{Name(n), "b.txt"}, Alone: i%2 == 0}
		id, err := l.Feed(b)
		must(t, err)
		if id != (BatchID{Epoch: 1, Seq: i + 1}) {
			t.Fatalf("batch %d is %v", i, id)
		}
		want = append(want, b)
	}
	for i, id := range queue(t, s) {
		if got := claim(t, w, id); !reflect.DeepEqual(got, want[i]) {
			t.Fatalf("fed %+v, claimed %+v", want[i], got)
		}
		if _, ok, err := w.Claim(BatchID{Epoch: 1, Seq: 1000}); ok || err != nil {
			t.Fatalf("a batch that nobody fed: %t, %v", ok, err)
		}
	}
	held, err := s.Claims("w.0.r1")
	if err != nil || len(held) != len(want) || len(queue(t, s)) > 0 {
		t.Fatalf("holds %v, %v; the queue %v", held, err, queue(t, s))
	}
	for range 2 { // a second time does no harm
		must(t, w.Drop(held[0]))
	}
	if left, _ := s.Claims("w.0.r1"); len(left) != len(want)-1 {
		t.Fatalf("after Drop it holds %d of %d", len(left), len(want))
	}
}

func TestClaimWhoseAnswerWasLost(t *testing.T) {
	s := newSpool(t)
	l, w := lock(t, s), bear(t, s, "w.0.r1")
	id := feed(t, l, "a.txt")
	must(t, os.Rename(s.batchPath(id), filepath.Join(s.claimedDir(w.ID()), id.String()+batchSuffix)))
	if b := claim(t, w, id); len(b.Files) != 1 {
		t.Fatalf("claimed %+v", b)
	}
}

func TestClaimUnreadableBatch(t *testing.T) {
	whole := string(record(t, Batch{Files: []Name{"a.txt"}}))
	for content, want := range map[string]error{
		"":                            ErrIncomplete,
		whole[:10]:                    ErrIncomplete,
		whole[:len(whole)-1]:          ErrIncomplete,
		"\x00" + whole[1:]:            ErrCorrupt,
		whole[:len(whole)-2] + "?\n":  ErrCorrupt,
		string(record(t, "no batch")): ErrCorrupt,
	} {
		s := newSpool(t)
		l, w := lock(t, s), bear(t, s, "w.0.r1")
		id := feed(t, l, "a.txt")
		write(t, s.batchPath(id), content)
		b, ok, err := w.Claim(id)
		if !ok || !errors.Is(err, want) || len(b.Files) > 0 {
			t.Errorf("claiming %q: %+v, %t, %v; want %v", content, b, ok, err, want)
		}
		if IsStorage(err) {
			t.Errorf("%v counts as the storage's fault", err)
		}
		held, err := l.Fence(w.ID())
		if err != nil || len(held) != 1 || held[0].ID != id || len(held[0].Files) > 0 {
			t.Errorf("%q: fenced with %+v, %v", content, held, err)
		}
	}
}

func TestFeedOntoFullDisk(t *testing.T) {
	s := newSpoolIn(t, mountTmpfs(t))
	l := lock(t, s)
	filler := s.path("filler")
	fill(t, filler, 0)
	if _, err := l.Feed(Batch{Files: []Name{"a.txt"}}); !IsFull(err) {
		t.Fatalf("feeding onto a full disk: %v", err)
	}
	must(t, os.Remove(filler))
	if id := feed(t, l, "a.txt"); id.Seq != 2 || !reflect.DeepEqual(queue(t, s), []BatchID{id}) {
		t.Fatalf("fed %v, the queue holds %v", id, queue(t, s))
	}
	entries, err := os.ReadDir(s.queueDir())
	if err != nil || len(entries) != 1 {
		t.Fatalf("the queue's folder holds %v, %v", entries, err)
	}
}

func TestWithdraw(t *testing.T) {
	s := newSpool(t)
	l1, w := lock(t, s), bear(t, s, "w.0.r1")
	old, kept := feed(t, l1, "a.txt"), feed(t, l1, "b.txt")
	claim(t, w, kept)
	must(t, l1.Close())
	l2 := lock(t, s)
	young := feed(t, l2, "a.txt")
	must(t, l2.Withdraw())
	if got := queue(t, s); !reflect.DeepEqual(got, []BatchID{young}) {
		t.Fatalf("the queue holds %v, want %v without %v", got, young, old)
	}
	if held, _ := s.Claims("w.0.r1"); !reflect.DeepEqual(held, []BatchID{kept}) {
		t.Fatalf("what a worker holds was withdrawn: %v", held)
	}
	// A zombie feeds on. Its batch can be told by its epoch.
	late := feed(t, l1, "c.txt")
	if top, err := w.Epoch(); err != nil || late.Epoch >= top || young.Epoch < top {
		t.Fatalf("epoch %d, %v; batches %v and %v", top, err, late, young)
	}
}

// TestClaimByMany has goroutines and processes claim whatever they see: each batch goes to exactly one.
func TestClaimByMany(t *testing.T) {
	const batches, threads, processes = 300, 6, 4
	s := newSpool(t)
	l := lock(t, s)
	for i := range batches {
		feed(t, l, Name(fmt.Sprintf("%d.txt", i)))
	}
	var children []*child
	for i := range processes {
		c := start(t, "claim", s.Path(), fmt.Sprintf("process.%d.r1", i))
		c.line()
		children = append(children, c)
	}
	claimed := make(chan string, batches*2)
	var wg sync.WaitGroup
	for i := range threads {
		w := bear(t, s, fmt.Sprintf("thread.%d.r1", i))
		wg.Go(func() {
			if err := claimAll(s, w, func(id BatchID) { claimed <- id.String() }); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range children {
		c.release()
	}
	wg.Wait()
	close(claimed)
	count := map[string]int{}
	for id := range claimed {
		count[id]++
	}
	for _, c := range children {
		for _, id := range c.end() {
			count[id]++
		}
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("batch %s was claimed %d times", id, n)
		}
	}
	if len(count) != batches || len(queue(t, s)) > 0 {
		t.Errorf("%d of %d batches were claimed, %d wait", len(count), batches, len(queue(t, s)))
	}
}

func claimAll(s *Spool, w *Worker, claimed func(BatchID)) error {
	for {
		ids, err := s.Queue()
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			b, ok, err := w.Claim(id)
			if err != nil {
				return err
			}
			if ok && len(b.Files) != 1 {
				return fmt.Errorf("batch %s has files %q", id, b.Files)
			}
			if ok {
				claimed(id)
			}
		}
	}
}

func roleClaim(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	w, born, err := s.Bear(args[1], Born{})
	if err != nil || !born {
		return fmt.Errorf("born: %t, %w", born, err)
	}
	say("ready")
	released()
	return claimAll(s, w, func(id BatchID) { say("%s", id) })
}
