package dispatcher

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

var testOwner = spool.Owner{Plane: "test", Name: "demo"}

// rig is a Task from .txt to .out whose dispatcher makes its rounds when the test says so, at the time that it says.
type rig struct {
	t    testing.TB
	root string
	s    *spool.Spool
	lock *spool.Lock
	d    *Dispatcher
	now  time.Time

	chain   Chain
	loose   bool // rounds do not wait for the staging that they begin
	earlier *spool.Earlier
}

func newRig(t testing.TB, change ...func(*spool.Spec)) *rig {
	t.Helper()
	return newRigIn(t, t.TempDir(), change...)
}

func newRigIn(t testing.TB, root string, change ...func(*spool.Spec)) *rig {
	t.Helper()
	r := &rig{t: t, root: root, now: time.Now()}
	spec := spool.Spec{
		Task: "demo", Type: spool.TypeLocalAsync, WorkDir: spool.Name(root),
		InputDir: spool.Name(filepath.Join(root, "in")), InputExt: ".txt",
		OutputDir: spool.Name(filepath.Join(root, "out")), OutputExt: ".out",
		Handler: spool.Handler{Builtin: "echo"}, Concurrency: 1, Durability: spool.None,
		Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	}
	for _, c := range change {
		c(&spec)
	}
	for _, dir := range []spool.Name{spec.InputDir, spec.OutputDir} {
		must(t, os.MkdirAll(string(dir), 0o777))
	}
	dir := spool.Dir(string(spec.OutputDir), spec.Task)
	t.Cleanup(func() { // after the dispatcher has closed
		if !t.Failed() {
			spooltest.Check(t, dir)
		}
	})
	var err error
	r.s, err = spool.Create(dir, testOwner, spec)
	must(t, err)
	t.Cleanup(func() {
		if r.d != nil {
			r.close()
		}
	})
	return r
}

// begin has a dispatcher take the spool up, whoever held it before.
func (r *rig) begin() {
	r.t.Helper()
	c := spool.Contender{Spool: r.s, Owner: testOwner, TakeOver: true}
	var err error
	r.lock, err = c.Try()
	must(r.t, err)
	must(r.t, r.takeUp())
}

func (r *rig) takeUp() error {
	r.d = New(r.lock, Config{Settle: 2 * time.Second, Log: quietLog(), Chain: r.chain, Earlier: r.earlier})
	r.d.wake = &wake.Watcher{} // time is the test's: what arrives is not to be taken at a moment of the kernel's choice
	return r.d.recover(r.t.Context())
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// close ends the dispatcher in good order.
func (r *rig) close() {
	r.t.Helper()
	r.d.stager.stop()
	r.d.wake.Close()
	must(r.t, r.lock.Close())
	r.d = nil
}

// dieIn makes the first steps of a round and dies.
func (r *rig) dieIn(steps int) {
	r.t.Helper()
	for _, step := range r.d.steps()[:steps] {
		must(r.t, step(r.t.Context(), r.now))
	}
	r.crash()
}

// crash ends it as a kill would: what is not written is lost.
func (r *rig) crash() {
	r.d.stager.stop()
	r.d.wake.Close()
	r.lock.Abandon()
	r.d = nil
}

// round makes one round, and checks what always holds.
func (r *rig) round() *Snapshot {
	r.t.Helper()
	_, err := r.d.round(r.t.Context(), r.now)
	must(r.t, err)
	if st := &r.d.stager; st.making && st.choice == nil && !r.loose {
		st.choice = <-st.answers
	}
	recount(r.t, r.d.index)
	s := r.d.Snapshot()
	if s.Staged != s.Pending+s.Running+s.Done+s.Failed || min(s.Pending, s.Running, s.Done, s.Failed) < 0 {
		r.t.Fatalf("the counts do not add up: %+v", s)
	}
	return s
}

// after makes a round some time later.
func (r *rig) after(d time.Duration) *Snapshot {
	r.t.Helper()
	r.now = r.now.Add(d)
	return r.round()
}

// rounds makes rounds until the condition holds.
func (r *rig) rounds(what string, holds func(*Snapshot) bool) *Snapshot {
	r.t.Helper()
	for range 100 {
		if s := r.after(time.Second); holds(s) {
			return s
		}
	}
	r.t.Fatalf("in vain: %s; %+v", what, r.d.Snapshot())
	return nil
}

func (r *rig) drained() *Snapshot {
	r.t.Helper()
	return r.rounds("drained", func(s *Snapshot) bool { return s.Drained })
}

// ended tells of a worker's end as WorkerEnded does from within the loop.
func (r *rig) ended(id string, end End) {
	if w := r.d.workers[id]; w != nil {
		w.ended = &end
	}
}

func (r *rig) in(name string) string  { return filepath.Join(r.root, "in", name) }
func (r *rig) out(name string) string { return filepath.Join(r.root, "out", name) }

// input makes inputs that have been there for long, in a folder that has not changed for long.
func (r *rig) input(names ...string) {
	r.t.Helper()
	for _, n := range names {
		must(r.t, os.WriteFile(r.in(n), []byte(n), 0o666))
		r.age(r.in(n), time.Hour)
	}
	r.age(r.in(""), time.Hour)
	if r.d != nil {
		r.d.inputs.stale() // the folder's age hides the change
	}
}

func (r *rig) age(path string, by time.Duration) {
	r.t.Helper()
	at := time.Now().Add(-by)
	must(r.t, os.Chtimes(path, at, at))
}

func (r *rig) place(name string) place {
	r.t.Helper()
	p := r.d.at(spool.Name(name))
	if !p.known() {
		r.t.Fatalf("%q is not known", name)
	}
	return p
}

func (r *rig) want(s *Snapshot, pending, running, done, failed int64) {
	r.t.Helper()
	if s.Pending != pending || s.Running != running || s.Done != done || s.Failed != failed {
		r.t.Fatalf("pending, running, done, failed are %d %d %d %d, want %d %d %d %d",
			s.Pending, s.Running, s.Done, s.Failed, pending, running, done, failed)
	}
}

// recount counts the index anew.
func recount(t testing.TB, x *index) {
	t.Helper()
	if len(x.places) != x.names.Len() {
		t.Fatalf("%d names have %d places", x.names.Len(), len(x.places))
	}
	fresh, left := newIndex(), map[place]int{}
	for _, p := range x.places {
		fresh.count(p, 1)
		left[p]++
	}
	got := [...]int64{x.settling, x.candidates, x.waiting, x.done, x.failed, x.inBatches}
	if want := [...]int64{fresh.settling, fresh.candidates, fresh.waiting, fresh.done, fresh.failed, fresh.inBatches}; got != want {
		t.Fatalf("settling, candidates, waiting, done, failed and in batches are counted as %v and are %v", got, want)
	}
	for p, b := range x.batches {
		if b.left != left[p] || b.left == 0 || x.byID[b.id] != b {
			t.Fatalf("batch %s is said to have %d files and has %d", b.id, b.left, left[p])
		}
	}
	if len(x.byID) != len(x.batches) {
		t.Fatalf("%d batches by id, %d by number", len(x.byID), len(x.batches))
	}
	relist(t, x)
	for f, p := range x.places {
		if p == placeCandidate && !slices.Contains(x.wished, file(f)) {
			t.Fatalf("%q is a candidate and in no list", x.name(file(f)))
		}
	}
}

// relist looks for each file in the list that its place wants it in.
func relist(t testing.TB, x *index) {
	t.Helper()
	listed, delayed := map[file]bool{}, map[file]bool{}
	for _, f := range slices.Concat(x.ready, x.suspects) {
		listed[f] = true
	}
	for _, d := range x.delayed {
		delayed[d.f] = delayed[d.f] || x.tries[d.f].until == d.until
	}
	for n, p := range x.places {
		f := file(n)
		switch {
		case p == placeDelayed && !delayed[f]:
			t.Fatalf("%q is delayed and in no list", x.name(f))
		case p == placeWaiting && !listed[f]:
			t.Fatalf("%q waits and is in no list", x.name(f))
		case p >= placeBatch && x.batches[p] == nil:
			t.Fatalf("%q is in batch %d, which is not known", x.name(f), p)
		case (p == placeDone || p == placeFailed) && (x.tries[f] != tries{} || x.causes[f] != cause{}):
			t.Fatalf("%q is through, and its failures are kept", x.name(f))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// eventually waits for what another goroutine brings about.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
