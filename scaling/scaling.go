// Package scaling decides how many workers a Task should have. It is pure: the same for processes, Pods and Slurm jobs.
package scaling

import (
	"math"
	"time"
)

// Input is what the decision rests on. Workers are counted by what they are good for: each is in one of four counts.
type Input struct {
	Min, Max   int  // minWorkers and maxWorkers; Max counts leaving and held workers, too
	MaxPending int  // most workers that wait to start, the held ones included; 0 is no bound
	MaxQueued  int  // most start-ups that wait in a queue, those of held workers included; 0 is no bound
	Suspended  bool // the Task is not to run

	Backlog     int           // files that wait
	InHand      int           // files that workers have begun
	PerFile     time.Duration // time that one file takes; 0 is not known yet
	Concurrency int           // files that one worker has in hand at once; 0 is 1
	DrainTarget time.Duration // time in which the files should be done; 0 is as soon as can be
	Startup     time.Duration // least time that it has taken from starting a worker until it worked; 0 is not known
	Begun       int           // workers of the largest start-up that has begun

	Pending  int // workers that will begin by themselves
	Queued   int // start-ups of which workers wait in a queue: job arrays
	Running  int // workers that work, or wait for work
	Draining int // workers that take no more files but have not ended
	Held     int // workers that do not begin before a person acts
}

// Output is the decision. Workers above Pending+Running asks to start the difference; below it, which happens only when
// the Task is suspended or maxWorkers lowered, to drain the difference. Workers that lack files end by themselves.
type Output struct {
	Workers int
	Reason  Reason
	Message string // one line for people
}

// Reason is why there are as many workers as there are.
type Reason string

// The reasons.
const (
	Suspended   Reason = "Suspended"   // the Task is suspended
	Idle        Reason = "Idle"        // there are no files
	SlowStart   Reason = "SlowStart"   // no file is done: not more than twice the workers that proved able to start
	Backlog     Reason = "Backlog"     // as many as the files call for
	Enough      Reason = "Enough"      // the files are done before another worker could begin
	MinWorkers  Reason = "MinWorkers"  // minWorkers asks for more than the files
	WindingDown Reason = "WindingDown" // more than the files call for: they end when they are idle
	MaxWorkers  Reason = "MaxWorkers"  // maxWorkers allows no more
	NoRoom      Reason = "NoRoom"      // maxWorkers allows no more while others drain or are held
	MaxPending  Reason = "MaxPending"  // maxPending allows no more before some have begun
	MaxQueued   Reason = "MaxQueued"   // maxPending allows no more before those that wait in the queue have begun
	Doubling    Reason = "Doubling"    // in a queue waits not more than twice the largest start-up that has begun
)

// Desired decides.
func Desired(in Input) Output {
	in = in.sane()
	if in.Suspended {
		return Output{0, Suspended, "no workers: suspended"}
	}
	d := decision{in: in}
	d.workers, d.reason = in.files()
	if in.Min > d.workers {
		d.atLeast(in.Min, MinWorkers)
	}
	if in.current() > d.workers {
		d.atLeast(in.current(), WindingDown)
	}
	d.wanted = d.workers
	d.limit()
	return Output{d.workers, d.reason, d.message()}
}

// files returns the number of workers that the files call for, limits aside.
func (in Input) files() (int, Reason) {
	files := in.Backlog + in.InHand
	if files == 0 {
		return 0, Idle
	}
	useful := ceil(float64(files) / float64(in.Concurrency)) // one more would find no file
	if in.PerFile == 0 {
		return min(useful, max(1, 2*in.Running)), SlowStart
	}
	work := float64(files) / float64(in.Concurrency) * float64(in.PerFile) // of one worker, in ns
	workers := useful
	if in.DrainTarget > 0 {
		workers = max(1, min(useful, ceil(work/float64(in.DrainTarget))))
	}
	if in.Running > 0 && workers > in.Running && work/float64(in.Running) <= float64(in.Startup) {
		return in.Running, Enough
	}
	return workers, Backlog
}

// ceil is exact for what fits and large for what does not.
func ceil(x float64) int { return int(min(math.Ceil(x), 1<<31-1)) }

func (in Input) current() int { return in.Pending + in.Running }

// decision is a number of workers on its way from what is called for to what is allowed.
type decision struct {
	in      Input
	wanted  int // before the bounds
	workers int
	reason  Reason
}

func (d *decision) atLeast(n int, why Reason) {
	d.workers = n
	if d.reason != Idle { // with no files that says more
		d.reason = why
	}
}

func (d *decision) atMost(n int, why Reason) {
	if d.workers > n {
		d.workers, d.reason = n, why
	}
}

// limit applies the bounds. None but maxWorkers asks a worker that is there to end.
func (d *decision) limit() {
	in := d.in
	room := in.Max - in.Draining - in.Held
	switch allowed := max(room, min(in.current(), in.Max)); {
	case allowed < in.Max:
		d.atMost(allowed, NoRoom)
	default:
		d.atMost(in.Max, MaxWorkers)
	}
	if in.MaxPending > 0 {
		d.atMost(in.Running+max(in.Pending, in.MaxPending-in.Held), MaxPending)
	}
	if in.MaxQueued > 0 && in.Queued >= in.MaxQueued {
		d.atMost(in.current(), MaxQueued)
	}
	if in.MaxQueued > 0 { // minWorkers is somebody's own wish
		d.atMost(max(in.Min, in.current(), in.Running+max(1, 2*in.Begun)), Doubling)
	}
}

// sane takes what cannot be for the nearest that can.
func (in Input) sane() Input {
	for _, n := range []*int{
		&in.Min, &in.Max, &in.MaxPending, &in.Backlog, &in.InHand, &in.Pending, &in.MaxQueued, &in.Queued, &in.Running, &in.Draining, &in.Held, &in.Begun,
	} {
		*n = max(0, *n)
	}
	for _, d := range []*time.Duration{&in.PerFile, &in.DrainTarget, &in.Startup} {
		*d = max(0, *d)
	}
	in.Concurrency = max(1, in.Concurrency)
	return in
}
