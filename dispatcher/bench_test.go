package dispatcher

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// doneBefore makes a Task whose files are all done: inputs, outputs, and a ledger that says so.
func doneBefore(b *testing.B, files int) *rig {
	b.Helper()
	r := newRig(b)
	c := spool.Contender{Spool: r.s, Owner: testOwner}
	lock, err := c.Try()
	must(b, err)
	e := spool.Entry{Kind: spool.EntryAdopted}
	seed := filepath.Join(r.root, "seed")
	for i := range files {
		name := fmt.Sprintf("recording-%07d.txt", i)
		if i%10_000 == 0 { // ext4 bounds the links of one file
			_ = os.Remove(seed)
			must(b, os.WriteFile(seed, nil, 0o666))
			r.age(seed, time.Hour)
		}
		must(b, os.Link(seed, r.in(name)))
		must(b, os.Link(seed, r.out(fmt.Sprintf("recording-%07d.out", i))))
		if e.Done = append(e.Done, spool.Name(name)); len(e.Done) == 1000 || i == files-1 {
			must(b, lock.Append(e))
			must(b, lock.Flush())
			e.Done = nil
		}
	}
	must(b, lock.Close())
	r.age(r.in(""), time.Hour)
	return r
}

// BenchmarkRestart takes up a Task with 100,000 done files: history, output folder, input folder.
func BenchmarkRestart(b *testing.B) {
	const files = 100_000
	r := doneBefore(b, files)
	before := heapInUse()
	b.ResetTimer()
	for b.Loop() {
		if r.d != nil {
			r.close()
		}
		r.begin()
		if _, err := r.d.round(b.Context(), r.now); err != nil || r.d.Snapshot().Done != files || !r.d.Snapshot().Drained {
			b.Fatalf("%v %+v", err, r.d.Snapshot())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
	b.ReportMetric(float64(heapInUse()-before)/files, "heap-B/file")
}

// heapInUse is what is in use after a collection, in bytes.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

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
