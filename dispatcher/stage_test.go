package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/faultfs"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

// newStagingRig makes a rig that stages.
func newStagingRig(t *testing.T, steps ...staging.Step) *rig {
	t.Helper()
	return newStagingRigIn(t, t.TempDir(), steps...)
}

func newStagingRigIn(t *testing.T, root string, steps ...staging.Step) *rig {
	t.Helper()
	r := newRigIn(t, root)
	compiled, err := staging.Compile(steps)
	must(t, err)
	r.chain.Lead = &Lead{Tasks: []Member{{Name: "demo", Dir: r.s.Path()}}, Staging: compiled}
	return r
}

// staged is what the ledgers say was chosen, in order.
func (r *rig) staged() (names []string) {
	r.t.Helper()
	must(r.t, r.s.History().Read(func(e spool.Entry) error {
		for _, n := range e.Staged {
			names = append(names, string(n))
		}
		return nil
	}))
	return names
}

func (r *rig) wantStaged(names ...string) {
	r.t.Helper()
	if got := r.staged(); !slices.Equal(got, names) {
		r.t.Fatalf("staged are %q, want %q", got, names)
	}
}

// order works the queue off and notes in which order the files come.
func (c *script) order() (names []string) {
	c.t.Helper()
	for h := c.claim(); h != nil; h = c.claim() {
		for _, n := range h.files {
			names = append(names, string(n))
		}
		c.done(h, 0.01, h.files...)
	}
	return names
}

func TestStagingOrders(t *testing.T) {
	r := newStagingRig(t, staging.Step{MinSize: 6}, staging.Step{SortBy: staging.SortByName, Reverse: true})
	r.input("b.txt", "aa.txt", "c.txt", "bb.txt", "cc.txt")
	r.begin()
	s := r.round()
	r.want(s, 0, 0, 0, 0)
	if s.Candidates != 5 || s.Staged != 0 || s.Drained {
		t.Fatalf("%+v", s)
	}
	w := r.worker(0, 1)
	var got []string
	s = r.rounds("drained", func(s *Snapshot) bool { got = append(got, w.order()...); return s.Drained })
	if want := []string{"cc.txt", "bb.txt", "aa.txt"}; !slices.Equal(got, want) {
		t.Errorf("worked on %q, want %q", got, want)
	}
	r.wantStaged(got...)
	if r.want(s, 0, 0, 3, 0); s.Candidates != 2 {
		t.Errorf("%d candidates are left", s.Candidates)
	}
	must(t, os.WriteFile(r.in("b.txt"), []byte("longer"), 0o666)) // it comes to fit
	r.rounds("the one that has grown", func(s *Snapshot) bool { w.order(); return s.Done == 4 })
	must(t, os.Remove(r.in("c.txt")))
	r.d.inputs.stale()
	r.rounds("no candidate", func(s *Snapshot) bool { return s.Candidates == 0 })
}

// TestStagingKeepsToMaxStaged: there are never more in the pipeline than may be, and room is filled at once.
func TestStagingKeepsToMaxStaged(t *testing.T) {
	r := newStagingRig(t, staging.Step{MaxStaged: 3})
	r.input(numbered(10)...)
	r.begin()
	w := r.worker(0, 1)
	r.round()
	r.after(20 * time.Millisecond)
	for done := range int64(10) {
		h := w.claim()
		if h == nil {
			t.Fatalf("nothing is fed: %+v", r.d.Snapshot())
		}
		w.done(h, 0.01, h.files...)
		for range 4 {
			if s := r.after(20 * time.Millisecond); s.Pending+s.Running > 3 {
				t.Fatalf("more than may be: %+v", s)
			}
		}
		if s := r.d.Snapshot(); s.Pending+s.Running != min(3, 10-s.Done) || s.Done <= done {
			t.Fatalf("room is not filled: %+v", s)
		}
	}
	r.drained()
	r.wantStaged(numbered(10)...)
}

// TestStagingIsPaced: with maxBatch rounds follow each other as slowly as TigerFlow's.
func TestStagingIsPaced(t *testing.T) {
	r := newStagingRig(t, staging.Step{MaxBatch: 2})
	r.input(numbered(5)...)
	r.begin()
	began := r.now
	w := r.worker(0, 1)
	for want := 2; want <= 5; want += 2 {
		for len(r.staged()) < want {
			if s := r.after(100 * time.Millisecond); s.Drained {
				t.Fatalf("drained: %+v", s)
			}
			w.work(0.01)
		}
		if got, least := r.now.Sub(began), stageEvery*time.Duration(want/2-1); got < least || got > least+stageEvery/2 {
			t.Errorf("%d are staged after %v", want, got)
		}
	}
	r.finish(w)
	r.wantStaged(numbered(5)...)
}

// TestStagingWaitsForAge: a file that is too young is taken as soon as it is old enough, and until then there is work to come.
func TestStagingWaitsForAge(t *testing.T) {
	r := newStagingRig(t, staging.Step{MinAge: 2 * time.Hour})
	r.input("old.txt", "young.txt", "of-tomorrow.txt")
	r.age(r.in("old.txt"), 3*time.Hour)
	r.age(r.in("of-tomorrow.txt"), -24*time.Hour)
	r.age(r.in(""), time.Hour)
	r.begin()
	w := r.worker(0, 1)
	r.rounds("the old one", func(s *Snapshot) bool { w.work(0.01); return s.Done == 1 })
	for range 5 {
		if s := r.after(10 * time.Second); s.Drained || s.Candidates != 2 {
			t.Fatalf("%+v", s)
		}
	}
	if wait := r.d.stager.young.Sub(r.now); wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("it is to be old enough in %v", wait)
	}
	r.age(r.in("young.txt"), 2*time.Hour) // the clock that gives files their times is not the test's
	s := r.finish(w)
	if r.want(s, 0, 0, 2, 0); s.Candidates != 1 { // nobody knows when the third is old
		t.Errorf("%+v", s)
	}
	r.wantStaged("old.txt", "young.txt")
}

// TestStagingStays: what was chosen stays so over restarts, in its order, and is not asked about again.
func TestStagingStays(t *testing.T) {
	r := newStagingRig(t, staging.Step{SortBy: staging.SortByName, Reverse: true})
	r.input(numbered(6)...)
	r.begin()
	r.rounds("staged", func(s *Snapshot) bool { return s.Pending == 6 })
	want := r.staged()
	r.crash()
	r.chain.Lead.Staging, _ = staging.Compile([]staging.Step{{MinSize: 1000}})
	r.begin()
	r.want(r.round(), 6, 0, 0, 0)
	w := r.worker(0, 1)
	var got []string
	r.rounds("drained", func(s *Snapshot) bool { got = append(got, w.order()...); return s.Drained })
	if !slices.Equal(got, want) {
		t.Errorf("worked on %q, chosen were %q", got, want)
	}
	must(t, os.Remove(r.out("00003.out"))) // by somebody who wants it run again
	r.close()
	r.begin()
	r.want(r.finish(w), 0, 0, 6, 0)

	r.ask(spool.Request{Kind: spool.RequestDrain})
	r.input("late.txt")
	if s := r.after(time.Second); s.Candidates != 1 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
}

// TestStagingOfWhatIsGone: a chosen file that is not there is chosen anew when it comes back.
func TestStagingOfWhatIsGone(t *testing.T) {
	r := newStagingRig(t, staging.Step{SortBy: staging.SortByName})
	r.input("a.txt", "b.txt")
	r.begin()
	r.rounds("staged", func(s *Snapshot) bool { return s.Pending == 2 })
	must(t, os.Remove(r.in("a.txt")))
	w := r.worker(0, 1)
	w.tell(r.mustClaim(w, "a.txt"), spool.Event{Kind: spool.EventGone}, "a.txt")
	r.want(r.finish(w), 0, 0, 1, 0)
	for range 2 {
		r.crash()
		r.begin()
		r.want(r.drained(), 0, 0, 1, 0)
	}
	r.input("a.txt")
	r.want(r.finish(w), 0, 0, 2, 0)
	r.wantStaged("a.txt", "b.txt", "a.txt")
}

// TestStagingPassesResultsOver: what has a result is no candidate.
func TestStagingPassesResultsOver(t *testing.T) {
	r := newStagingRig(t, staging.Step{MinSize: 1000})
	r.input(numbered(3)...)
	must(t, os.WriteFile(r.out("00001.out"), nil, 0o666))
	must(t, os.WriteFile(r.out("00002.err"), nil, 0o666))
	r.begin()
	s := r.drained()
	if r.want(s, 0, 0, 1, 1); s.Candidates != 1 {
		t.Errorf("%+v", s)
	}
	must(t, os.WriteFile(r.out("00000.out"), nil, 0o666)) // a person makes it
	r.d.checked, r.d.checkedAt = false, time.Time{}
	s = r.drained()
	if r.want(s, 0, 0, 2, 1); s.Candidates != 0 {
		t.Errorf("%+v", s)
	}
}

// slowCaller answers when the test lets it.
type slowCaller struct{ answer chan error }

func (c slowCaller) Call(ctx context.Context, _ string, candidates []string, _ staging.Counts) ([]string, error) {
	select {
	case err := <-c.answer:
		return candidates, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestStagingBesideTheLoop: while a callable runs all else goes on, and one that fails is tried again.
func TestStagingBesideTheLoop(t *testing.T) {
	call := slowCaller{make(chan error)}
	r := newStagingRig(t, staging.Step{Callable: "m:f"})
	r.chain.Lead.Caller, r.loose = call, true
	r.input(numbered(2)...)
	r.begin()
	for range 50 {
		if s := r.after(time.Second); s.Drained || s.Candidates != 2 {
			t.Fatalf("%+v", s)
		}
	}
	call.answer <- errors.New("ValueError:\nno")
	r.eventually("the fault", func(s *Snapshot) bool { return s.StagingFault == "the callable m:f: ValueError: no" })
	r.after(stageEvery)
	if s := r.after(time.Second); s.Drained || s.StagingFault == "" {
		t.Fatalf("%+v", s)
	}
	call.answer <- nil
	r.eventually("the files", func(s *Snapshot) bool { return s.Pending == 2 && s.StagingFault == "" })
	r.input("late.txt")
	r.after(stageEvery)
	r.after(time.Second)
	if !r.d.stager.making {
		t.Fatal("no round is being made")
	}
	r.close() // ends it
}

// eventually makes rounds until another goroutine has brought something about.
func (r *rig) eventually(what string, holds func(*Snapshot) bool) {
	r.t.Helper()
	eventually(r.t, what, func() bool { return holds(r.after(time.Millisecond)) })
}

// TestStagingIsBounded: many candidates that are refused do not keep the dispatcher busy.
func TestStagingIsBounded(t *testing.T) {
	r := newStagingRig(t, staging.Step{MinSize: 1000})
	r.input(numbered(10)...)
	r.begin()
	r.drained()
	st := &r.d.stager
	st.quiet = r.now.Add(stageQuiet * time.Second) // as if the round had taken a second
	st.rested = r.now.Add(stageRest * time.Second)
	began := st.began
	for rested := st.rested.Add(-2 * time.Second); r.now.Before(rested); {
		r.input(fmt.Sprintf("%d.txt", r.now.UnixNano())) // news
		if r.after(time.Second); !st.began.Equal(began) {
			t.Fatal("a round is made too early")
		}
	}
	for range 3 {
		r.after(time.Second)
	}
	if st.began.Equal(began) {
		t.Error("no round is made")
	}
}

// TestFollowersTakeWhatIsStaged: the other roots take what the lead has chosen, or found to be done, and nothing else; inputs
// are deleted when all are done with them.
func TestFollowersTakeWhatIsStaged(t *testing.T) {
	lead := newStagingRig(t, staging.Step{FilenameMatch: "^0000[0-4]"})
	follower := newRigIn(t, t.TempDir(), func(s *spool.Spec) { s.InputDir, s.OutputExt = lead.s.Spec().InputDir, ".fol" })
	follower.chain = Chain{StagedBy: lead.s.Path()}
	lead.chain.DeleteInputs, lead.chain.Siblings = true, []string{follower.s.Path()}
	lead.input(numbered(7)...)
	must(t, os.WriteFile(lead.out("00006.out"), nil, 0o666))
	lead.begin()
	follower.begin()
	workers := map[*rig]*script{lead: lead.worker(0, 1), follower: follower.worker(0, 1)}
	work := func(what string, holds func() bool) {
		for range 100 {
			drained := true
			for r, w := range workers {
				w.work(0.01)
				drained = r.after(time.Second).Drained && drained
			}
			if drained && holds() {
				return
			}
		}
		t.Fatalf("in vain: %s: %+v %+v", what, lead.d.Snapshot(), follower.d.Snapshot())
	}
	work("deleted", func() bool { return len(lead.inputs()) == 1 })
	if got := lead.inputs(); got[0] != "00005.txt" {
		t.Errorf("left are %q", got)
	}
	for _, r := range []*rig{lead, follower} {
		r.want(r.d.Snapshot(), 0, 0, 6, 0)
		r.crash()
		r.begin()
	}
	work("drained", func() bool { return true })
	for _, r := range []*rig{lead, follower} {
		r.want(r.d.Snapshot(), 0, 0, 6, 0)
	}
}

// inputs are the names in the input folder.
func (r *rig) inputs() (names []string) {
	r.t.Helper()
	entries, err := os.ReadDir(r.in(""))
	must(r.t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestRandomStaging has files come, workers work, and dispatchers die while a lead stages and another root follows. Nothing is lost,
// nothing staged twice, and files are fed in the order of the ledger.
func TestRandomStaging(t *testing.T) {
	seeds := 20
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomStaging(t, rand.New(rand.NewPCG(uint64(seed), 2))) })
	}
}

func randomStaging(t *testing.T, rng *rand.Rand) {
	steps := [][]staging.Step{
		{{SortBy: staging.SortByName, Reverse: true}, {MaxStaged: 4}}, {{MinSize: 10}}, {{MaxBatch: 3}}, {{FilenameMatch: `[02468]\.txt$`}},
	}[rng.IntN(4)]
	lead := newStagingRig(t, steps...)
	follower := newRigIn(t, t.TempDir(), func(s *spool.Spec) { s.InputDir, s.OutputExt = lead.s.Spec().InputDir, ".fol" })
	follower.chain = Chain{StagedBy: lead.s.Path()}
	rigs := []*rig{lead, follower}
	workers := map[*rig]*script{}
	for _, r := range rigs {
		r.begin()
		workers[r] = r.worker(0, 1)
	}
	made := 0
	var begun []string // by the lead's worker
	for range 150 {
		r := rigs[rng.IntN(2)]
		switch rng.IntN(8) {
		case 0:
			made++
			name := fmt.Sprintf("%04d%s.txt", made, strings.Repeat("x", rng.IntN(2)))
			lead.input(name)
		case 1:
			r.dieIn(rng.IntN(len(r.d.steps())))
			r.begin()
		case 2:
			r.close()
			r.begin()
		case 3, 4:
			if names := workers[r].order(); r == lead {
				begun = append(begun, names...)
			}
		default:
			r.after(time.Second)
		}
	}
	for range 200 {
		begun = append(begun, workers[lead].order()...)
		workers[follower].work(0.01)
		drained := true
		for _, r := range rigs {
			drained = r.after(time.Second).Drained && drained
		}
		if drained {
			break
		}
	}
	lead.wantStaged(begun...)
	checkStaging(t, rigs, made)
}

func checkStaging(t *testing.T, rigs []*rig, made int) {
	t.Helper()
	chosen := rigs[0].staged()
	if slices.Sort(chosen); len(slices.Compact(slices.Clone(chosen))) != len(chosen) {
		t.Errorf("staged twice: %q", chosen)
	}
	for _, r := range rigs {
		s := r.d.Snapshot()
		if r.want(s, 0, 0, int64(len(chosen)), 0); !s.Drained {
			t.Errorf("%+v", s)
		}
		for _, n := range chosen {
			if stem := strings.TrimSuffix(n, ".txt"); !exists(filepath.Join(r.root, "out", stem+r.s.Spec().OutputExt)) {
				t.Errorf("%s has no output", n)
			}
		}
	}
	if s := rigs[0].d.Snapshot(); s.Candidates+s.Staged != int64(made) {
		t.Errorf("%d files were made, %+v", made, s)
	}
}

// TestStagingOfWhatCannotBeLookedAt: an error is not taken for a file that is not there, or does not fit. Nothing is drained
// before it was looked at.
func TestStagingOfWhatCannotBeLookedAt(t *testing.T) {
	for name, step := range map[string]staging.Step{
		"filter": {MinSize: 1},
		"sort":   {SortBy: staging.SortBySize}, // which looks only when the candidates or the counts change
		"age":    {MinAge: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			r := newStagingRig(t, step, staging.Step{MaxStaged: 1})
			r.input("a.txt", "b.txt")
			must(t, os.WriteFile(r.in("b.txt"), []byte("longer"), 0o666)) // the larger, and the later
			r.age(r.in("a.txt"), time.Hour)
			r.age(r.in("b.txt"), time.Minute)
			r.age(r.in(""), time.Minute)
			r.begin()
			w := r.worker(0, 1)
			r.rounds("the first", func(s *Snapshot) bool { return s.Staged == 1 })
			must(t, os.Rename(r.in("b.txt"), r.in("away")))
			must(t, os.Symlink(strings.Repeat("x", 300), r.in("b.txt"))) // looking at it fails, and not for being absent
			r.rounds("the first done", func(s *Snapshot) bool { w.work(0.01); return s.Done == 1 })
			for range 5 {
				if s := r.after(time.Second); s.Drained || s.Candidates != 1 || !strings.Contains(s.Input, "b.txt") {
					t.Fatalf("%+v", s)
				}
			}
			must(t, os.Rename(r.in("away"), r.in("b.txt"))) // the error has passed
			if s := r.finish(w); s.Done != 2 || s.Input != "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestStagingOfUnseenCompanions: likewise for the file that one waits for.
func TestStagingOfUnseenCompanions(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("mounting needs root and FUSE")
	}
	server, err := faultfs.NewServer(t.TempDir())
	must(t, err)
	root := t.TempDir()
	host, err := server.Mount("a", root, faultfs.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, host.Close()) })
	r := newStagingRigIn(t, root, staging.Step{CompanionFile: ".json"})
	r.input("a.txt", "a.json", "alone.txt")
	host.Decide(func(c faultfs.Call) faultfs.Fault {
		if strings.HasSuffix(c.Path, "a.json") {
			return faultfs.Fault{Before: syscall.EIO}
		}
		return faultfs.Fault{}
	})
	r.begin()
	r.round()
	for range 3 {
		if s := r.after(time.Second); s.Drained || s.Candidates != 2 || s.Storage == nil || !strings.Contains(s.Storage.Message, "a.json") {
			t.Fatalf("%+v", s)
		}
	}
	host.Decide(nil)
	if s := r.finish(r.worker(0, 1)); s.Done != 1 || s.Candidates != 1 || s.Storage != nil {
		t.Errorf("%+v", s)
	}
}
