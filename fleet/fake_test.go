package fleet

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/spool/spooltest"
)

// fake is an executor whose workers do what the test says.
type fake struct {
	workers  map[executor.WorkerID]executor.Worker
	started  []executor.Spec // all that ever were, in order
	drained  []string
	killed   []string
	forgot   []string
	startErr error
	stopErr  error
}

func (e *fake) Start(_ context.Context, specs []executor.Spec) error {
	if e.startErr != nil {
		return e.startErr
	}
	for _, s := range specs {
		if _, known := e.workers[s.ID]; known {
			return fmt.Errorf("worker %s is started twice", s.ID)
		}
		e.started = append(e.started, s)
		e.workers[s.ID] = executor.Worker{ID: s.ID, Phase: executor.Pending}
	}
	return nil
}

func (e *fake) List(context.Context) ([]executor.Worker, error) {
	return slices.SortedFunc(maps.Values(e.workers), func(a, b executor.Worker) int { return a.ID.Compare(b.ID) }), nil
}

func (e *fake) Stop(_ context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	if e.stopErr != nil {
		return e.stopErr
	}
	for _, id := range ids {
		if mode == executor.Kill {
			e.killed = append(e.killed, id.String())
		} else {
			e.drained = append(e.drained, id.String())
		}
		w := e.workers[id]
		w.Phase = executor.Terminating
		e.workers[id] = w
	}
	return nil
}

func (e *fake) Forget(_ context.Context, ids []executor.WorkerID) error {
	for _, id := range ids {
		e.forgot = append(e.forgot, id.String())
		delete(e.workers, id)
	}
	return nil
}

// sweeping is a fake whose workers end with it.
type sweeping struct {
	*fake
	swept []string
}

func (e *sweeping) Sweep(_ context.Context, key string) error {
	e.swept = append(e.swept, key)
	return nil
}

// adopting is a fake that follows workers which its list lacks.
type adopting struct{ *fake }

func (e adopting) Adopt(id executor.WorkerID, _ string) {
	if _, known := e.workers[id]; !known {
		e.workers[id] = executor.Worker{ID: id, Phase: executor.Unknown}
	}
}

// slow is a fake that takes note of Forget only once it knows itself that the worker has ended.
type slow struct{ *fake }

func (e slow) Forget(ctx context.Context, ids []executor.WorkerID) error {
	return e.fake.Forget(ctx, slices.DeleteFunc(slices.Clone(ids), func(id executor.WorkerID) bool { return !e.workers[id].Phase.Terminal() }))
}

// field is a Fleet over a fake executor and a dispatcher that is played by the test.
type field struct {
	t     *testing.T
	s     *spool.Spool
	lock  *spool.Lock
	exec  *fake
	fleet *Fleet
	snap  *dispatcher.Snapshot
	now   time.Time
	need  Need
	ended map[string]dispatcher.End // what the dispatcher was told
}

func newField(t *testing.T, sweeps bool, change ...func(*spool.Spec)) *field {
	t.Helper()
	root := t.TempDir()
	spec := spool.Spec{
		Task: "demo", Type: spool.TypeLocalAsync, InputExt: ".txt", OutputExt: ".out",
		OutputDir: spool.Name(root), Concurrency: 1, Revision: "v1",
	}
	for _, c := range change {
		c(&spec)
	}
	s, err := spool.Create(filepath.Join(root, "spool"), spool.Owner{Plane: "test", Name: "demo"}, spec)
	must(t, err)
	lock, err := (&spool.Contender{Spool: s}).Try()
	must(t, err)
	t.Cleanup(func() {
		lock.Abandon()
		spooltest.Check(t, s.Path())
	})
	f := &field{
		t: t, s: s, lock: lock, exec: &fake{workers: map[executor.WorkerID]executor.Worker{}}, snap: &dispatcher.Snapshot{},
		now: time.Now(), need: Need{Max: 3, MaxPending: 3, IdleTimeout: time.Minute, DrainTimeout: time.Second}, ended: map[string]dispatcher.End{},
	}
	if sweeps {
		f.fleet = New(s, &sweeping{fake: f.exec}, f)
	} else {
		f.fleet = New(s, f.exec, f)
	}
	return f
}

// WorkerEnded plays the dispatcher: it fences, and shows the worker no longer.
func (f *field) WorkerEnded(_ context.Context, id string, end dispatcher.End) error {
	f.ended[id] = end
	if _, err := f.lock.Fence(id); err != nil {
		return err
	}
	f.snap.Workers = slices.DeleteFunc(slices.Clone(f.snap.Workers), func(w dispatcher.WorkerState) bool { return w.ID == id })
	return nil
}

// step makes one Step over a new list.
func (f *field) step() Report {
	f.t.Helper()
	r, err := f.tryStep()
	must(f.t, err)
	return r
}

// again has another process go on with the workers.
func (f *field) again() { f.fleet = New(f.s, f.exec, f) }

func (f *field) tryStep() (Report, error) {
	f.t.Helper()
	all, err := f.exec.List(f.t.Context())
	must(f.t, err)
	return f.fleet.Step(f.t.Context(), f.now, f.need, f.snap, all)
}

func (f *field) id(index, restart int) executor.WorkerID {
	return executor.WorkerID{Key: f.s.ID(), Index: index, Restart: restart}
}

// born lets a worker begin its work.
func (f *field) born(id executor.WorkerID) *spool.Worker {
	f.t.Helper()
	w, born, err := f.s.Bear(id.String(), spool.Born{Revision: f.s.Spec().Revision, Time: f.now})
	must(f.t, err)
	if !born {
		f.t.Fatalf("the slot of %s is taken", id)
	}
	f.phase(id, executor.Running)
	f.snap.Workers = append(slices.Clone(f.snap.Workers), dispatcher.WorkerState{ID: id.String(), News: f.now})
	return w
}

func (f *field) phase(id executor.WorkerID, p executor.Phase) {
	f.exec.workers[id] = executor.Worker{ID: id, Phase: p}
}

// dies ends a worker, with a word if there is a reason.
func (f *field) dies(id executor.WorkerID, w *spool.Worker, p executor.Phase, reason spool.ExitReason) {
	f.t.Helper()
	f.exec.workers[id] = executor.Worker{ID: id, Phase: p, Witnessed: true}
	if reason != "" {
		must(f.t, w.Exit(reason, &spool.Failure{Type: string(reason), Message: "because"}))
	}
}

// wantStarted checks which workers there ever were.
func (f *field) wantStarted(ids ...executor.WorkerID) {
	f.t.Helper()
	got := make([]executor.WorkerID, 0, len(f.exec.started))
	for _, s := range f.exec.started {
		got = append(got, s.ID)
		if err := s.Validate(); err != nil {
			f.t.Error(err)
		}
	}
	if !slices.Equal(got, ids) {
		f.t.Fatalf("started %v, want %v", got, ids)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
