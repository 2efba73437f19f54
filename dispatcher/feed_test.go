package dispatcher

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

func (r *rig) queue() int {
	r.t.Helper()
	ids, err := r.s.Queue()
	must(r.t, err)
	return len(ids)
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%05d.txt", i)
	}
	return names
}

// TestBatchesGrowAndShrink: one file until a duration is known, then more, then fewer so that all end together.
func TestBatchesGrowAndShrink(t *testing.T) {
	r := newRig(t)
	r.input(numbered(3000)...)
	r.begin()
	w := r.worker(0, 1)
	r.round()
	var sizes []int
	for {
		h := w.claim()
		if h == nil {
			break
		}
		sizes = append(sizes, len(h.files))
		w.done(h, 0.002, h.files...) // 500 in a second
		r.after(time.Second)
		if q := r.queue(); q > batchAhead+1 {
			t.Fatalf("%d batches wait for one worker", q)
		}
	}
	if sizes[0] != 1 || sizes[1] != 1 {
		t.Errorf("the first batches have %v files", sizes[:2])
	}
	top := 0
	for i, n := range sizes {
		top = max(top, n)
		if i > 0 && n > 4*max(sizes[i-1], 1) && n > 4 {
			t.Errorf("a batch of %d follows one of %d", n, sizes[i-1])
		}
	}
	if top < 256 || top > 500 {
		t.Errorf("the largest batch has %d files, aimed at are 500", top)
	}
	if last := sizes[len(sizes)-1]; last > 4 {
		t.Errorf("the last batch has %d files", last)
	}
	r.want(r.drained(), 0, 0, 3000, 0)
}

// TestRespite: a dispatcher that is to rest queues what lasts for two rests, and looks again before half of it is over.
func TestRespite(t *testing.T) {
	const rest = 2 * time.Second
	for seconds, want := range map[float64]struct {
		queued  int
		respite time.Duration
	}{
		0.8: {5 + 1, rest},
		60:  {batchAhead + 1, rest},
	} {
		r := newRig(t)
		r.input(numbered(500)...)
		r.begin()
		r.d.cfg.Rest = rest
		w := r.worker(0, 1)
		r.round()
		if got := r.d.respite(); got != 0 {
			t.Errorf("before a duration is known it rests for %s", got)
		}
		h := w.claim()
		w.done(h, seconds, h.files...)
		r.after(time.Second)
		if q := r.queue(); q != want.queued {
			t.Errorf("%v s each: %d batches wait for the worker, want %d", seconds, q, want.queued)
		}
		busy := time.Duration(seconds / 2 * float64(r.d.queuedFiles) * float64(time.Second))
		if got := r.d.respite(); got != min(want.respite, busy) {
			t.Errorf("%v s each: it rests for %s", seconds, got)
		}
		for h := w.claim(); h != nil; h = w.claim() {
			w.done(h, seconds, h.files...)
		}
		r.now = r.now.Add(time.Second)
		must(t, r.d.fold(t.Context(), r.now))
		r.d.queuedFiles = 0
		if got := r.d.respite(); got != 0 {
			t.Errorf("with nothing queued it rests for %s", got)
		}
	}
}

func TestQueueFollowsTheWorkers(t *testing.T) {
	r := newRig(t)
	r.input(numbered(50)...)
	r.begin()
	r.round()
	if q := r.queue(); q != batchAhead+1 {
		t.Errorf("%d batches wait for the first worker", q)
	}
	for i := range 4 {
		r.worker(i, 1)
	}
	r.after(time.Second)
	if q := r.queue(); q != 4*batchAhead+1 {
		t.Errorf("%d batches wait for four workers", q)
	}
}

// TestSuspectsRunAlone: of several files in hand at a crash none is counted; each comes by itself.
func TestSuspectsRunAlone(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) { s.Concurrency = 4 })
	r.input(numbered(9)...)
	r.begin()
	r.d.pace = 0.001 // batches may have several files
	w := r.worker(0, 1)
	r.round()
	h := w.claim()
	if len(h.files) < 2 {
		t.Fatalf("a batch of %d", len(h.files))
	}
	w.tell(h, spool.Event{Kind: spool.EventCrashed, Suspects: true}, h.files...)
	suspects := map[spool.Name]bool{}
	for _, f := range h.files {
		suspects[f] = true
	}
	for range 20 {
		r.after(time.Second)
		b := w.claim()
		if b == nil {
			break
		}
		if b.alone != suspects[b.files[0]] || b.alone && len(b.files) != 1 {
			t.Errorf("a batch of %q is alone: %t", b.files, b.alone)
		}
		w.done(b, 0.001, b.files...)
	}
	r.want(r.drained(), 0, 0, 9, 0)
}

func TestRetryWaits(t *testing.T) {
	r := newRig(t, func(s *spool.Spec) {
		s.Retry = spool.Retry{Attempts: 2, Backoff: spool.Duration(30 * time.Second), CrashLimit: 3}
	})
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	w.fail(r.mustClaim(w, "a.txt"), "first", "a.txt")
	r.want(r.after(time.Second), 1, 0, 0, 0)
	r.after(28 * time.Second)
	if r.queue() != 0 {
		t.Fatal("fed again before its time")
	}
	next := r.d.dueAt()
	r.now = next
	r.round()
	if r.queue() != 1 {
		t.Fatalf("not fed again in the round of its time, %s", next)
	}
	w.fail(r.mustClaim(w, "a.txt"), "second", "a.txt")
	r.want(r.after(time.Second), 0, 0, 0, 1)
	var e spool.ErrorFile
	data, err := os.ReadFile(r.out("a.err"))
	must(t, err)
	must(t, json.Unmarshal(data, &e))
	want := spool.ErrorFile{
		File: "a.txt", Timestamp: e.Timestamp, ExceptionType: "ValueError", Message: "second", Traceback: "line 1",
		Attempts: 2, Worker: w.id, ExitCode: 7,
	}
	if e != want || e.Timestamp.IsZero() {
		t.Errorf("the error file is\n%+v, want\n%+v", e, want)
	}
	if f := r.d.Snapshot().Recent; len(f) != 1 || f[0].File != "a.txt" || f[0].Attempts != 2 || f[0].ExitCode != 7 {
		t.Errorf("recent failures: %+v", f)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		event spool.Event
		runs  int
	}{
		{"failures", spool.Event{Kind: spool.EventFailed, Failure: &spool.Failure{Type: "E"}}, 2},
		{"crashes", spool.Event{Kind: spool.EventCrashed, Failure: &spool.Failure{Type: "Crashed"}}, 3},
		{"storage", spool.Event{Kind: spool.EventStorage, Failure: &spool.Failure{Type: "OSError"}}, storageLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(s *spool.Spec) { s.Retry = spool.Retry{Attempts: 2, CrashLimit: 3} })
			r.input("a.txt")
			r.begin()
			w := r.worker(0, 1)
			for i := range c.runs {
				r.want(r.after(2*time.Second), 1, 0, 0, 0)
				r.after(2 * time.Second)
				w.tell(r.mustClaim(w, "a.txt"), c.event, "a.txt")
				if i%2 == 1 { // the count outlives the dispatcher
					r.round()
					r.crash()
					r.begin()
				}
			}
			r.want(r.after(time.Second), 0, 0, 0, 1)
			if !exists(r.out("a.err")) {
				t.Error("no error file")
			}
		})
	}
}

// TestNoErrorBesideAnOutput: whoever made the output, the file is done.
func TestNoErrorBesideAnOutput(t *testing.T) {
	r := newRig(t)
	r.input("a.txt")
	r.begin()
	w := r.worker(0, 1)
	r.round()
	h := r.mustClaim(w, "a.txt")
	must(t, os.WriteFile(r.out("a.out"), nil, 0o666))
	w.fail(h, "too late", "a.txt")
	r.want(r.after(time.Second), 0, 0, 1, 0)
	if exists(r.out("a.err")) {
		t.Error("an error file lies beside the output")
	}
}

// TestLongFailuresFit: a ledger entry has a bound, however long the tracebacks of one round are.
func TestLongFailuresFit(t *testing.T) {
	r := newRig(t)
	const files = 20
	r.input(numbered(files)...)
	r.begin()
	w := r.worker(0, 1)
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = 'x'
	}
	for range files {
		r.after(time.Second)
		h := w.claim()
		must(t, w.w.Journal.Append(spool.Event{
			Kind: spool.EventFailed, Batch: h.id.String(), Files: h.files,
			Failure: &spool.Failure{Type: "E", Traceback: string(long)},
		}))
	}
	must(t, w.w.Journal.Flush())
	r.want(r.after(time.Second), 0, 0, 0, files)
	r.close()
	r.begin()
	r.want(r.drained(), 0, 0, 0, files)
}
