package dispatcher

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const (
	keepEnded    = 100              // workers that have ended and whose folders stay, for people to look at
	keepEndedFor = 10 * time.Minute // and those that ended since
	pruneEvery   = time.Minute
)

// roll is the list of the workers.
type roll struct {
	seen    fs.FileInfo // the folder of their folders, before it was last listed
	listed  time.Time
	sure    bool
	ended   []ended // whose folders may be removed in time, those first that ended first
	pruneAt time.Time
}

type ended struct {
	id string
	at time.Time
}

// enlist meets the workers that were born since the last look. While their folder shows no change it is not listed.
func (d *Dispatcher) enlist(now time.Time) error {
	info, err := os.Stat(d.spool.WorkersDir())
	if err != nil {
		return err
	}
	if d.roll.sure && now.Sub(d.roll.listed) < auditEvery && sameFolder(info, d.roll.seen) {
		return nil
	}
	ids, err := d.spool.Workers()
	if err != nil {
		return err
	}
	clock, known := d.inputs.clock.on(info, false, now)
	d.roll.sure = known && clock.Sub(info.ModTime()) >= d.settleTime(info.ModTime())
	d.roll.seen, d.roll.listed = info, now
	for _, id := range ids {
		if _, known := d.workers[id]; !known {
			d.meet(id, 0, now)
		}
	}
	return nil
}

// sameFolder reports whether a folder looks as it did. Its links are its folders on most file systems.
func sameFolder(a, b os.FileInfo) bool {
	s, ok1 := a.Sys().(*syscall.Stat_t)
	t, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && a.ModTime().Equal(b.ModTime()) && s.Nlink == t.Nlink && a.Size() == b.Size() && s.Ino == t.Ino
}

// retire notes that a worker has ended for good.
func (d *Dispatcher) retire(id string, now time.Time) {
	d.workers[id] = nil
	d.roll.ended = append(d.roll.ended, ended{id, now})
}

// prune removes folders of ended workers, which would pile up. Kept are the last ones, and of each slot the last: it shows
// a second process for an earlier turn that it comes too late.
func (d *Dispatcher) prune(now time.Time) {
	if now.Before(d.roll.pruneAt) || len(d.roll.ended) <= keepEnded {
		return
	}
	d.roll.pruneAt = now.Add(pruneEvery)
	highest := map[string]int{}
	for id := range d.workers {
		slot, restart := spool.Slot(id)
		highest[slot] = max(highest[slot], restart)
	}
	old := len(d.roll.ended) - keepEnded
	kept := make([]ended, 0, keepEnded)
	for i, e := range d.roll.ended {
		slot, restart := spool.Slot(e.id)
		if i >= old || now.Sub(e.at) < keepEndedFor || restart == highest[slot] {
			kept = append(kept, e)
			continue
		}
		if err := d.lock.Prune(e.id); err != nil { // it is in nobody's way, so nothing waits for it
			d.log.Warn("an ended worker's folder stays", "error", err)
			kept = append(kept, e)
			continue
		}
		delete(d.workers, e.id)
	}
	d.roll.ended = kept
}
