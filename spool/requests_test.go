package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRequests(t *testing.T) {
	s := newSpool(t)
	if list, err := s.Requests(); err != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, err)
	}
	if _, err := s.Ask(Request{Kind: RequestRetry, Match: "[a-"}); err == nil {
		t.Error("a pattern that is none was taken")
	}
	must(t, os.RemoveAll(s.RequestsDir())) // a spool of which somebody has tidied up empty folders
}

func TestRequestsAnswered(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	asked := map[string]Request{}
	for _, r := range []Request{{Kind: RequestRetry, Match: "*.txt"}, {Kind: RequestResume}, {Kind: RequestStop}} {
		id, err := s.Ask(r)
		must(t, err)
		asked[id] = r
	}
	write(t, filepath.Join(s.RequestsDir(), "odd.json"), "{")
	write(t, filepath.Join(s.RequestsDir(), newPrefix+"x"), "not published")
	list, err := s.Requests()
	must(t, err)
	if len(list) != 4 || list[0].ID != "odd" || list[0].Kind != "" {
		t.Fatalf("%+v", list)
	}
	for _, r := range list[1:] {
		want := asked[r.ID]
		if r.Kind != want.Kind || r.Match != want.Match || r.By != Self() || r.Epoch != 0 && r.Kind != RequestStop {
			t.Errorf("asked %+v, read %+v", want, r)
		}
		if r.Kind == RequestStop && r.Epoch != l.Epoch() {
			t.Errorf("a stop of epoch %d, and the dispatcher's is %d", r.Epoch, l.Epoch())
		}
		must(t, l.Answer(r.ID))
		must(t, l.Answer(r.ID)) // again, as after a lost answer
	}
	if list, err = s.Requests(); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
}

func TestRequestMatches(t *testing.T) {
	for _, c := range []struct {
		match string
		name  Name
		want  bool
	}{
		{"", "a.txt", true},
		{"*.txt", "a.txt", true},
		{"*.txt", "sub/a.txt", true},
		{"sub/*", "sub/a.txt", true},
		{"b*", "a.txt", false},
		{"?.txt", "\xff.txt", true},
	} {
		if got := (Request{Match: c.match}).Matches(c.name); got != c.want {
			t.Errorf("%q matches %q: %t", c.match, c.name, got)
		}
	}
}

func TestRecall(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	w := bear(t, s, "w.0.r1")
	mine, theirs := feed(t, l, "a.txt"), feed(t, l, "b.txt")
	claim(t, w, theirs)
	for id, want := range map[BatchID]bool{mine: true, theirs: false} {
		if got, err := l.Recall(id); err != nil || got != want {
			t.Errorf("recalling %s: %t, %v", id, got, err)
		}
	}
	if ids, err := s.Queue(); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

// TestReplaceLostAnswer: the rename was done, its answer got lost, and the client has repeated it.
func TestReplaceLostAnswer(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "there")
	tmp, err := writeTemp(target, []byte("new"))
	must(t, err)
	must(t, os.Rename(tmp, target))
	if err := replace(tmp, target); err != nil {
		t.Error(err)
	}
	if err := replace(tmp, filepath.Join(dir, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was never written: %v", err)
	}
}

func TestDispatching(t *testing.T) {
	s := newSpool(t)
	if h, err := s.Dispatching(); h != nil || err != nil {
		t.Fatalf("%v, %v", h, err)
	}
	l := lock(t, s)
	if h, err := s.Dispatching(); err != nil || h == nil || h.PID != os.Getpid() || h.Silent() {
		t.Fatalf("%v, %v", h, err)
	}
	long := time.Now().Add(-2 * LeasePatience)
	must(t, os.Chtimes(filepath.Join(s.epochDir(1), "lease"), long, long))
	if h, err := s.Dispatching(); err != nil || h == nil || !h.Silent() {
		t.Fatalf("%v, %v", h, err)
	}
	must(t, l.Close())
	if h, err := s.Dispatching(); h != nil || err != nil {
		t.Fatalf("%v, %v", h, err)
	}
}
