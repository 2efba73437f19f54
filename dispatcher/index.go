package dispatcher

import (
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// dueGap keeps many delayed files from being looked through for each of them.
const dueGap = 100 * time.Millisecond

// place is where a file is: in the batch of that number, or one of the constants.
type place int64

const (
	placeWaiting place = -1 - iota // to be fed
	placeDelayed                   // to be fed at a later time
	placeTaken                     // on its way into a batch
	placeDone
	placeFailed
)

// fed is a batch that is in the queue or with a worker.
type fed struct {
	id     spool.BatchID
	number place
	files  []spool.Name
	left   int // files whose place it still is
	missed int // audits in a row that did not find it on disk
}

// tries counts what went wrong with a file. Few files have one.
type tries struct {
	attempts int // user code failed
	crashes  int // the handler died with the file, and only that, in hand
	storage  int // the storage failed under user code
	suspect  bool
	failure  *spool.Failure
	worker   string
}

// index knows where each file is. It holds one map entry a file, because there may be millions.
type index struct {
	at       map[spool.Name]place
	tries    map[spool.Name]*tries
	ready    []spool.Name // waiting, oldest first; names that have moved on since are passed over
	suspects []spool.Name // likewise, those that are fed alone
	delayed  map[spool.Name]time.Time
	dueAt    time.Time // when delayed is next to be looked through; zero if it is empty
	batches  map[place]*fed
	byID     map[spool.BatchID]*fed
	last     place

	waiting, done, failed, inBatches int64
}

func newIndex() *index {
	return &index{
		at: map[spool.Name]place{}, tries: map[spool.Name]*tries{}, delayed: map[spool.Name]time.Time{},
		batches: map[place]*fed{}, byID: map[spool.BatchID]*fed{},
	}
}

// move puts a file into a place and keeps the counts.
func (x *index) move(f spool.Name, to place) {
	from, known := x.at[f]
	if known {
		x.count(from, -1)
		if b := x.batches[from]; b != nil {
			if b.left--; b.left == 0 {
				delete(x.batches, b.number)
				delete(x.byID, b.id)
			}
		}
		if from == placeDelayed {
			delete(x.delayed, f)
		}
	}
	x.at[f] = to
	x.count(to, 1)
	switch {
	case to == placeDone:
		delete(x.tries, f)
	case to == placeWaiting && x.tries[f] != nil && x.tries[f].suspect:
		x.suspects = append(x.suspects, f)
	case to == placeWaiting:
		x.ready = append(x.ready, f)
	}
}

func (x *index) count(p place, n int64) {
	switch p {
	case placeWaiting, placeDelayed:
		x.waiting += n
	case placeDone:
		x.done += n
	case placeFailed:
		x.failed += n
	default:
		x.inBatches += n
	}
}

// forget makes a file one that was never seen.
func (x *index) forget(f spool.Name) {
	x.move(f, placeDone) // out of its batch
	x.count(placeDone, -1)
	delete(x.at, f)
}

// delay has a file wait until a time.
func (x *index) delay(f spool.Name, until time.Time) {
	x.move(f, placeDelayed)
	x.delayed[f] = until
	x.dueAt = soonest(x.dueAt, until)
}

// due moves the delayed files whose time has come to the waiting ones.
func (x *index) due(now time.Time) {
	if x.dueAt.IsZero() || now.Before(x.dueAt) {
		return
	}
	x.dueAt = time.Time{}
	for f, t := range x.delayed {
		if t.After(now) {
			x.dueAt = soonest(x.dueAt, t)
		} else {
			x.move(f, placeWaiting)
		}
	}
	if next := now.Add(dueGap); !x.dueAt.IsZero() && x.dueAt.Before(next) {
		x.dueAt = next
	}
}

// batch notes that files are in a batch now.
func (x *index) batch(id spool.BatchID, files []spool.Name) {
	if len(files) == 0 {
		return
	}
	x.last++
	b := &fed{id: id, number: x.last, files: files, left: len(files)}
	x.batches[b.number], x.byID[id] = b, b
	for _, f := range files {
		x.move(f, b.number)
	}
}

// in reports whether a file's place is the batch.
func (x *index) in(f spool.Name, id spool.BatchID) bool {
	b := x.byID[id]
	return b != nil && x.at[f] == b.number
}

// rest lists the files whose place a batch still is.
func (x *index) rest(b *fed) []spool.Name {
	var files []spool.Name
	for _, f := range b.files {
		if x.at[f] == b.number {
			files = append(files, f)
		}
	}
	return files
}

func (x *index) triesOf(f spool.Name) *tries {
	t := x.tries[f]
	if t == nil {
		t = &tries{}
		x.tries[f] = t
	}
	return t
}

// take picks up to n files from the head of those that wait. A suspect comes by itself.
func (x *index) take(n int) (files []spool.Name, alone bool) {
	if files = x.pick(&x.suspects, 1); len(files) > 0 {
		return files, true
	}
	return x.pick(&x.ready, n), false
}

func (x *index) pick(list *[]spool.Name, n int) []spool.Name {
	var files []spool.Name
	for len(*list) > 0 && len(files) < n {
		f := (*list)[0]
		*list = (*list)[1:]
		if x.at[f] == placeWaiting { // it has not moved on
			x.move(f, placeTaken)
			files = append(files, f)
		}
	}
	return files
}
