// Package failpoint lets a test end, stop or delay a process at a named point of its work. A point is named after what
// has just happened there: worker.published. Points do nothing, and cost one comparison, unless the environment names
// them when the process starts:
//
//	TIGERFLOW_FAILPOINTS="worker.published=kill@3;dispatcher.folded=delay:50ms"
//
// kill ends the process by SIGKILL, stop stops it by SIGSTOP, delay makes it wait. What follows @ is at which pass it
// happens, counted from 1; without it a delay is at every pass, the others at the first.
package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Env names the points that are to act.
const Env = "TIGERFLOW_FAILPOINTS"

// The points. A new one is listed here, so that random tests know it.
const (
	WorkerBorn         = "worker.born"         // its folder is in place
	WorkerClaimed      = "worker.claimed"      // a batch has become its own
	WorkerPrepared     = "worker.prepared"     // a temporary is made, the handler does not know of the file yet
	WorkerReturned     = "worker.returned"     // user code is through with a file
	WorkerSynced       = "worker.synced"       // the data of a group is on disk
	WorkerPublished    = "worker.published"    // an output has its name
	WorkerJournaled    = "worker.journaled"    // the outcomes are in the journal
	WorkerDropped      = "worker.dropped"      // a batch is let go
	WorkerSwept        = "worker.swept"        // its temporaries are removed, before the exit record
	DispatcherLocked   = "dispatcher.locked"   // the epoch is made, nothing of it written
	DispatcherReplayed = "dispatcher.replayed" // the histories are read
	DispatcherFolded   = "dispatcher.folded"   // news is in memory, not in the ledger
	DispatcherFed      = "dispatcher.fed"      // a batch is in the queue
	DispatcherJudged   = "dispatcher.judged"   // an error file is written, not yet told
	DispatcherFenced   = "dispatcher.fenced"   // a worker is fenced, what it held not yet settled
	DispatcherSaved    = "dispatcher.saved"    // the ledger is written
)

// Points lists all points.
func Points() []string {
	return []string{
		WorkerBorn, WorkerClaimed, WorkerPrepared, WorkerReturned, WorkerSynced, WorkerPublished, WorkerJournaled, WorkerDropped,
		WorkerSwept, DispatcherLocked, DispatcherReplayed, DispatcherFolded, DispatcherFed, DispatcherJudged, DispatcherFenced,
		DispatcherSaved,
	}
}

// action is what happens at a point.
type action struct {
	what   string
	wait   time.Duration
	at     int64 // at which pass; 0 is every one
	passes atomic.Int64
}

// armed is read once: nil where the environment names no point.
var armed = sync.OnceValue(func() map[string]*action {
	spec := os.Getenv(Env)
	if spec == "" {
		return nil
	}
	actions, err := parse(spec)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", Env, err)) // only tests set it
	}
	return actions
})

// Reach is called at a point.
func Reach(point string) {
	actions := armed()
	if actions == nil {
		return
	}
	a := actions[point]
	if a == nil {
		return
	}
	if pass := a.passes.Add(1); a.at != 0 && pass != a.at {
		return
	}
	switch a.what {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it takes a moment
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "delay":
		<-time.After(a.wait)
	}
}

// parse reads what the environment says.
func parse(spec string) (map[string]*action, error) {
	known := map[string]bool{}
	for _, p := range Points() {
		known[p] = true
	}
	actions := map[string]*action{}
	for one := range strings.SplitSeq(spec, ";") {
		point, what, ok := strings.Cut(one, "=")
		if !ok || !known[point] {
			return nil, fmt.Errorf("%q: want POINT=ACTION with a point that there is", one)
		}
		what, at, _ := strings.Cut(what, "@")
		what, wait, _ := strings.Cut(what, ":")
		a := &action{what: what}
		var err, err2 error
		if wait != "" {
			a.wait, err = time.ParseDuration(wait)
		}
		if at != "" {
			a.at, err2 = strconv.ParseInt(at, 10, 64)
		} else if what != "delay" {
			a.at = 1
		}
		if err != nil || err2 != nil || a.at < 0 || (what == "delay") != (a.wait > 0) || what != "kill" && what != "stop" && what != "delay" {
			return nil, fmt.Errorf("%q: want kill, stop or delay:DURATION, and @PASS behind it or nothing", one)
		}
		actions[point] = a
	}
	return actions, nil
}
