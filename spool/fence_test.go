package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"testing"
)

func fence(t *testing.T, l *Lock, id string) []Held {
	t.Helper()
	held, err := l.Fence(id)
	must(t, err)
	slices.SortFunc(held, func(a, b Held) int { return a.ID.Compare(b.ID) })
	return held
}

func TestFenceTellsWhatWasHeld(t *testing.T) {
	s := newSpool(t)
	l, w := lock(t, s), bear(t, s, "w.0.r1")
	one, waits := feed(t, l, "a.txt", "\xff.txt", "c.txt"), feed(t, l, "d.txt")
	alone, err := l.Feed(Batch{Files: []Name{"e.txt"}, Alone: true})
	must(t, err)
	dropped := feed(t, l, "f.txt")
	for _, id := range []BatchID{one, alone, dropped} {
		claim(t, w, id)
	}
	must(t, w.Drop(dropped))
	for slot, mark := range []string{
		Mark{one, 1}.String(), "", Mark{alone, 0}.String(), Mark{one, 3}.String(), Mark{dropped, 0}.String(), Mark{one, 0}.String() + "x", "rubbish",
	} {
		_, err := w.Current.WriteAt(fmt.Appendf(nil, "%-*s", SlotSize, mark), int64(slot*SlotSize))
		must(t, err)
	}
	newTemp(t, w)
	want := []Held{
		{ID: one, Files: []Name{"a.txt", "\xff.txt", "c.txt"}, Begun: []Name{"\xff.txt"}},
		{ID: alone, Files: []Name{"e.txt"}, Alone: true, Begun: []Name{"e.txt"}},
	}
	for range 2 { // a dispatcher that died in between asks again
		if held := fence(t, l, w.ID()); !reflect.DeepEqual(held, want) {
			t.Fatalf("held %+v\nwant %+v", held, want)
		}
		if !w.Fenced() || !s.IsFenced(w.ID()) || exists(s.tmpDir(w.ID())) {
			t.Fatal("the worker is not fenced")
		}
		if claims, err := s.Claims(w.ID()); len(claims) > 0 || err != nil {
			t.Fatalf("a fenced worker claims %v, %v", claims, err)
		}
	}
	if got := queue(t, s); !reflect.DeepEqual(got, []BatchID{waits}) {
		t.Fatalf("the queue holds %v", got)
	}
}

// TestHolding asks what a worker holds while it lives, while it lets go, and after the fence.
func TestHolding(t *testing.T) {
	s := newSpool(t)
	l, w := lock(t, s), bear(t, s, "w.0.r1")
	var batches []BatchID
	for i := range 200 {
		batches = append(batches, feed(t, l, Name(fmt.Sprintf("%d.txt", i))))
		claim(t, w, batches[i])
	}
	holding := func() []BatchID {
		held, err := s.Holding(w.ID())
		must(t, err)
		return batchIDs(held)
	}
	if got := holding(); len(got) != len(batches) {
		t.Fatalf("holds %d of %d", len(got), len(batches))
	}
	dropped := make(chan error)
	go func() {
		var err error
		for _, id := range batches[1:] {
			err = errors.Join(err, w.Drop(id))
		}
		dropped <- err
	}()
	for running := true; running; {
		select {
		case err := <-dropped:
			must(t, err)
			running = false
		default:
			holding()
		}
	}
	fence(t, l, w.ID())
	if got := holding(); !reflect.DeepEqual(got, batches[:1]) {
		t.Fatalf("held %v after the fence, want %v", got, batches[:1])
	}
	if got, err := s.Holding("other.0.r1"); len(got) > 0 || err != nil {
		t.Fatalf("a worker that never was holds %v, %v", got, err)
	}
}

func batchIDs(held []Held) []BatchID {
	var ids []BatchID
	for _, h := range held {
		ids = append(ids, h.ID)
	}
	return ids
}

// TestFenceWhileBorn has a worker be born while it is fenced: either it is not, or it cannot begin.
func TestFenceWhileBorn(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	births := 0
	for round := range 40 {
		id := fmt.Sprintf("w.%d.r1", round)
		var w *Worker
		var bearErr, fenceErr error
		acts := []func(){
			func() { w, _, bearErr = s.Bear(id, Born{}) },
			func() { _, fenceErr = l.Fence(id) },
		}
		var wg sync.WaitGroup
		wg.Go(acts[round%2])
		wg.Go(acts[1-round%2])
		wg.Wait()
		must(t, fenceErr)
		if bearErr != nil && !errors.Is(bearErr, fs.ErrNotExist) {
			t.Fatal(bearErr)
		}
		if w != nil {
			births++
			if _, err := w.NewTemp(".out"); err == nil || !w.Fenced() {
				t.Fatalf("round %d: a fenced worker began: %v", round, err)
			}
			must(t, errors.Join(w.Journal.Close(), w.Current.Close()))
		}
		if !s.IsFenced(id) {
			t.Fatalf("round %d: not fenced", round)
		}
	}
	t.Logf("%d of 40 were born before the fence", births)
}

func TestFenceOnFullDisk(t *testing.T) {
	s := newSpoolIn(t, mountTmpfs(t))
	l, w := lock(t, s), bear(t, s, "w.0.r1")
	id := feed(t, l, "a.txt")
	claim(t, w, id)
	fill(t, newTemp(t, w), 0) // the dead worker's own temporary is what fills it
	if held := fence(t, l, w.ID()); len(held) != 1 || held[0].ID != id {
		t.Fatalf("held %+v", held)
	}
	if !s.IsFenced(w.ID()) {
		t.Fatal("not fenced")
	}
	feed(t, l, "a.txt") // there is room again
}

// TestReadOnlyFolders removes what user code may leave in tmp: folders that their owner must open before they can be
// emptied, as a Go module cache has them. Root needs no such permission, so the check runs as somebody else.
func TestReadOnlyFolders(t *testing.T) {
	root := t.TempDir()
	if os.Geteuid() == 0 {
		must(t, os.Chmod(filepath.Dir(root), 0o755))
		must(t, os.Chown(root, 65534, 65534))
	}
	start(t, "readOnly", root).end()
}

func roleReadOnly(args []string) error {
	if os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
	}
	root := args[0]
	s, err := Create(filepath.Join(root, "spool"), testOwner, testSpec(root))
	if err != nil {
		return err
	}
	w, _, err := s.Bear("w.0.r1", Born{})
	if err != nil {
		return err
	}
	litter := func() (string, error) {
		tmp, err := w.NewTemp(".out")
		dir := tmp + ".cache"
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, "deep", "deeper"), 0o777))
		for _, d := range []string{"deep/deeper", "deep", "."} {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, d, "file"), nil, 0o444), os.Chmod(filepath.Join(dir, d), 0o500))
		}
		if os.RemoveAll(dir) == nil {
			err = errors.Join(err, errors.New("read-only folders do not hinder this user: nothing is tested"))
		}
		return tmp, err
	}
	tmp, err := litter()
	if err := errors.Join(err, w.Discard(tmp)); err != nil {
		return fmt.Errorf("discard: %w", err)
	}
	_, err = litter()
	if err := errors.Join(err, w.Sweep()); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	if left, err := os.ReadDir(s.tmpDir(w.ID())); err != nil || len(left) > 0 {
		return fmt.Errorf("left %v, %w", left, err)
	}
	if _, err = litter(); err != nil {
		return err
	}
	l, err := (&Contender{Spool: s}).Try()
	if err != nil {
		return err
	}
	_, err = l.Fence(w.ID())
	return err
}
