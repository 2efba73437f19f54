package fleet

import (
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// lifeOn starts the next worker, which makes its folder on a node and ends there.
func (f *field) lifeOn(node string, p executor.Phase, reason spool.ExitReason) executor.Spec {
	f.t.Helper()
	before := len(f.exec.started)
	f.now = f.now.Add(stallRetry) // past all pauses
	f.step()
	if len(f.exec.started) != before+1 {
		f.t.Fatalf("%d workers are started, want one more than %d", len(f.exec.started), before)
	}
	s := f.exec.started[before]
	w, born, err := f.s.Bear(s.ID.String(), spool.Born{Revision: f.s.Spec().Revision, Node: node, Time: f.now})
	must(f.t, err)
	if !born {
		f.t.Fatalf("the slot of %s is taken", s.ID)
	}
	f.dies(s.ID, w, p, reason)
	_, err = f.lock.Fence(s.ID.String()) // the dispatcher recovers from it
	must(f.t, err)
	f.need.Suspended = true
	f.step()
	f.need.Suspended = false
	return s
}

func (f *field) wantAvoided(want ...string) {
	f.t.Helper()
	f.need.Suspended = true
	var got []string
	for _, a := range f.step().Avoided {
		got = append(got, a.Node)
	}
	f.need.Suspended = false
	if !slices.Equal(got, want) {
		f.t.Fatalf("avoided are %v, want %v", got, want)
	}
}

func nodeField(t *testing.T) *field {
	f := newField(t, false)
	f.need.Max, f.snap.Pending = 1, 100
	return f
}

// TestBadNode: a node on which two workers in a row could not work is left out for an hour, whether others work meanwhile or not.
func TestBadNode(t *testing.T) {
	f := nodeField(t)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.snap.Done++
	f.lifeOn("n2", executor.Succeeded, spool.ExitIdle)
	f.wantAvoided()
	if s := f.lifeOn("n1", executor.Failed, spool.ExitNotFound); len(s.Avoid) > 0 {
		t.Errorf("after one failure %v is avoided", s.Avoid)
	}
	f.wantAvoided("n1")
	f.snap.Done++
	if s := f.lifeOn("n2", executor.Succeeded, spool.ExitIdle); !slices.Equal(s.Avoid, []string{"n1"}) {
		t.Errorf("a worker is started that avoids %v", s.Avoid)
	}
	if r := f.step(); r.Avoided[0].Why != "NotFound: because" {
		t.Errorf("why: %+v", r.Avoided)
	}
	f.now = f.now.Add(nodeRest)
	f.wantAvoided()
}

// TestWorkedBetween: a worker that could work on a node shows that the failures before it were chance.
func TestWorkedBetween(t *testing.T) {
	f := nodeField(t)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.lifeOn("n1", executor.Succeeded, spool.ExitIdle)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.wantAvoided()
}

// TestTaskAtFault: what fails on all nodes and then works was not their fault.
func TestTaskAtFault(t *testing.T) {
	f := nodeField(t)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.lifeOn("n2", executor.Failed, spool.ExitSetupFailed)
	f.wantAvoided("n1")
	f.snap.Done++
	f.wantAvoided()
}

// TestSeveralBadNodes: two bad nodes that fail one after the other, while the rest works, are both avoided.
func TestSeveralBadNodes(t *testing.T) {
	f := nodeField(t)
	for range nodeLimit {
		f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
		f.lifeOn("n2", executor.Failed, spool.ExitSetupFailed)
		f.snap.Done++
	}
	f.wantAvoided("n1", "n2")
}

// TestNodesAreNotToBlame: what says nothing of a node.
func TestNodesAreNotToBlame(t *testing.T) {
	for name, end := range map[string]func(f *field){
		"killed, perhaps by its file": func(f *field) { f.lifeOn("n1", executor.Failed, "") },
		"preempted":                   func(f *field) { f.lifeOn("n1", executor.Lost, "") },
		"asked to end":                func(f *field) { f.lifeOn("n1", executor.Stopped, spool.ExitDrained) },
		"params that are wrong":       func(f *field) { f.lifeOn("n1", executor.Failed, spool.ExitInvalidParams) },
		"no node is known":            func(f *field) { f.lifeOn("", executor.Failed, spool.ExitSetupFailed) },
	} {
		t.Run(name, func(t *testing.T) {
			f := nodeField(t)
			for range nodeLimit + 1 {
				end(f)
			}
			f.wantAvoided()
		})
	}
}

// TestUnbornOnNode: a node that cannot even run the worker's program is told by the backend alone.
func TestUnbornOnNode(t *testing.T) {
	f := nodeField(t)
	for i := range nodeLimit {
		f.now = f.now.Add(stallRetry)
		f.step()
		id := f.exec.started[i].ID
		f.exec.workers[id] = executor.Worker{ID: id, Phase: executor.Failed, Witnessed: true, Node: "n1", Reason: "FAILED (NonZeroExitCode)"}
		f.need.Suspended = true
		f.step()
		f.need.Suspended = false
	}
	f.wantAvoided("n1")
	if why := f.fleet.nodes.avoided(f.now)[0].Why; why != "FAILED (NonZeroExitCode)" {
		t.Error(why)
	}
}

// TestNoOtherNode: a backend that has no other node gets the worker without the wish.
func TestNoOtherNode(t *testing.T) {
	f := nodeField(t)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.lifeOn("n1", executor.Failed, spool.ExitSetupFailed)
	f.now = f.now.Add(time.Minute)
	f.exec.startErr = &executor.StalledError{Reason: "Refused", Message: "Requested node configuration is not available"}
	if r := f.step(); r.Next != learnPoll {
		t.Fatalf("%+v, want that it is tried again at once", r)
	}
	if _, err := f.tryStep(); err == nil {
		t.Fatal("without the wish it is refused as well: that is no matter of nodes")
	}
	f.exec.startErr = nil
	f.now = f.now.Add(ladderLast)
	if f.step(); f.exec.started[2].Avoid != nil {
		t.Errorf("%v is avoided", f.exec.started[2].Avoid)
	}
}

// TestTooManyNodes: what fails on many nodes is not theirs.
func TestTooManyNodes(t *testing.T) {
	n, now := nodes{}, time.Now()
	for i := range nodesMost + 1 {
		if got := len(n.avoided(now)); got != i {
			t.Fatalf("%d nodes are avoided, want %d", got, i)
		}
		for range nodeLimit {
			n.ended(now, string(rune('a'+i)), failedToWork, "")
		}
	}
	if got := n.avoided(now); got != nil {
		t.Errorf("%v are avoided", got)
	}
}

// TestLackingOnANode: once files were done, what one worker does not find stalls nothing before others have missed it, too.
func TestLackingOnANode(t *testing.T) {
	f := nodeField(t)
	f.snap.Done++
	for i, stalls := range []bool{false, false, true} {
		f.lifeOn("n1", executor.Failed, spool.ExitNotFound)
		f.need.Suspended = true
		r := f.step()
		f.need.Suspended = false
		if (r.Stall != nil) != stalls || (r.Crashing != nil) == stalls {
			t.Fatalf("after %d ends: %+v", i+1, r)
		}
	}
}
