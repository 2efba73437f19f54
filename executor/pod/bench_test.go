package pod

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/executor/process"
	"tigerflow.dev/tigerflow/executor/workerbin"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

// BenchmarkFiles has 10,000 files go through one worker in a Pod and through the same worker as a process of this machine, in
// turns, and tells the ratio of their speeds: the goal is 0.9.
func BenchmarkFiles(b *testing.B) {
	l := newLab(b)
	l.image = l.load("images/worker")
	e := l.executor()
	b.Cleanup(e.Close)
	path, err := workerbin.Install(b.TempDir())
	l.must(err)
	local, err := process.New(path)
	l.must(err)
	b.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		l.must(local.Close(now))
	})
	var inPod, outside []float64
	for b.Loop() {
		outside = append(outside, filesPerSecond(l, local))
		inPod = append(inPod, filesPerSecond(l, e.For(l.task)))
	}
	b.ReportMetric(median(inPod), "files/s")
	b.ReportMetric(median(outside), "outside-files/s")
	b.ReportMetric(median(inPod)/median(outside), "ratio")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// filesPerSecond is how quick a worker is, from the first file that is done on.
func filesPerSecond(l *lab, e executor.Executor) float64 {
	const files = 10_000
	p := newPlant(l, e, func(s *spool.Spec) { s.Type, s.Durability = spool.TypeLocalAsync, spool.None })
	names := make([]string, files)
	for i := range names {
		names[i] = name(l.task, executor.WorkerID{Key: "f", Index: i, Restart: 1}) + ".a"
	}
	l.put(names...)
	var began, ended time.Time
	var before int64
	p.changed = func(s *dispatcher.Snapshot) {
		switch {
		case s.Done > 0 && began.IsZero():
			began, before = time.Now(), s.Done
		case s.Done == files && ended.IsZero():
			ended = time.Now()
		}
	}
	p.until("the files", func() bool { return p.state.Snapshot.Done == files })
	p.need.Suspended = true
	p.until("the end of the worker", func() bool { return p.state.Fleet.Running+p.state.Fleet.Pending == 0 })
	l.must(p.flow.Close())
	p.flow = flow.Flow{}
	l.must(os.RemoveAll(l.path("in")))
	l.must(os.RemoveAll(l.path("out")))
	return float64(files-before) / ended.Sub(began).Seconds()
}
