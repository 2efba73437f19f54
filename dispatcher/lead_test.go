package dispatcher

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

// newLedPipeline is a lead, another root, and a child of the lead, as tasks lead, other and child.
func newLedPipeline(t *testing.T, steps ...staging.Step) (lead, other, child *rig) {
	t.Helper()
	lead = newRig(t, func(s *spool.Spec) { s.Task = "lead" })
	other = newRigIn(t, t.TempDir(), func(s *spool.Spec) { s.Task, s.InputDir, s.OutputExt = "other", lead.s.Spec().InputDir, ".oth" })
	child = newRigIn(t, t.TempDir(), func(s *spool.Spec) {
		s.Task, s.Parent, s.InputDir, s.InputExt, s.OutputExt = "child", "lead", lead.s.Spec().OutputDir, ".out", ".fin"
	})
	lead.chain.Lead = &Lead{Tasks: []Member{
		{Name: "lead", Dir: lead.s.Path()}, {Name: "other", Dir: other.s.Path()}, {Name: "child", Dir: child.s.Path(), Parent: "lead"},
	}}
	child.chain.Parent, lead.chain.Children = lead.s.Path(), []string{child.s.Path()}
	if len(steps) > 0 {
		compiled, err := staging.Compile(steps)
		must(t, err)
		lead.chain.Lead.Staging, other.chain.StagedBy = compiled, lead.s.Path()
	}
	for _, r := range []*rig{lead, other, child} {
		r.begin()
	}
	return lead, other, child
}

func (r *rig) wantPipeline(staged, inProgress, finished, failed int64) *Snapshot {
	r.t.Helper()
	s := r.after(time.Second)
	want := PipelineCounts{Staged: staged, InProgress: inProgress, Finished: finished, Failed: failed}
	if s.Pipeline != nil {
		want.Earlier = s.Pipeline.Earlier
	}
	if s.Pipeline == nil || *s.Pipeline != want {
		r.t.Fatalf("the pipeline has %+v, want %+v", s.Pipeline, want)
	}
	return s
}

// TestLeadCounts follows three files: one that all tasks are through with, one that two fail on, one that comes late.
func TestLeadCounts(t *testing.T) {
	lead, other, child := newLedPipeline(t)
	lead.input("a.txt", "b.txt")
	other.d.inputs.stale()
	lead.wantPipeline(2, 0, 0, 0)
	w, x, y := lead.worker(0, 1), other.worker(0, 1), child.worker(0, 1)
	other.after(time.Second)
	x.done(other.mustClaim(x, "a.txt"), 0.1, "a.txt")
	other.after(time.Second)
	x.fail(other.mustClaim(x, "b.txt"), "no", "b.txt")
	other.after(time.Second)
	s := lead.wantPipeline(0, 1, 0, 1)
	if s.Pending != 2 {
		t.Errorf("%+v", s)
	}
	w.work(0.1)
	if lead.after(time.Second); lead.wantPipeline(0, 1, 0, 1).Drained {
		t.Error("the lead is drained before the child")
	}
	child.after(time.Second)
	for h := y.claim(); h != nil; h = y.claim() {
		if h.files[0] == "a.out" {
			y.done(h, 0.1, h.files...)
		} else {
			y.fail(h, "no", h.files...)
		}
		child.after(time.Second)
	}
	lead.after(time.Second)
	if s := lead.wantPipeline(0, 0, 1, 1); !s.Drained || s.Pipeline.Earlier != 0 {
		t.Errorf("%+v", s)
	}
	lead.crash()
	lead.begin()
	lead.drained()
	if s := lead.wantPipeline(0, 0, 1, 1); s.Pipeline.Earlier != 2 {
		t.Errorf("%+v", s.Pipeline)
	}
	for _, r := range []*rig{other, child} {
		r.ask(spool.Request{Kind: spool.RequestRetry})
		r.after(time.Second)
	}
	if s := lead.wantPipeline(0, 1, 1, 0); s.Pipeline.Earlier != 1 {
		t.Errorf("%+v", s.Pipeline)
	}
	x.fail(other.mustClaim(x, "b.txt"), "no", "b.txt")
	other.after(time.Second)
	child.after(time.Second)
	y.fail(child.mustClaim(y, "b.out"), "no", "b.out")
	child.after(time.Second)
	if s := lead.wantPipeline(0, 0, 1, 1); s.Pipeline.Earlier != 1 {
		t.Errorf("%+v", s.Pipeline)
	}

	lead.input("late.txt")
	if lead.wantPipeline(1, 0, 1, 1).Drained {
		t.Error("drained although a file has come")
	}
	w.claim()
	lead.wantPipeline(0, 1, 1, 1) // it is in hand
	child.ask(spool.Request{Kind: spool.RequestRetry})
	child.after(time.Second)
	y.work(0.1)
	child.after(time.Second)
	lead.wantPipeline(0, 1, 1, 1)
	if s := lead.d.Snapshot(); s.Pipeline.Failed != 1 {
		t.Errorf("what failed in another task, too: %+v", s.Pipeline)
	}
}

// TestInputGoneBeforeAnotherRootSawIt: nobody will ever be through with it there, and the pipeline ends.
func TestInputGoneBeforeAnotherRootSawIt(t *testing.T) {
	lead, other, child := newLedPipeline(t)
	lead.input("a.txt", "b.txt")
	lead.after(time.Second)
	w, x, y := lead.worker(0, 1), other.worker(0, 1), child.worker(0, 1)
	w.work(0.1)
	lead.after(time.Second)
	child.after(time.Second)
	y.work(0.1)
	child.after(time.Second)
	in := string(lead.s.Spec().InputDir)
	must(t, os.Rename(in, in+".away")) // then nobody knows what is gone
	lead.after(forsakeEvery)
	if open := lead.d.lead.open; open != 2 {
		t.Errorf("%d files are open while the inputs are away, want 2", open)
	}
	must(t, os.Rename(in+".away", in))
	must(t, os.Remove(filepath.Join(in, "a.txt")))
	other.d.inputs.stale()
	other.after(time.Second)
	if lead.after(forsakeEvery).Drained {
		t.Error("drained although the other root has a file to do")
	}
	x.work(0.1)
	other.after(time.Second)
	lead.after(time.Second)
	lead.drained()
	lead.wantPipeline(0, 0, 1, 0) // what one root has not done is not finished, and nothing more comes of it
	lead.close()
	lead.begin()
	lead.wantPipeline(0, 0, 1, 0) // which a lead that counts for the last time knows at once
}

// TestIntermediateRemoved: a person removes what a child has yet to read when the Task that made it has nothing more to do.
func TestIntermediateRemoved(t *testing.T) {
	lead, other, child := newLedPipeline(t)
	lead.input("a.txt")
	w, x, y := lead.worker(0, 1), other.worker(0, 1), child.worker(0, 1)
	lead.rounds("its own part is done", func(s *Snapshot) bool {
		other.after(time.Second)
		w.work(0.1)
		x.work(0.1)
		return s.Done == 1 && lead.d.checked
	})
	must(t, os.Remove(lead.out("a.out")))
	child.after(time.Second)
	y.tell(child.mustClaim(y, "a.out"), spool.Event{Kind: spool.EventGone}, "a.out")
	child.after(time.Second)
	lead.after(listEvery)
	lead.rounds("made again", func(s *Snapshot) bool {
		w.work(0.1)
		child.after(time.Second)
		y.work(0.1)
		return s.Drained
	})
	lead.wantPipeline(0, 0, 1, 0)
}

// TestGoneHalfwayTakesNoRoom: an input that is deleted when one root has done it keeps no other from being staged for ever.
func TestGoneHalfwayTakesNoRoom(t *testing.T) {
	lead, other, child := newLedPipeline(t, staging.Step{MaxStaged: 1})
	lead.input("a.txt")
	w, x, y := lead.worker(0, 1), other.worker(0, 1), child.worker(0, 1)
	for range 4 {
		lead.after(time.Second)
		w.work(0.1)
	}
	must(t, os.Remove(lead.in("a.txt")))
	lead.input("b.txt")
	lead.rounds("b is finished", func(s *Snapshot) bool {
		other.after(time.Second)
		for h := x.claim(); h != nil; h = x.claim() {
			if h.files[0] == "a.txt" {
				x.tell(h, spool.Event{Kind: spool.EventGone}, "a.txt")
			} else {
				x.done(h, 0.1, h.files...)
			}
		}
		child.after(time.Second)
		w.work(0.1)
		y.work(0.1)
		return s.Drained && s.Pipeline.Finished == 1
	})
	lead.wantPipeline(0, 0, 1, 0)
}

// TestLeadFillsRoom: maxStaged counts what is anywhere in the pipeline, and what has failed somewhere no more.
func TestLeadFillsRoom(t *testing.T) {
	lead, other, child := newLedPipeline(t, staging.Step{MaxStaged: 2})
	lead.input(numbered(5)...)
	w, x, y := lead.worker(0, 1), other.worker(0, 1), child.worker(0, 1)
	staged := func() int64 {
		for range 3 {
			for r, c := range map[*rig]*script{lead: w, other: x} {
				r.after(time.Second)
				c.work(0.1)
			}
		}
		return lead.after(time.Second).Staged
	}
	if got := staged(); got != 2 {
		t.Fatalf("%d are staged", got)
	}
	for i := range int64(5) {
		child.after(time.Second)
		h := y.claim()
		if i == 2 {
			y.fail(h, "no", h.files[0])
		} else {
			y.done(h, 0.1, h.files[0])
		}
		for _, n := range h.open {
			y.tell(h, spool.Event{Kind: spool.EventBack}, n)
		}
		child.after(time.Second)
		if got, want := staged(), min(5, 3+i); got != want {
			t.Fatalf("%d are staged when the child is through with %d, want %d", got, i+1, want)
		}
	}
	lead.drained()
	lead.wantPipeline(0, 0, 4, 1)
}

// TestRandomLead has dispatchers die while workers work and fail. The lead's counts always have each file once, it is not drained
// before all tasks are, and in the end they are exact.
func TestRandomLead(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomLead(t, rand.New(rand.NewPCG(uint64(seed), 3))) })
	}
}

func randomLead(t *testing.T, rng *rand.Rand) {
	var steps []staging.Step
	if rng.IntN(2) == 0 {
		steps = []staging.Step{{MaxStaged: 3}}
	}
	lead, other, child := newLedPipeline(t, steps...)
	l := &luck{rng: rng, rigs: []*rig{lead, other, child}, workers: map[*rig]*script{}, bad: map[string]bool{}}
	for _, r := range l.rigs {
		l.workers[r] = r.worker(0, 1)
	}
	made := 0
	for range 120 {
		r := l.rigs[rng.IntN(3)]
		switch rng.IntN(8) {
		case 0:
			made++
			lead.input(fmt.Sprintf("%04d.txt", made))
			other.d.inputs.stale()
		case 1:
			r.dieIn(rng.IntN(len(r.d.steps())))
			r.begin()
		case 2, 3:
			l.work(r, 1)
		default:
			r.after(time.Second)
		}
		if p := lead.d.Snapshot().Pipeline; p != nil && p.Staged+p.InProgress+p.Finished+p.Failed > int64(made) {
			t.Fatalf("%d files were made, counted are %+v", made, p)
		}
	}
	lead.rounds("drained", func(s *Snapshot) bool {
		for _, r := range l.rigs[1:] {
			l.work(r, math.MaxInt)
			if rs := r.after(time.Second); s.Drained && rs.Pending+rs.Running > 0 {
				t.Fatalf("drained before all tasks: %+v", s)
			}
		}
		l.work(lead, math.MaxInt)
		return s.Drained
	})
	lead.wantPipeline(0, 0, int64(made-len(l.bad)), int64(len(l.bad)))
}

// luck is workers some of whose files fail.
type luck struct {
	rng     *rand.Rand
	rigs    []*rig
	workers map[*rig]*script
	bad     map[string]bool // stems
}

// work has the worker of a Task do some of the batches in its queue.
func (l *luck) work(r *rig, batches int) {
	w := l.workers[r]
	for h := w.claim(); h != nil; h = w.claim() {
		if l.rng.IntN(5) == 0 {
			stem, _ := spool.MatchInput(string(h.files[0]), r.s.Spec().InputExt)
			l.bad[stem] = true
			w.fail(h, fmt.Sprint("no ", h.files[0]), h.files[0])
		}
		if len(h.open) > 0 {
			w.done(h, 0.01, h.open...)
		}
		if batches--; batches == 0 {
			return
		}
	}
}
