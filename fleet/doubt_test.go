package fleet

import (
	"testing"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
)

// Whatever a control plane says of a worker of a Local Task, there is no other while it shows that it lives, and for as long
// as it may take it to notice that it cannot.
func TestLocalNeedsAWitness(t *testing.T) {
	for name, say := range map[string]func(*field){
		"lost": func(f *field) {
			f.exec.workers[f.id(0, 1)] = executor.Worker{ID: f.id(0, 1), Phase: executor.Lost, Ref: "pod", Reason: "NodeLost"}
		},
		"failed": func(f *field) {
			f.exec.workers[f.id(0, 1)] = executor.Worker{ID: f.id(0, 1), Phase: executor.Failed, Ref: "pod"}
		},
		"absent": func(f *field) { delete(f.exec.workers, f.id(0, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, false, func(s *spool.Spec) { s.Type = spool.TypeLocal })
			f.need.Max = 1
			f.snap.Pending = 5
			f.step()
			f.born(f.id(0, 1))
			say(f)
			for range 10 { // it goes on
				f.now = f.now.Add(time.Minute)
				f.snap.Workers[0].News = f.now
				if r := f.step(); r.Running != 1 || r.Unreachable.Ref == "" {
					t.Errorf("told is %+v", r)
				}
			}
			f.now = f.now.Add(silence - time.Second)
			f.step()
			f.wantStarted(f.id(0, 1))
			f.now = f.now.Add(time.Second)
			for range 5 {
				f.step()
				f.now = f.now.Add(time.Second)
			}
			if !f.s.IsFenced(f.id(0, 1).String()) {
				t.Error("the first one is not fenced")
			}
			f.wantStarted(f.id(0, 1), f.id(0, 2))
		})
	}
}

// A worker that was not born yet when its node was lost finds its slot taken if it is born after all.
func TestLocalUnbornIsFenced(t *testing.T) {
	f := newField(t, false, func(s *spool.Spec) { s.Type = spool.TypeLocal })
	f.need.Max = 1
	f.snap.Pending = 5
	f.step()
	f.phase(f.id(0, 1), executor.Lost)
	for range 10 {
		f.step()
		f.now = f.now.Add(time.Second)
		if len(f.exec.started) > 1 && !f.s.IsFenced(f.id(0, 1).String()) {
			t.Fatal("a successor was started before")
		}
	}
	f.wantStarted(f.id(0, 1), f.id(0, 2))
	if _, born, err := f.s.Bear(f.id(0, 1).String(), spool.Born{}); born || err != nil {
		t.Errorf("it is born after all (%v)", err)
	}
}

// What an executor says a person must mend is told, of workers that wait and of those that have ended, until work goes on.
func TestMend(t *testing.T) {
	mend := &executor.StalledError{Reason: "ImageNotPulled", Message: "correct it"}
	for name, worker := range map[string]executor.Worker{
		"held":  {Phase: executor.Held, Stall: mend},
		"ended": {Phase: executor.Failed, Witnessed: true, Stall: mend},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, false)
			f.need.Max = 1
			f.snap.Pending = 1
			f.step()
			worker.ID = f.id(0, 1)
			f.exec.workers[worker.ID] = worker
			if r := f.step(); r.Mend != mend {
				t.Errorf("told is %+v", r.Mend)
			}
			f.wantStarted(f.id(0, 1))
			f.snap.Done++
			delete(f.exec.workers, worker.ID)
			if r := f.step(); r.Mend != nil {
				t.Errorf("after a file was done %+v", r.Mend)
			}
		})
	}
}
