package worker

import (
	"context"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/worker/handler"
)

// lane is the place of one handler process. A worker has one, or as many as the Task wants processes.
type lane struct {
	index     int
	slots     []int // of the blame file, free ones
	base, own int   // the first of its slots, and how many there are
	order     []uint64

	h         handler.Handler // nil while none runs
	unhook    func() bool     // parts h from the end of working
	starting  bool
	cut       context.CancelFunc // breaks a start off
	startAt   time.Time          // not before
	fruitless int                // handlers in a row that died for nothing
	used      bool               // h has had a file
	killed    bool               // h is being ended by us
	retiring  bool               // h gets no more files and has its teardown
	suspect   bool               // the one in flight is to be alone
}

// newLane gives a lane its slots. Files that run one after another share one: the next mark overwrites the last.
func newLane(index, width int) *lane {
	l := &lane{index: index, own: 1, base: index}
	if width > 1 {
		l.own = width + aheadMost
		l.base = index * l.own
	}
	for slot := l.base + l.own - 1; slot >= l.base; slot-- {
		l.slots = append(l.slots, slot)
	}
	return l
}

func (l *lane) takeSlot() int {
	slot := l.slots[len(l.slots)-1]
	if l.own > 1 {
		l.slots = l.slots[:len(l.slots)-1]
	}
	return slot
}

func (l *lane) freeSlot(slot int) {
	if l.own > 1 {
		l.slots = append(l.slots, slot)
	}
}

// open reports whether the lane's handler may have another file.
func (l *lane) open() bool { return l.h != nil && !l.retiring && !l.killed && !l.suspect }

// freeLane is an open lane where a file would begin at once, the emptiest.
func (e *engine) freeLane() *lane {
	var best *lane
	for _, l := range e.lanes {
		if l.open() && len(l.order) < e.width && (best == nil || len(l.order) < len(best.order)) {
			best = l
		}
	}
	return best
}

// aheadLane is an open lane that may have a file more than it can begin, the emptiest.
func (e *engine) aheadLane() *lane {
	var best *lane
	for _, l := range e.lanes {
		if l.open() && len(l.order) < e.window(l) && (best == nil || len(l.order) < len(best.order)) {
			best = l
		}
	}
	return best
}

// land takes a file out of the air and notes that the next one's turn has come.
func (e *engine) land(id uint64) *file {
	f := e.flying[id]
	if f == nil {
		return nil
	}
	delete(e.flying, id)
	l := f.lane
	l.suspect = false
	l.freeSlot(f.slot)
	at := slices.Index(l.order, id)
	l.order = slices.Delete(l.order, at, at+1)
	if turn := e.width - 1; at <= turn && turn < len(l.order) { // it moved up among those that run at once
		e.flying[l.order[turn]].begun = time.Now()
	}
	return f
}
