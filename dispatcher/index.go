package dispatcher

import (
	"container/heap"
	"time"

	"tigerflow.dev/tigerflow/internal/names"
	"tigerflow.dev/tigerflow/spool"
)

type (
	file    = names.File
	fileSet = names.Set
)

// dueGap keeps many delayed files from making a round for each of them.
const dueGap = 100 * time.Millisecond

// place is where a file is: one of the constants, or the batch of that number.
type place uint32

const (
	placeUnseen    place = iota // only its name is known: nothing is to be done for it
	placeOutput                 // likewise, and an output of it lies there that no history tells of
	placeError                  // likewise, an error file
	placeSettling               // seen in the input folder, perhaps still being written
	placeCandidate              // likewise, and whole: it waits to be staged
	placeWaiting                // to be fed
	placeDelayed                // to be fed at a later time
	placeTaken                  // on its way into a batch
	placeDone
	placeFailed
	placeBatch // the first number of a batch
)

// known reports whether a file counts: it was taken up from the input folder, or history tells of it.
func (p place) known() bool { return p > placeCandidate }

// fed is a batch that is in the queue or with a worker.
type fed struct {
	id     spool.BatchID
	number place
	files  []spool.Name
	left   int // files whose place it still is
	missed int // audits in a row that did not find it on disk
}

// tries counts what went wrong with a file that may be run again.
type tries struct {
	attempts uint32 // user code failed
	crashes  uint32 // the handler died with the file, and only that, in hand
	storage  uint8  // the storage failed under user code
	suspect  bool
	until    time.Duration // delayed till then, from the index's start on
}

// cause is why a file is to be given up.
type cause struct {
	failure *spool.Failure
	worker  string
}

// index knows where each file is. A file costs some 20 bytes besides its name, and more only while something is amiss
// with it.
type index struct {
	names    names.Table
	start    time.Time
	places   []place // by number
	tries    map[file]tries
	causes   map[file]cause // of files that have used up their runs and are not given up yet
	ready    []file         // waiting, oldest first; those that have moved on since are passed over
	suspects []file         // likewise, those that are fed alone
	delayed  delays         // likewise
	batches  map[place]*fed
	byID     map[spool.BatchID]*fed
	last     place // batch

	wished []file // candidates; likewise, and some may stand there twice

	settling, candidates, waiting, done, failed, inBatches int64
}

func newIndex() *index {
	return &index{
		names: names.NewTable(), start: time.Now(), tries: map[file]tries{}, causes: map[file]cause{},
		batches: map[place]*fed{}, byID: map[spool.BatchID]*fed{}, last: placeBatch - 1,
	}
}

// at is the place of a name.
func (x *index) at(name spool.Name) place {
	if f, ok := x.names.Find(name); ok {
		return x.places[f]
	}
	return placeUnseen
}

// file is the number of a name, which the index knows from now on.
func (x *index) file(name spool.Name) file {
	f := x.names.Number(name)
	if int(f) == len(x.places) {
		x.places = append(x.places, placeUnseen)
	}
	return f
}

// name is the name of a number.
func (x *index) name(f file) spool.Name { return x.names.Name(f) }

// move puts a file into a place and keeps the counts.
func (x *index) move(name spool.Name, to place) { x.put(x.file(name), to) }

func (x *index) put(f file, to place) {
	from := x.places[f]
	x.count(from, -1)
	if b := x.batches[from]; b != nil {
		if b.left--; b.left == 0 {
			delete(x.batches, b.number)
			delete(x.byID, b.id)
		}
	}
	x.places[f] = to
	x.count(to, 1)
	switch to {
	case placeDone, placeFailed:
		x.forgive(f)
	case placeCandidate:
		x.wished = append(x.wished, f)
	case placeWaiting:
		if x.tries[f].suspect {
			x.suspects = append(x.suspects, f)
		} else {
			x.ready = append(x.ready, f)
		}
	default: // in no list
	}
}

func (x *index) count(p place, n int64) {
	switch p {
	case placeUnseen, placeOutput, placeError:
	case placeSettling:
		x.settling += n
	case placeCandidate:
		x.candidates += n
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
func (x *index) forget(name spool.Name) {
	f := x.file(name)
	x.put(f, placeUnseen)
	x.forgive(f)
}

// forgive forgets what went wrong with a file.
func (x *index) forgive(f file) {
	delete(x.tries, f)
	delete(x.causes, f)
}

// delay has a file wait until a time.
func (x *index) delay(name spool.Name, until time.Time) {
	f := x.file(name)
	t := x.tries[f]
	t.until = until.Sub(x.start)
	x.tries[f] = t
	x.put(f, placeDelayed)
	heap.Push(&x.delayed, delay{t.until, f})
}

// due moves the delayed files whose time has come to the waiting ones.
func (x *index) due(now time.Time) {
	for len(x.delayed) > 0 && x.delayed[0].until <= now.Sub(x.start) {
		d, _ := heap.Pop(&x.delayed).(delay)
		if x.places[d.f] == placeDelayed && x.tries[d.f].until == d.until { // it has not moved on
			x.put(d.f, placeWaiting)
		}
	}
}

// dueAt is when the next delayed file is to be fed; zero if there is none.
func (x *index) dueAt() time.Time {
	if len(x.delayed) == 0 {
		return time.Time{}
	}
	return x.start.Add(x.delayed[0].until)
}

// batch notes that files are in a batch now.
func (x *index) batch(id spool.BatchID, files []spool.Name) {
	if len(files) == 0 {
		return
	}
	x.last++
	b := &fed{id: id, number: x.last, files: files, left: len(files)}
	x.batches[b.number], x.byID[id] = b, b
	for _, name := range files {
		x.move(name, b.number)
	}
}

// in reports whether a file's place is the batch.
func (x *index) in(name spool.Name, id spool.BatchID) bool {
	b := x.byID[id]
	return b != nil && x.at(name) == b.number
}

// rest lists the files whose place a batch still is.
func (x *index) rest(b *fed) []spool.Name {
	var files []spool.Name
	for _, name := range b.files {
		if x.at(name) == b.number {
			files = append(files, name)
		}
	}
	return files
}

// suspect has a file run alone from now on.
func (x *index) suspect(name spool.Name) {
	f := x.file(name)
	t := x.tries[f]
	t.suspect = true
	x.tries[f] = t
}

// take picks up to n files from the head of those that wait. A suspect comes by itself.
func (x *index) take(n int) (files []spool.Name, alone bool) {
	if files = x.pick(&x.suspects, min(1, n)); len(files) > 0 {
		return files, true
	}
	return x.pick(&x.ready, n), false
}

func (x *index) pick(list *[]file, n int) []spool.Name {
	var files []spool.Name
	for len(*list) > 0 && len(files) < n {
		f := (*list)[0]
		*list = (*list)[1:]
		if x.places[f] == placeWaiting { // it has not moved on
			x.put(f, placeTaken)
			files = append(files, x.name(f))
		}
	}
	if len(*list) == 0 {
		*list = nil
	}
	return files
}

// delay is a file that is to be fed at a time, from the index's start on.
type delay struct {
	until time.Duration
	f     file
}

// delays is a heap of them, the next one first.
type delays []delay

func (d delays) Len() int           { return len(d) }
func (d delays) Less(i, j int) bool { return d[i].until < d[j].until }
func (d delays) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *delays) Push(v any)        { *d = append(*d, v.(delay)) } //nolint:errcheck // container/heap gives back what it was given
func (d *delays) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
