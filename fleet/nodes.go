package fleet

import (
	"maps"
	"slices"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

const (
	// nodeLimit is how many workers in a row must fail to work on a node before the next ones avoid it.
	nodeLimit = 2
	// nodeRest is for how long it is avoided.
	nodeRest = time.Hour
	// nodesMost is how many nodes are avoided at most: what fails on more of them is hardly their fault.
	nodesMost = 8
)

// nodes are those on which workers fail to work: one that lacks the shared file system or has a broken GPU is always free,
// and would get one worker after the other while the rest of the cluster is well.
type nodes map[string]*node

type node struct {
	bad   int       // workers in a row
	since int       // of these, since a file was last done or failed
	until time.Time // avoided until then; zero is not
	why   string    // how the last of them ended
}

// ended notes how a worker on a node has ended, and why.
func (n nodes) ended(now time.Time, name string, v verdict, why string) {
	switch {
	case name == "" || v == nothingKnown:
		return
	case v == worked:
		delete(n, name)
		return
	case n[name] == nil:
		n[name] = &node{}
	}
	of := n[name]
	of.bad++
	of.since++
	of.why = why
	if of.bad >= nodeLimit {
		of.until = now.Add(nodeRest)
	}
}

// progress notes that a file was done or failed. If workers failed on several nodes before that, and on one again and
// again, the cause was none of these nodes.
func (n nodes) progress() {
	failed, again := 0, false
	for _, of := range n {
		if of.since > 0 {
			failed++
			again = again || of.since >= nodeLimit
		}
	}
	for name, of := range n {
		if of.since > 0 && failed > 1 && again {
			delete(n, name)
		}
		of.since = 0
	}
}

// avoided lists the nodes that the next workers are to avoid, in the order of their names.
func (n nodes) avoided(now time.Time) []Avoided {
	var all []Avoided
	for _, name := range slices.Sorted(maps.Keys(n)) {
		if n[name].until.After(now) {
			all = append(all, Avoided{Node: name, Why: n[name].why})
		}
	}
	if len(all) > nodesMost {
		return nil
	}
	return all
}

// verdict is what the end of a worker says of its node.
type verdict int

const (
	nothingKnown verdict = iota
	worked               // its code could be set up there
	failedToWork
)

// judge tells the two apart. A worker that was killed says nothing: the file that it had in hand may have done it, and nodes
// that fail as a whole are taken out by their own control plane.
func judge(w executor.Worker, unborn bool, exit *spool.Exit) verdict {
	if exit == nil {
		if unborn && w.Phase.Blames() { // not even its program could be run
			return failedToWork
		}
		return nothingKnown
	}
	switch exit.Reason {
	case spool.ExitIdle, spool.ExitWallTime:
		return worked
	case spool.ExitInvalid, spool.ExitNotFound, spool.ExitNoShell, spool.ExitInputNotVisible, spool.ExitSetupFailed,
		spool.ExitHandlerFailed, spool.ExitError:
		return failedToWork
	case spool.ExitDrained, spool.ExitStopped, spool.ExitFenced, spool.ExitInvalidParams, spool.ExitParentGone, spool.ExitNoHeartbeat:
	}
	return nothingKnown
}

// whyEnded says in one line how a worker ended.
func whyEnded(w executor.Worker, exit *spool.Exit) string {
	switch {
	case exit == nil:
		return describe(w)
	case exit.Failure == nil:
		return string(exit.Reason)
	}
	return string(exit.Reason) + ": " + exit.Failure.Message
}
