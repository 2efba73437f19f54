package spool

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSlot(t *testing.T) {
	for _, c := range []struct {
		id, slot string
		restart  int
	}{
		{"demo.0.r1", "demo.0", 1},
		{"a-r9.17.r203", "a-r9.17", 203},
		{"r.1.r999999", "r.1", 999999},
	} {
		if slot, restart := Slot(c.id); slot != c.slot || restart != c.restart {
			t.Errorf("%s is worker %d of slot %s, want %d of %s", c.id, restart, slot, c.restart, c.slot)
		}
	}
}

// TestPrune: folder and logs go, those of others stay, and nobody is born for an earlier turn of a slot.
func TestPrune(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	for _, id := range []string{"demo.0.r1", "demo.0.r2", "demo.1.r1"} {
		must(t, bear(t, s, id).Exit(ExitIdle, nil))
		must(t, os.WriteFile(s.LogPath(id), nil, 0o666))
		must(t, os.WriteFile(s.LogPath(id)+".1", nil, 0o666))
	}
	locked := filepath.Join(s.workerDir("demo.0.r1"), "tmp", "locked")
	must(t, os.MkdirAll(filepath.Join(locked, "deep"), 0o777))
	must(t, os.Chmod(locked, 0o500)) // as user code may leave it
	for range 2 {                    // a crash in between is no matter
		must(t, l.Prune("demo.0.r1"))
	}
	for id, want := range map[string]bool{"demo.0.r1": false, "demo.0.r2": true, "demo.1.r1": true} {
		for _, path := range []string{s.workerDir(id), s.LogPath(id), s.LogPath(id) + ".1"} {
			if _, err := os.Lstat(path); (err == nil) != want {
				t.Errorf("%s is there: %t, want %t", path, err == nil, want)
			}
		}
	}
	if _, born, err := s.Bear("demo.0.r1", Born{}); born || err != nil {
		t.Errorf("born for a turn that is over: %t, %v", born, err)
	}
	if w, born, err := s.Bear("demo.1.r2", Born{}); !born || err != nil {
		t.Errorf("not born for the next turn: %t, %v", born, err)
	} else {
		must(t, w.Exit(ExitIdle, nil))
	}
}
