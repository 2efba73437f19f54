package dispatcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

// BenchmarkIdleRound is a round in which nothing has happened, of a Task with four live workers.
func BenchmarkIdleRound(b *testing.B) {
	r := newRig(b)
	r.input(numbered(1)...)
	r.begin()
	for i := range 4 {
		r.worker(i, 1)
	}
	r.finish(r.worker(4, 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.d.round(b.Context(), r.now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFeedAndFold moves files through the queue: fed by the dispatcher, claimed and told done by a worker, folded.
func BenchmarkFeedAndFold(b *testing.B) {
	const files = 20_000
	for b.Loop() {
		b.StopTimer()
		r := newRig(b)
		r.begin()
		w := r.worker(0, 1)
		seconds := slices.Repeat([]float64{1e-6}, batchMost)
		for i := range files {
			r.d.move(spool.Name(fmt.Sprintf("recording-%07d.txt", i)), placeWaiting)
		}
		r.d.pace, r.d.size = 1e-6, batchMost
		r.d.checkedAt = r.now.Add(time.Hour) // the outputs that it would look for are not there
		b.StartTimer()
		for r.d.done < files {
			r.now = r.now.Add(time.Millisecond)
			if _, err := r.d.round(b.Context(), r.now); err != nil {
				b.Fatal(err)
			}
			for h := w.claim(); h != nil; h = w.claim() {
				w.tell(h, spool.Event{Kind: spool.EventDone, Seconds: seconds[:len(h.files)]}, h.files...)
			}
		}
		b.StopTimer()
		r.crash()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N*files)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkStagingRound looks at many candidates that are too small: loop-ms is how long the dispatcher's loop is held up by it,
// round-ms how long the round takes beside it.
func BenchmarkStagingRound(b *testing.B) {
	const files = 100_000
	r := newRig(b)
	links := &linker{r: r}
	for i := range files {
		links.link(r.in(recording(i, ".txt")))
	}
	r.age(r.in(""), time.Hour)
	steps, err := staging.Compile([]staging.Step{{MinSize: 1}})
	must(b, err)
	r.chain.Lead = &Lead{Tasks: []Member{{Name: "demo", Dir: r.s.Path()}}, Staging: steps}
	r.begin()
	r.rounds("all to be found", func(s *Snapshot) bool { return s.Candidates == files })
	var loop, round time.Duration
	for b.Loop() {
		began := time.Now()
		r.d.beginStaging(b.Context(), r.now)
		loop += time.Since(began)
		c := <-r.d.stager.answers
		round += c.took
		r.d.stager.choice = c
		began = time.Now()
		must(b, r.d.takeChosen(r.now))
		loop += time.Since(began)
	}
	b.ReportMetric(float64(loop.Microseconds())/1000/float64(b.N), "loop-ms")
	b.ReportMetric(float64(round.Microseconds())/1000/float64(b.N), "round-ms")
}
