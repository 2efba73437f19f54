package executortest

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/tether"
)

func startAndList(b *bench) {
	if got := b.list(); len(got) != 0 {
		b.Fatalf("before the first start: %+v", got)
	}
	before := time.Now()
	ids := b.start(b.spec(1), b.spec(0), b.spec(10), b.spec(2))
	for _, id := range ids {
		w := b.awaitPhase(id, executor.Running)
		if w.Witnessed || w.Exit != nil || !w.EndedAt.IsZero() || w.Ref == "" {
			b.Errorf("running: %+v", w)
		}
		// Another host's clock, in whole seconds, may have said it.
		if !w.StartedAt.IsZero() && w.StartedAt.Before(before.Add(-time.Minute)) {
			b.Errorf("started before it was asked for: %s, %s", w.StartedAt, before)
		}
	}
	slices.SortFunc(ids, executor.WorkerID.Compare)
	if got := idsOf(b.list()); !slices.Equal(got, ids) {
		b.Errorf("listed %v, want %v", got, ids)
	}
}

func idsOf(workers []executor.Worker) []executor.WorkerID {
	var ids []executor.WorkerID
	for _, w := range workers {
		ids = append(ids, w.ID)
	}
	return ids
}

func argumentsArriveVerbatim(b *bench) {
	text := "quotes ' \" ` $HOME $(id) $$ $$(id) \\ # * ; & | < > ! ~ {} line\nbreak, tab\t, blank  blank, ü"
	if !b.h.UTF8 {
		text += " \xff\xfe"
	}
	s := b.spec(0, "--print", text, "--exit", "0", "--", "", "-x", "--spool")
	b.start(s)
	// JSON cannot spell the invalid bytes; the log has them.
	want := append([]string{"--spool", b.spool, "--id", s.ID.String()}, s.Args...)
	for i := range want {
		want[i] = strings.ToValidUTF8(want[i], "\ufffd\ufffd")
	}
	r := b.report(s.ID)
	if !slices.Equal(r.Args, want) {
		b.Errorf("flags arrived as %q, want %q", r.Args, want)
	}
	if r.Cookie != s.ID.String() {
		b.Errorf("%s=%q, want %s", tether.CookieEnv, r.Cookie, s.ID)
	}
	b.awaitEnd(s.ID)
	again := b.spec(1, "--print", "second", "--exit", "0")
	again.Log = s.Log
	b.start(again)
	b.awaitEnd(again.ID)
	if log, err := os.ReadFile(s.Log); err != nil || string(log) != text+"second" {
		b.Errorf("log of both: %q, %v", log, err)
	}
}

func startIsIdempotent(b *bench) {
	s := b.spec(0)
	id := b.start(s, s)[0]
	ref := b.awaitPhase(id, executor.Running).Ref
	b.start(s)
	if got := b.list(); len(got) != 1 || got[0].Ref != ref {
		b.Errorf("started thrice: %+v", got)
	}
	b.stop(executor.Drain, id)
	ended := b.awaitEnd(id)
	b.start(s)
	if got := b.list(); len(got) != 1 || got[0].Phase != ended.Phase || got[0].Ref != ref {
		b.Errorf("started again after its end: %+v, was %+v", got, ended)
	}
}

func refusesInvalidSpec(b *bench) {
	relative := b.spec(0)
	relative.Spool = "spool"
	err := b.e.Start(context.Background(), []executor.Spec{relative})
	if _, ok := executor.Stalled(err); !ok {
		b.Errorf("Start with a relative path: %v, want a StalledError", err)
	}
	if got := b.list(); len(got) != 0 {
		b.Errorf("started all the same: %+v", got)
	}
}

func endsByItself(b *bench) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP) // run under nohup: a child does not ignore what its parent catches
	defer signal.Stop(caught)
	for i, tt := range []struct {
		args  []string
		phase executor.Phase
		exit  executor.Exit
	}{
		{[]string{"--exit", "0"}, executor.Succeeded, executor.Exit{}},
		{[]string{"--exit", "3"}, executor.Failed, executor.Exit{Code: 3}},
		{[]string{"--raise", "1"}, executor.Failed, executor.Exit{Code: -1, Signal: syscall.SIGHUP}},
		{[]string{"--raise", "9"}, executor.Failed, executor.Exit{Code: -1, Signal: syscall.SIGKILL}},
	} {
		id := b.start(b.spec(i, tt.args...))[0]
		w := b.awaitEnd(id)
		if w.Phase != tt.phase || !w.Witnessed || w.Exit == nil {
			b.Errorf("%v: %+v, want %s, witnessed", tt.args, w, tt.phase)
		} else if w.Exit.Signal != tt.exit.Signal || tt.exit.Signal == 0 && w.Exit.Code != tt.exit.Code {
			b.Errorf("%v: %s, want %s", tt.args, w.Exit, tt.exit)
		}
	}
}

func drainLetsItFinish(b *bench) {
	ids := b.start(b.spec(0), b.spec(1))
	b.stop(executor.Drain, ids[0])
	if w := b.awaitEnd(ids[0]); w.Phase != executor.Succeeded || !w.Witnessed {
		b.Errorf("drained: %+v", w)
	}
	if w, _ := b.find(ids[1]); w.Phase != executor.Running {
		b.Errorf("the other: %+v", w)
	}
}

func drainTimeoutKills(b *bench) {
	s := b.spec(0, "--deaf")
	s.DrainTimeout = 300 * time.Millisecond
	id := b.start(s)[0]
	asked := time.Now()
	b.stop(executor.Drain, id)
	b.stop(executor.Drain, id)
	w := b.awaitEnd(id)
	if w.Phase != executor.Stopped || !w.Witnessed {
		b.Errorf("killed after its time to drain: %+v", w)
	}
	if took := time.Since(asked); took < s.DrainTimeout {
		b.Errorf("killed after %s of %s", took, s.DrainTimeout)
	}
}

func killIsAtOnce(b *bench) {
	id := b.start(b.spec(0, "--deaf", "--brood"))[0]
	b.stop(executor.Kill, id)
	if w := b.awaitEnd(id); w.Phase != executor.Stopped || !w.Witnessed {
		b.Errorf("killed: %+v", w)
	}
	b.childless(id)
}

func killHastensDrain(b *bench) {
	if b.h.Unhurried {
		b.Skip("the backend lets those that drain have their time")
	}
	id := b.start(b.spec(0, "--deaf"))[0]
	b.stop(executor.Drain, id)
	b.awaitPhase(id, executor.Terminating)
	b.stop(executor.Kill, id)
	if w := b.awaitEnd(id); w.Phase != executor.Stopped {
		b.Errorf("killed while draining: %+v", w)
	}
}

func stopOfNoWorker(b *bench) {
	never := b.spec(7).ID
	b.stop(executor.Drain)
	b.stop(executor.Drain, never)
	b.stop(executor.Kill, never)
	id := b.start(b.spec(0, "--exit", "3"))[0]
	ended := b.awaitEnd(id)
	b.stop(executor.Kill, id, never)
	b.stop(executor.Drain, id)
	if w, _ := b.find(id); w.Phase != ended.Phase {
		b.Errorf("stopped after its end: %+v, was %+v", w, ended)
	}
}

func forget(b *bench) {
	ids := b.start(b.spec(0, "--exit", "0"), b.spec(1))
	b.awaitEnd(ids[0])
	all := append(ids, b.spec(7).ID)
	for range 2 {
		if err := b.e.Forget(context.Background(), all); err != nil {
			b.Fatalf("Forget: %v", err)
		}
		if got := idsOf(b.list()); !slices.Equal(got, ids[1:]) {
			b.Errorf("listed %v, want only the one that runs", got)
		}
	}
	b.stop(executor.Drain, ids[1])
	b.awaitEnd(ids[1])
}

func leavesNothingBehind(b *bench) {
	for i, args := range [][]string{{"--exit", "0"}, {"--exit", "3"}, {"--raise", "9"}} {
		id := b.start(b.spec(i, append(args, "--brood")...))[0]
		b.awaitEnd(id)
		b.childless(id)
	}
}

// childless checks that nothing of a worker that is said to have ended still runs.
func (b *bench) childless(id executor.WorkerID) {
	b.Helper()
	if bred, err := Bred(b.spool, id.String()); bred || err != nil {
		b.Errorf("worker %s has ended, a child lives: %v, %v", id, bred, err)
	}
}

func reopen(b *bench) {
	ids := b.start(b.spec(0, "--brood"), b.spec(1, "--exit", "3"))
	b.awaitEnd(ids[1])
	if b.h.Outlive {
		b.h.Close(b.T, b.e)
		b.shut = true
		b.open()
		b.awaitPhase(ids[0], executor.Running)
		b.stop(executor.Drain, ids[0])
		if w := b.awaitEnd(ids[0]); w.Phase != executor.Succeeded {
			b.Errorf("drained by the second executor: %+v", w)
		}
		return
	}
	b.close()
	b.childless(ids[0])
	b.open()
	if got := b.list(); len(got) != 0 {
		b.Errorf("after the first executor closed: %+v", got)
	}
	b.start(b.spec(2))
}

func notifiesOfEnds(b *bench) {
	n, ok := b.e.(executor.Notifier)
	if !ok {
		b.Skip("not a Notifier: its list is polled")
	}
	id := b.start(b.spec(0))[0]
	b.stop(executor.Drain, id)
	deadline := time.After(b.h.Patience)
	for {
		select {
		case <-n.Changes():
		case <-deadline:
			b.Fatal("no change was told although the worker ended")
		}
		if w, _ := b.find(id); w.Phase.Terminal() {
			return
		}
	}
}

func cancelledContext(b *bench) {
	id := b.start(b.spec(0))[0]
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, listed := b.e.List(ctx)
	for call, err := range map[string]error{
		"Start":  b.e.Start(ctx, []executor.Spec{b.spec(1)}),
		"List":   listed,
		"Stop":   b.e.Stop(ctx, []executor.WorkerID{id}, executor.Kill),
		"Forget": b.e.Forget(ctx, []executor.WorkerID{id}),
	} {
		if !errors.Is(err, context.Canceled) {
			b.Errorf("%s with a canceled context: %v", call, err)
		}
	}
	if got := b.list(); len(got) != 1 || got[0].Phase.Terminal() {
		b.Errorf("after calls with a canceled context: %+v", got)
	}
}

func concurrent(b *bench) {
	const each = 6
	shared := b.spec(0)
	var wg sync.WaitGroup
	for i := 1; i <= each; i++ {
		wg.Go(func() {
			own := b.spec(i)
			if err := b.e.Start(context.Background(), []executor.Spec{own, shared}); err != nil {
				b.Errorf("Start: %v", err)
			}
			if _, err := b.e.List(context.Background()); err != nil {
				b.Errorf("List: %v", err)
			}
			mode := executor.StopMode(i % 2)
			for range 2 {
				if err := b.e.Stop(context.Background(), []executor.WorkerID{own.ID}, mode); err != nil {
					b.Errorf("Stop: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for i := 1; i <= each; i++ {
		if w := b.awaitEnd(b.spec(i).ID); w.Phase.Blames() {
			b.Errorf("ended on request: %+v", w)
		}
	}
	b.awaitPhase(shared.ID, executor.Running)
	if got := b.list(); len(got) != each+1 {
		b.Errorf("%d workers are listed, want %d: %+v", len(got), each+1, got)
	}
}
