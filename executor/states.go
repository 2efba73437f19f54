package executor

import (
	"maps"
	"slices"
)

// Phase is where a worker stands, in terms that every backend shares.
type Phase string

// The phases. What follows from each is in one table, below.
const (
	Pending     Phase = "Pending"     // accepted; the backend will start it when there is room
	Held        Phase = "Held"        // accepted, but will not start before a person acts
	Starting    Phase = "Starting"    // has its place; its program does not run yet
	Running     Phase = "Running"     // its program runs
	Suspended   Phase = "Suspended"   // frozen by the backend with all it holds; will go on
	Terminating Phase = "Terminating" // takes no more files; not all of its processes have ended
	Succeeded   Phase = "Succeeded"   // ended well: idle, drained, or nothing to do
	Failed      Phase = "Failed"      // ended badly by its own doing or by a stranger's signal
	OutOfMemory Phase = "OutOfMemory" // killed for using more memory than it had
	Expired     Phase = "Expired"     // reached its wall time
	Lost        Phase = "Lost"        // ended with its node, or preempted
	Stopped     Phase = "Stopped"     // ended because Stop asked for it
	Canceled    Phase = "Canceled"    // ended by another's deliberate act, an administrator's, say: hold off
	Unknown     Phase = "Unknown"     // the backend does not say, or says what nobody understands
)

type traits struct {
	terminal, capacity, blames bool
}

var phases = map[Phase]traits{
	Pending:     {capacity: true},
	Held:        {},
	Starting:    {capacity: true},
	Running:     {capacity: true},
	Suspended:   {capacity: true},
	Terminating: {},
	Succeeded:   {terminal: true},
	Failed:      {terminal: true, blames: true},
	OutOfMemory: {terminal: true, blames: true},
	Expired:     {terminal: true},
	Lost:        {terminal: true},
	Stopped:     {terminal: true},
	Canceled:    {terminal: true},
	Unknown:     {capacity: true},
}

// Terminal says that the worker has ended and will not change phase again.
func (p Phase) Terminal() bool { return phases[p].terminal }

// CountsAsCapacity says that the worker works on files, or will without anybody's help. One of which nothing is known
// counts as well: replacing it could make two of it.
func (p Phase) CountsAsCapacity() bool { return phases[p].capacity }

// Blames says that a file which the worker had in hand at its end may be what ended it.
func (p Phase) Blames() bool { return phases[p].blames }

// Phases lists them all, in the order of their names.
func Phases() []Phase { return slices.Sorted(maps.Keys(phases)) }
