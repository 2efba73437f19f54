package dispatcher

import (
	"cmp"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

const recentMost = 10

// Snapshot is what a dispatcher knows at one time. Counts are files.
type Snapshot struct {
	Recovering bool // the history is still being read: nothing below means anything yet

	Staged   int64 // known: the sum of the four that follow
	Pending  int64
	Running  int64
	Done     int64
	Failed   int64
	Settling int64 // seen, but perhaps still being written
	Earlier  int64 // of Done and Failed, those that were so when this dispatcher found them

	Candidates   int64           // found, and waiting to be staged: not in Staged yet
	HeldBack     int64           // of Pending: not to be fed before the children have caught up
	StagingFault string          // what is wrong with a callable of the staging steps, in one line
	Pipeline     *PipelineCounts // nil unless this Task is the lead

	Drained        bool    // nothing pending, running or settling, and the disk was compared since
	SecondsPerFile float64 // of user code; 0 before the first

	Workers []WorkerState     // that live, as far as their folders tell
	Recent  []Failure         // the last files given up, latest last
	Storage *Trouble          // why work waits for the storage
	Links   []string          // some folders that links among the inputs lead to
	Input   string            // why the input folder cannot be listed, or an input not be looked at, if not for the storage
	Pause   *Pause            // why no file is tried although some wait
	Ending  spool.RequestKind // what somebody has asked for, Drain or Stop: this dispatcher feeds nothing more
}

// PipelineCounts are the files of a whole pipeline. Each is in one of the first four, but for one whose input was deleted before
// every Task that reads it had done so.
type PipelineCounts struct {
	Staged     int64 // no Task has begun it
	InProgress int64
	Finished   int64 // every Task without children has succeeded on it
	Failed     int64 // at least one Task has failed on it
	Earlier    int64 // of Finished and Failed, those that were so when this dispatcher first counted
}

// WorkerState is a worker that has been born and not ended.
type WorkerState struct {
	ID     string
	News   time.Time // when there was last news of it
	InHand []spool.InHand
}

// Halted reports that nothing is fed, so that workers have nothing to wait for.
func (s *Snapshot) Halted() bool { return s.Pause != nil || s.Ending != "" }

// Failure is a file given up.
type Failure struct {
	File     spool.Name
	Type     string
	Message  string
	Time     time.Time // zero if it is not known
	Attempts int
	ExitCode int
}

// Trouble is a storage that takes no data.
type Trouble struct {
	Full    bool
	Message string
}

// Snapshot is what the dispatcher knew after its last round. It may be called from any goroutine; what it points to is
// not to be changed.
func (d *Dispatcher) Snapshot() *Snapshot { return d.snapshot.Load() }

func (d *Dispatcher) remember(f Failure) {
	d.recent = append(d.recent, f)
	if len(d.recent) > recentMost {
		d.recent = slices.Clone(d.recent[1:])
	}
}

// Slow is the files in hand that take far longer than nearly all others did, as their workers say.
func (s *Snapshot) Slow() (slow []spool.InHand) {
	for _, w := range s.Workers {
		for _, f := range w.InHand {
			if f.Slow {
				slow = append(slow, f)
			}
		}
	}
	return slow
}

// survey makes the Snapshot.
func (d *Dispatcher) survey() *Snapshot {
	s := &Snapshot{
		Done: d.done, Failed: d.failed, SecondsPerFile: d.pace, Storage: d.storage,
		Settling: d.settling, Earlier: d.earlier, Ending: d.asked.ending,
		Recent: slices.Clone(d.recent), Links: d.inputs.links,
	}
	for id, w := range d.workers {
		if w == nil {
			continue
		}
		s.Workers = append(s.Workers, WorkerState{ID: id, News: w.beat, InHand: w.inHand})
	}
	slices.SortFunc(s.Workers, func(a, b WorkerState) int { return cmp.Compare(a.ID, b.ID) })
	for _, w := range s.Workers { // the first in order: what is told does not jump between those of several
		s.Storage = cmp.Or(s.Storage, d.workers[w.ID].trouble)
	}
	s.Running = max(0, min(d.inBatches-d.queuedFiles, int64(len(s.Workers)*d.spec.InHand())))
	s.Pending = d.waiting + d.inBatches - s.Running
	s.Staged = d.waiting + d.inBatches + d.done + d.failed
	if err := cmp.Or(d.inputs.err, d.inputs.lookErr, d.stager.unseen(d.candidates), d.lead.err); err != nil {
		s.unread(err)
	}
	if d.waiting+d.inBatches > 0 {
		s.Pause = d.breaker.pause
	}
	s.HeldBack = d.heldBack()
	if s.Candidates = d.candidates; s.Candidates > 0 {
		s.StagingFault = d.stager.fault
	}
	s.Drained = d.idle() && d.checked && d.inputs.complete && s.Storage == nil && (d.candidates == 0 || d.stager.rests) && d.lead.settled()
	s.Pipeline = d.pipelineCounts(s.Running)
	return s
}

// unread tells why an input, or the folder of the inputs, cannot be looked at.
func (s *Snapshot) unread(err error) {
	switch {
	case !spool.IsStorage(err):
		s.Input = err.Error()
	case s.Storage == nil:
		s.Storage = &Trouble{Full: spool.IsFull(err), Message: err.Error()}
	}
}

// idle reports that there is nothing to do as far as the index knows.
func (d *Dispatcher) idle() bool {
	return d.waiting+d.inBatches == 0 && d.settling == 0 && d.inputs.listed
}

// same reports that there is no news in a Snapshot for anyone who has seen the other.
func (s *Snapshot) same(o *Snapshot) bool {
	return s.counts() == o.counts() &&
		slices.EqualFunc(s.Workers, o.Workers, func(a, b WorkerState) bool { return a.ID == b.ID }) &&
		slices.EqualFunc(s.Slow(), o.Slow(), func(a, b spool.InHand) bool { return a.File == b.File }) &&
		(s.Storage == o.Storage || s.Storage != nil && o.Storage != nil && *s.Storage == *o.Storage) &&
		(s.Pipeline == o.Pipeline || s.Pipeline != nil && o.Pipeline != nil && *s.Pipeline == *o.Pipeline) &&
		slices.Equal(s.Recent, o.Recent)
}

// counts is what can be compared at once.
func (s *Snapshot) counts() any {
	return [...]any{
		s.Recovering, s.Staged, s.Pending, s.Running, s.Done, s.Failed, s.Settling, s.Drained, s.Input, s.Pause, s.Ending,
		s.Candidates, s.HeldBack, s.StagingFault,
	}
}
