package worker

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/worker/handler"
)

const (
	claimAmong = 16 // batches at the head of the queue among which a worker picks, so that many do not want the same
	pollFirst  = 5 * time.Millisecond
	pollLast   = 5 * time.Second
	// The first workers of a Task that find nothing look again every pollLast, each pollAlike later ones more rarely, and all
	// at least every pollMost. Slots are used from the first, so that a late one tells of a large fleet, whose idling
	// is not to be a burden to the file system.
	pollAlike = 8
	pollMost  = time.Minute
	// idleBeat is the longest wait between two beats of late ones: whoever shows nothing for 30 s may be taken for not
	// yet started. At every idleFence of these they look whether they were declared dead.
	idleBeat  = 20 * time.Second
	idleFence = 3

	forgetEach = 1000            // claims from one clearing of what is known of them to the next
	lookEvery  = 5 * time.Second // least time from one look at the own claims to the next
	lookFor    = time.Minute     // how long after the last try to claim: network file systems' clients believe a denial no longer
	// aheadBelow is the pace in seconds per file up to which the handler has its next file before it is through with
	// one. For slower files it would gain nothing, and the file would wait behind a long one.
	aheadBelow = 0.1
	// aheadWork is how many seconds of work, by the pace, are sent ahead where that is more than one file, and aheadMost
	// the limit: files of less than a millisecond would else wait for the talk between the processes.
	aheadWork = 0.005
	aheadMost = handler.AheadMost
	// restLeast is the least work in the air for which results are left to gather: to be woken for each of many quick files
	// costs more than to deal with it. No system timer is much finer.
	restLeast = time.Millisecond
)

// fill hands files to the handlers as long as they can use them.
func (e *engine) fill(now time.Time) {
	for e.trouble == nil && e.limit.allows(now) {
		l := e.nextLane()
		if l == nil {
			return
		}
		f := e.next(now)
		if f == nil {
			return
		}
		if e.cfg.Contained && e.invisible(f) {
			return
		}
		if f.batch.alone {
			if l = e.loneLane(); l == nil {
				e.again = append([]*file{f}, e.again...)
				return
			}
		}
		e.send(f, l, now)
	}
}

// nextLane is where the next file goes: where it begins at once, or else where it waits the least.
func (e *engine) nextLane() *lane {
	if l := e.freeLane(); l != nil || e.limit != nil {
		return l
	}
	return e.aheadLane()
}

// loneLane is where a suspect begins, alone in a handler of its own. Nothing else is in the air. If there is none yet,
// one is on its way.
func (e *engine) loneLane() *lane {
	for _, l := range e.lanes {
		if l.open() && !l.used {
			return l
		}
	}
	if slices.ContainsFunc(e.lanes, func(l *lane) bool { return l.starting || l.retiring }) {
		return nil
	}
	if l := e.freeLane(); l != nil {
		e.retire(l)
	}
	return nil
}

// window is how many files a lane may have: those that run at once, and some ahead if they are quick.
func (e *engine) window(l *lane) int {
	switch {
	case len(l.order) == 0 || e.pace >= aheadBelow:
		return e.width
	case e.pace*aheadMost <= aheadWork:
		return e.width + aheadMost
	default:
		return e.width + max(1, int(aheadWork/e.pace))
	}
}

// rest lets results gather while handlers have work enough.
func (e *engine) rest(now time.Time) {
	work := math.Inf(1)
	for _, l := range e.lanes {
		if l.h != nil {
			work = min(work, float64(len(l.order)-e.width)*e.pace/2)
		}
	}
	if work < restLeast.Seconds() || math.IsInf(work, 1) {
		return
	}
	e.restTill = now.Add(restLeast)
}

// next is the next file to begin, or nil if there is none now.
func (e *engine) next(now time.Time) *file {
	if len(e.again) > 0 {
		f := e.again[0]
		if f.batch.alone && len(e.flying) > 0 {
			return nil
		}
		e.again = e.again[1:]
		return f
	}
	if len(e.batches) == 0 && e.draining == "" && !now.Before(e.nextPoll) {
		e.claim(now)
	}
	if len(e.batches) == 0 {
		return nil
	}
	b := e.batches[0]
	if b.alone && len(e.flying) > 0 {
		return nil
	}
	f := e.newFile(b, b.next)
	if b.next++; b.next == len(b.files) {
		e.batches = e.batches[1:]
	}
	return f
}

func (e *engine) newFile(b *batch, index int) *file {
	name := b.files[index]
	stem, _ := spool.MatchInput(string(name), e.spec.InputExt)
	return &file{
		batch: b, index: index, name: name,
		input:  e.inDir + string(name),
		output: e.outDir + spool.OutputName(stem, e.spec.OutputExt),
	}
}

// claim takes a batch out of the queue, and looks again later if there is none.
func (e *engine) claim(now time.Time) {
	ids, err := e.spool.Queue()
	if err != nil {
		e.log.Warn("reading the queue", "error", err)
	}
	slices.SortFunc(ids, spool.BatchID.Compare)
	ids = ids[:min(len(ids), claimAmong)]
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	doubt := e.doubt
	e.doubt = nil
	if got := slices.IndexFunc(slices.Concat(doubt, ids), e.claimOne); got >= 0 {
		e.doubt = append(e.doubt, doubt[min(got+1, len(doubt)):]...) // those that were not asked about
		e.polls = 0
		return
	}
	if e.lookAtClaims(now) {
		e.polls = 0
		return
	}
	wait := e.pollWait()
	e.polls++
	e.nextPoll = now.Add(wait/2 + rand.N(wait/2+1)) // jitter: a fleet must not poll in step
}

// pollGap is the longest that a worker waits from one look into the queue to the next.
func pollGap(id string) time.Duration {
	slot, _ := spool.Slot(id)
	index, err := strconv.Atoi(slot[strings.LastIndexByte(slot, '.')+1:])
	if err != nil { // not the id of a worker
		return pollLast
	}
	return min(time.Duration(max(1, index/pollAlike))*pollLast, pollMost)
}

// pollWait is the wait after as many looks in vain as there were.
func (e *engine) pollWait() time.Duration { return min(pollFirst<<min(e.polls, 20), e.pollGap) }

// lookAtClaims takes up a batch that became this worker's own when nobody could tell: the answer was lost, and the client of
// a network file system denied the name for a while. Else it would lie here until the worker ends.
func (e *engine) lookAtClaims(now time.Time) bool {
	if now.Before(e.nextLook) || now.Sub(e.lastTry) > lookFor {
		return false
	}
	e.nextLook = now.Add(lookEvery)
	ids, err := e.spool.Claims(e.w.ID())
	if err != nil {
		e.log.Warn("reading the claims", "error", err)
	}
	unknown := slices.DeleteFunc(ids, func(id spool.BatchID) bool { return e.mine[id] != nil })
	e.forgetGone() // behind the listing, which may show them still
	return slices.ContainsFunc(unknown, e.claimOne)
}

// forgetGone forgets the batches that are let go of.
func (e *engine) forgetGone() {
	maps.DeleteFunc(e.mine, func(_ spool.BatchID, b *batch) bool { return b.gone.Load() })
}

func (e *engine) claimOne(id spool.BatchID) bool {
	if e.mine[id] != nil { // it was in doubt, and found elsewhere since
		return false
	}
	e.lastTry = time.Now()
	content, ok, err := e.w.Claim(id)
	if !ok {
		if err != nil {
			e.log.Warn("claiming", "error", err)
		}
		if err != nil && !slices.Contains(e.doubt, id) {
			e.doubt = append(e.doubt, id) // it may have succeeded
		}
		return false
	}
	failpoint.Reach(failpoint.WorkerClaimed)
	if top, topErr := e.w.Epoch(); topErr == nil && id.Epoch < top { // fed by a zombie
		if err := e.w.Drop(id); err != nil {
			e.log.Warn("dropping a batch of an old epoch", "error", err)
		}
		return false
	}
	b := &batch{id: id, files: content.Files, alone: content.Alone, left: len(content.Files)}
	if e.mine[id] = b; len(e.mine)%forgetEach == 0 {
		e.forgetGone()
	}
	if err != nil || len(content.Files) == 0 {
		e.log.Warn("a batch is unreadable", "batch", id.String(), "error", err)
		b.left = 0
		e.record(outcome{event: &spool.Event{Kind: spool.EventBad, Batch: id.String()}, batch: b})
		return false
	}
	if e.outOfDate(id.Epoch) {
		e.draining = spool.ExitDrained
		e.recordFiles(spool.EventBack, b, b.files, nil)
		return false
	}
	e.batches = append(e.batches, b)
	e.nextBeat = earlier(e.nextBeat, e.lastTry.Add(e.cfg.timing.beat)) // it idles no more
	return true
}

// outOfDate reports whether a batch is for workers of another revision of the Task. A Task changes between epochs only, so
// the first batch of each is asked about.
func (e *engine) outOfDate(epoch int) bool {
	if epoch == e.current {
		return false
	}
	now, err := spool.Open(e.spool.Path())
	if err != nil {
		e.log.Warn("reading the Task anew", "error", err)
		return false
	}
	e.current = epoch
	return now.Spec().Revision != e.spec.Revision
}

// send gives a file to a lane's handler.
func (e *engine) send(f *file, l *lane, now time.Time) {
	if f.tmp == "" {
		tmp, err := e.w.NewTemp(e.spec.OutputExt)
		if err != nil {
			e.again = append([]*file{f}, e.again...)
			e.pause(err, now)
			return
		}
		f.tmp = tmp
		failpoint.Reach(failpoint.WorkerPrepared)
	}
	f.lane, f.slot = l, l.takeSlot()
	e.lastID++
	e.flying[e.lastID] = f
	l.order = append(l.order, e.lastID)
	l.suspect, l.used = f.batch.alone, true
	if len(l.order) <= e.width {
		f.begun = now
	}
	e.limit.begin(now)
	mark := spool.Mark{Batch: f.batch.id, Index: f.index}
	err := l.h.Run(handler.Request{ID: e.lastID, Input: f.input, Output: f.tmp, Slot: f.slot, Mark: mark.String()})
	if err != nil { // it has died; the word of its end says the rest
		e.log.Debug("handing a file over", "error", err)
	}
}

// giveBack returns the files that were not begun, so that others can have them.
func (e *engine) giveBack() {
	for _, b := range e.batches {
		e.recordFiles(spool.EventBack, b, b.files[b.next:], nil)
	}
	e.batches = nil
	for _, f := range e.again {
		e.back(f)
	}
	e.again = nil
}

// back returns one file that was prepared, or was in hand through no fault of its own.
func (e *engine) back(f *file) {
	e.drop(f)
	e.recordFiles(spool.EventBack, f.batch, []spool.Name{f.name}, nil)
}
