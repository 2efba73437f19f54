package task

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/fleet"
	"tigerflow.dev/tigerflow/flow"
)

// state is what one reconcile found of a Task. Its conditions follow from it and from nothing else.
type state struct {
	task     *v1alpha1.Task
	now      time.Time
	snapshot *dispatcher.Snapshot // nil if no dispatcher runs
	fleet    fleet.Report

	stall       *stall // nothing goes on until a person acts
	unavailable error  // workers can be neither listed nor started
	waiting     *executor.WaitError
	complete    bool // there is nothing left to do; workers drain
	finished    bool // and have drained
	asked       bool // and somebody asks for more, which the Task's Pipeline has to let it do

	next time.Duration // when to look again; 0 is when something happens
	err  error         // to be tried again with back-off
}

// refuse notes why a Task cannot be worked on.
func (s *state) refuse(err error) {
	if st, ok := asStall(err); ok {
		s.stall = st
		s.wait(stalledRetry)
		return
	}
	s.err = err
}

// wait sees to it that the Task is looked at again after d, or sooner.
func (s *state) wait(d time.Duration) {
	if d > 0 && (s.next == 0 || d < s.next) {
		s.next = d
	}
}

// nobody is the state of a Task whose type nothing here can run.
func nobody(kind v1alpha1.TaskType, now time.Time) state {
	return state{now: now, unavailable: fmt.Errorf("nothing here runs Tasks of type %s", kind)}
}

// take notes what a Step found.
func (s *state) take(st flow.State) {
	s.snapshot, s.fleet, s.unavailable, s.waiting = st.Snapshot, st.Fleet, st.Unavailable, st.Waiting
	if st, ok := executor.Stalled(s.unavailable); ok {
		s.unavailable = nil
		if s.fleet.Running == 0 {
			s.stall = &stall{reason: stallReason(st.Reason), message: st.Message}
		} else { // they go on
			s.fleet.Mend = st
		}
	}
	if m := s.fleet.Mend; m != nil && s.stall == nil && s.fleet.Running == 0 {
		s.stall = &stall{reason: stallReason(m.Reason), message: m.Message}
	}
	s.complete, s.finished = st.Complete, st.Finished
	s.wait(st.Next)
}

func (s *state) workers() *v1alpha1.WorkerCounts {
	return &v1alpha1.WorkerCounts{Pending: int32(s.fleet.Pending), Running: int32(s.fleet.Running), Desired: int32(s.fleet.Desired)}
}

// conditions sums the state up.
func (s *state) conditions() []metav1.Condition {
	stalled := s.stalled()
	degraded := s.degraded()
	progress := s.progress()
	ready := progress
	switch {
	case stalled.Status == metav1.ConditionTrue:
		ready = metav1.Condition{Status: metav1.ConditionFalse, Reason: stalled.Reason, Message: stalled.Message}
	case s.unavailable != nil:
		ready = metav1.Condition{Status: metav1.ConditionFalse, Reason: degraded.Reason, Message: degraded.Message}
	}
	complete := metav1.Condition{Status: metav1.ConditionFalse, Reason: ready.Reason, Message: ready.Message}
	if s.finished {
		complete.Status = metav1.ConditionTrue
	}
	ready.Type, complete.Type = v1alpha1.ConditionReady, v1alpha1.ConditionComplete
	stalled.Type, degraded.Type = v1alpha1.ConditionStalled, v1alpha1.ConditionDegraded
	return []metav1.Condition{ready, complete, stalled, degraded}
}

// records is the directory that the commands for people take.
func (s *state) records() string { return recordsOf(&s.task.Spec) }

func fileCount(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

func condition(status metav1.ConditionStatus, reason v1alpha1.Reason, format string, args ...any) metav1.Condition {
	return metav1.Condition{Status: status, Reason: string(reason), Message: fmt.Sprintf(format, args...)}
}

// progress is how far the Task is, all being well.
func (s *state) progress() metav1.Condition {
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	snap := s.snapshot
	switch {
	case s.asked:
		return condition(no, v1alpha1.ReasonWaiting, "somebody asks for new attempts: they begin when the Pipeline goes on")
	case snap == nil || snap.Recovering:
		return condition(no, v1alpha1.ReasonStarting, "looking at the files")
	case s.finished:
		return condition(yes, v1alpha1.ReasonComplete, "%s done, %d failed", fileCount(snap.Done), snap.Failed)
	case s.task.Spec.IsSuspended() || snap.Ending != "":
		return s.held()
	case s.complete:
		return condition(yes, v1alpha1.ReasonDraining, "all files are done or failed; the workers end")
	case snap.Pending+snap.Running == 0:
		return s.idle()
	case snap.HeldBack > 0 && snap.Pending+snap.Running == snap.HeldBack:
		return condition(yes, v1alpha1.ReasonWaiting, "%s held back until the tasks that depend on this one catch up: maxIntermediates", fileCount(snap.HeldBack))
	}
	return s.atWork()
}

// held is how far a Task is that is not to work.
func (s *state) held() metav1.Condition {
	const no = metav1.ConditionFalse
	switch {
	case s.task.Spec.IsSuspended() && (s.fleet.Running > 0 || len(s.snapshot.Workers) > 0):
		return condition(no, v1alpha1.ReasonDraining, "suspended: workers finish what they have in hand")
	case s.task.Spec.IsSuspended():
		return condition(no, v1alpha1.ReasonSuspended, "spec.suspend is true")
	case s.fleet.Running == 0:
		return condition(no, v1alpha1.ReasonSuspended, "somebody has asked it to stop: tigerflow resume %s", s.records())
	}
	return condition(no, v1alpha1.ReasonDraining, "somebody has asked it to stop: workers finish what they have in hand")
}

// idle is how far a Task is that has no files to process.
func (s *state) idle() metav1.Condition {
	const yes = metav1.ConditionTrue
	switch {
	case s.snapshot.Settling > 0:
		return condition(yes, v1alpha1.ReasonWaiting, "inputs may still be being written: they are taken when they have not changed for %s", flow.Settle)
	case s.snapshot.Candidates > 0:
		return condition(yes, v1alpha1.ReasonIdle, "no files to process: %s not chosen by the staging of the Pipeline", fileCount(s.snapshot.Candidates))
	}
	return condition(yes, v1alpha1.ReasonIdle, "no files to process")
}

// atWork is how far a Task is that has files to process.
func (s *state) atWork() metav1.Condition {
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	switch {
	case s.fleet.Running > 0 && len(s.snapshot.Workers) > 0 && s.waiting != nil:
		return condition(yes, v1alpha1.ReasonRunning, "%s", printable(s.fleet.Message+"; "+s.waiting.Message))
	case s.fleet.Running > 0 && len(s.snapshot.Workers) > 0:
		return condition(yes, v1alpha1.ReasonRunning, "%s", s.fleet.Message)
	case s.waiting != nil:
		return condition(no, v1alpha1.ReasonWaiting, "%s", printable(s.waiting.Message))
	case s.fleet.Crashing != nil:
		return condition(no, v1alpha1.ReasonWaiting, "the next worker starts after a pause")
	case s.fleet.Pending > 0 && s.fleet.Running == 0 && s.fleet.Waits.Reason+s.fleet.HeldBy.Reason != "":
		return condition(no, v1alpha1.ReasonWaiting, "%s", s.waits())
	case s.fleet.Pending+s.fleet.Running > 0:
		return condition(no, v1alpha1.ReasonStarting, "workers start")
	}
	return condition(no, v1alpha1.ReasonWaiting, "%s", s.fleet.Message)
}

func (s *state) stalled() metav1.Condition {
	yes := metav1.ConditionTrue
	switch {
	case s.stall != nil:
		return condition(yes, s.stall.reason, "%s", printable(s.stall.message))
	case s.fleet.Stall != nil:
		return condition(yes, reasonOf(s.fleet.Stall.Reason), "%s", oneLine(ofAuthor(s.fleet.Stall.Failure)))
	case s.snapshot != nil && s.snapshot.Storage != nil && s.snapshot.Storage.Full:
		return condition(yes, v1alpha1.ReasonStorageFull, "%s: free space; no file is lost, work goes on by itself", printable(s.snapshot.Storage.Message))
	case s.snapshot != nil && s.snapshot.Storage != nil:
		return condition(yes, v1alpha1.ReasonStorageError, "%s: work goes on by itself when the storage does", printable(s.snapshot.Storage.Message))
	case s.snapshot != nil && s.snapshot.Input != "":
		return condition(yes, v1alpha1.ReasonInputNotReadable, "%s", printable(s.snapshot.Input))
	case s.snapshot != nil && s.snapshot.Pause != nil:
		return tooManyFailures(s.snapshot.Pause, s.records())
	}
	return condition(metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "nothing to mend")
}

func (s *state) degraded() metav1.Condition {
	yes := metav1.ConditionTrue
	switch {
	case s.unavailable != nil:
		return condition(yes, v1alpha1.ReasonExecutorUnavailable, "%s", printable(s.unavailable.Error()))
	case s.fleet.Crashing != nil && s.fleet.Crashing.Failure != nil:
		return crashing(s.fleet.Crashing)
	case s.fleet.Held > 0 || s.fleet.Mend != nil:
		return workersHeld(s.fleet)
	case s.fleet.Unreachable.Ref != "" && s.task.Spec.Type != v1alpha1.TaskSlurm:
		return unreachable(s.fleet.Unreachable)
	case s.snapshot != nil && s.snapshot.StagingFault != "":
		return condition(yes, v1alpha1.ReasonStagingFailed, "%s: no new file is taken before this is mended", printable(s.snapshot.StagingFault))
	case len(s.fleet.Avoided) > 0:
		return nodesAvoided(s.fleet.Avoided)
	case s.snapshot != nil && len(s.snapshot.Slow()) > 0:
		slow := s.snapshot.Slow()
		return condition(yes, v1alpha1.ReasonSlowFiles, "%s in hand for more than ten times as long as nearly all others took, %s for one: set spec.timeout to end such",
			fileCount(int64(len(slow))), printable(string(slow[0].File)))
	case s.snapshot != nil && s.snapshot.Failed > 0:
		return condition(yes, v1alpha1.ReasonFilesFailed, "%s failed: the .err files in the output directory say why", fileCount(s.snapshot.Failed))
	}
	return condition(metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "nothing wrong")
}
