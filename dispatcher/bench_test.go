package dispatcher

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
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
