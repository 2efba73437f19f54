package spool

import (
	"fmt"
	"strconv"
	"strings"
)

// Slot splits the id of a worker into its slot and how many workers that has had, this one included.
func Slot(id string) (slot string, restart int) {
	slot, n, _ := strings.Cut(id, ".r") // a key has no dot
	restart, _ = strconv.Atoi(n)        // six digits fit
	return slot, restart
}

// Prune removes the folder of a worker that has ended, and its log. Its journal is folded, so the history needs it no
// more. The last worker of a slot must stay: it shows that the earlier ones had their turn.
func (l *Lock) Prune(id string) error {
	for _, path := range []string{l.spool.workerDir(id), l.spool.LogPath(id), OldLogPath(l.spool.LogPath(id))} {
		if err := removeAll(path); err != nil {
			return fmt.Errorf("removing what worker %s left: %w", id, err)
		}
	}
	return nil
}

// succeeded reports whether the slot of a worker was given to a later one: then the worker is a second process, started
// for a turn that is over, though its folder may be pruned.
func (s *Spool) succeeded(id string) (bool, error) {
	slot, restart := Slot(id)
	ids, err := s.Workers()
	for _, other := range ids {
		if s, n := Slot(other); s == slot && n > restart {
			return true, nil
		}
	}
	return false, err
}
