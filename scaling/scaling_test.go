package scaling

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestDesired(t *testing.T) {
	const target = 10 * time.Minute
	tests := []struct {
		name string
		in   Input
		want Output
	}{
		{"suspended", Input{Max: 3, Min: 1, Backlog: 9, Running: 2, Suspended: true}, Output{0, Suspended, "no workers: suspended"}},
		{"nothing", Input{Max: 3}, Output{0, Idle, "no workers: no files wait"}},
		{"nothing, minWorkers", Input{Max: 3, Min: 2}, Output{2, Idle, "2 workers: no files wait, minWorkers is 2"}},
		{"nothing any more", Input{Max: 5, Running: 3, PerFile: 1}, Output{3, Idle, "3 workers: no files wait; the rest end when they are idle"}},

		{"first file", Input{Max: 9, Backlog: 1}, Output{1, SlowStart, "1 worker: 1 file, the first shows how long one takes"}},
		{"slow start", Input{Max: 9, Backlog: 500}, Output{1, SlowStart, "1 worker: 500 files, the first shows how long one takes"}},
		{"slow start, one on its way", Input{Max: 9, Backlog: 500, Pending: 1}, Output{1, SlowStart, "1 worker: 500 files, the first shows how long one takes"}},
		{"slow start, doubling", Input{Max: 9, Backlog: 498, InHand: 2, Running: 2}, Output{4, SlowStart, "4 workers: 500 files, the first shows how long one takes"}},
		{"slow start, few files", Input{Max: 9, Backlog: 1, InHand: 2, Running: 2}, Output{3, SlowStart, "3 workers: 3 files, the first shows how long one takes"}},
		{"slow start, many at once", Input{Max: 9, Backlog: 50, Running: 1, Concurrency: 50}, Output{1, SlowStart, "1 worker: 50 files, the first shows how long one takes"}},
		{"slow start up to maxWorkers", Input{Max: 3, Backlog: 500, Running: 2}, Output{3, MaxWorkers, "3 workers: 500 files; 4 wanted, maxWorkers is 3"}},
		{"slow start, minWorkers", Input{Max: 9, Min: 4, Backlog: 500}, Output{4, MinWorkers, "4 workers: 500 files; minWorkers is 4"}},

		{"one is enough", Input{Max: 9, Backlog: 120, PerFile: 2 * time.Second, DrainTarget: target}, Output{1, Backlog, "1 worker: 120 files at 2.0 s each, target 10m"}},
		{"backlog", Input{Max: 9, Backlog: 120, PerFile: 15 * time.Second, DrainTarget: target}, Output{3, Backlog, "3 workers: 120 files at 15 s each, target 10m"}},
		{"backlog, rounded up", Input{Max: 9, Backlog: 121, PerFile: 15 * time.Second, DrainTarget: target}, Output{4, Backlog, "4 workers: 121 files at 15 s each, target 10m"}},
		{"in hand counts", Input{Max: 9, Backlog: 1, InHand: 1, Running: 1, PerFile: 400 * time.Second, DrainTarget: target}, Output{2, Backlog, "2 workers: 2 files at 6m40s each, target 10m"}},
		{"many at once", Input{Max: 9, Backlog: 1000, PerFile: time.Minute, Concurrency: 50, DrainTarget: target}, Output{2, Backlog, "2 workers: 1000 files at 1m each, 50 at once, target 10m"}},
		{"long files: no more workers than files", Input{Max: 9, Backlog: 3, InHand: 2, Running: 2, PerFile: 2 * time.Hour, DrainTarget: target}, Output{5, Backlog, "5 workers: 5 files at 2h each, target 10m"}},
		{"long files, many at once", Input{Max: 9, Backlog: 10, PerFile: time.Hour, Concurrency: 5, DrainTarget: target}, Output{2, Backlog, "2 workers: 10 files at 1h each, 5 at once, target 10m"}},
		{"no target", Input{Max: 9, Backlog: 5, PerFile: 90 * time.Microsecond}, Output{5, Backlog, "5 workers: 5 files at under 1 ms each"}},
		{"maxWorkers", Input{Max: 3, Backlog: 5000, PerFile: 2 * time.Second, DrainTarget: target}, Output{3, MaxWorkers, "3 workers: 5000 files at 2.0 s each, target 10m; 17 wanted, maxWorkers is 3"}},
		{"minWorkers", Input{Max: 9, Min: 2, Backlog: 5, PerFile: 35 * time.Millisecond, DrainTarget: target}, Output{2, MinWorkers, "2 workers: 5 files at 35 ms each, target 10m; minWorkers is 2"}},
		{"minWorkers above maxWorkers", Input{Max: 2, Min: 5, Backlog: 5}, Output{2, MaxWorkers, "2 workers: 5 files; 5 wanted, maxWorkers is 2"}},

		{"maxPending", Input{Max: 9, MaxPending: 2, Backlog: 5000, Running: 1, PerFile: time.Second, DrainTarget: target}, Output{3, MaxPending, "3 workers: 5000 files at 1.0 s each, target 10m; 9 wanted, 2 at once may wait to start (maxPending)"}},
		{"maxPending for minWorkers", Input{Max: 9, Min: 5, MaxPending: 2}, Output{2, MaxPending, "2 workers: no files wait; 5 wanted, 2 at once may wait to start (maxPending)"}},
		{"maxPending lowered below what is pending", Input{Max: 9, MaxPending: 1, Backlog: 5000, Pending: 4, PerFile: time.Second, DrainTarget: target}, Output{4, MaxPending, "4 workers: 5000 files at 1.0 s each, target 10m; 9 wanted, 1 at once may wait to start (maxPending)"}},
		{"one start-up waits in the queue", Input{Max: 9, MaxQueued: 1, Queued: 1, Pending: 2, Backlog: 5000, Running: 1, PerFile: time.Second, DrainTarget: target}, Output{3, MaxQueued, "3 workers: 5000 files at 1.0 s each, target 10m; 9 wanted, those before wait in the queue (maxPending is 1)"}},
		{"none waits in the queue", Input{Max: 9, MaxQueued: 1, Backlog: 5000, Running: 1, PerFile: time.Second, DrainTarget: target, Begun: 4}, Output{9, Backlog, "9 workers: 5000 files at 1.0 s each, target 10m"}},
		{"the second start-up", Input{Max: 9, MaxQueued: 1, Backlog: 5000, Running: 1, PerFile: time.Second, DrainTarget: target, Begun: 1}, Output{3, Doubling, "3 workers: 5000 files at 1.0 s each, target 10m; 9 wanted, the next start is at most twice as large as the largest that has begun"}},
		{"two start-ups may wait, and are doubled together", Input{Max: 9, MaxQueued: 2, Queued: 1, Pending: 1, Backlog: 5000, Running: 3, PerFile: time.Second, DrainTarget: target, Begun: 2}, Output{7, Doubling, "7 workers: 5000 files at 1.0 s each, target 10m; 9 wanted, the next start is at most twice as large as the largest that has begun"}},
		{"minWorkers are not doubled", Input{Max: 9, Min: 6, MaxQueued: 1, Backlog: 5000, PerFile: time.Second, DrainTarget: target}, Output{6, Doubling, "6 workers: 5000 files at 1.0 s each, target 10m; 9 wanted, the next start is at most twice as large as the largest that has begun"}},
		{"a held start-up waits in the queue", Input{Max: 9, MaxQueued: 1, Queued: 1, Held: 1, Backlog: 50}, Output{0, MaxQueued, "no workers: 50 files; 1 wanted, those before wait in the queue (maxPending is 1)"}},
		{"held workers are pending", Input{Max: 9, MaxPending: 2, Held: 2, Backlog: 5000, Running: 1, PerFile: time.Second, DrainTarget: target}, Output{1, MaxPending, "1 worker: 5000 files at 1.0 s each, target 10m; 9 wanted, 2 at once may wait to start (maxPending)"}},
		{"held workers take room", Input{Max: 3, Held: 2, Backlog: 500}, Output{1, SlowStart, "1 worker: 500 files, the first shows how long one takes"}},
		{"only held workers", Input{Max: 3, Held: 3, Backlog: 500}, Output{0, NoRoom, "no workers: 500 files; 1 wanted, maxWorkers is 3 with 0 that drain and 3 that are held"}},
		{"never two of one", Input{Max: 1, Draining: 1, Backlog: 500}, Output{0, NoRoom, "no workers: 500 files; 1 wanted, maxWorkers is 1 with 1 that drain and 0 that are held"}},

		{"done before another could begin", Input{Max: 9, Backlog: 100, Running: 2, PerFile: 100 * time.Millisecond, DrainTarget: time.Second, Startup: 17 * time.Second}, Output{2, Enough, "2 workers: 100 files at 100 ms each, target 1.0 s, done before another worker could begin"}},
		{"not done before another could begin", Input{Max: 9, Backlog: 100, Running: 2, PerFile: 100 * time.Millisecond, DrainTarget: time.Second, Startup: 4 * time.Second}, Output{9, MaxWorkers, "9 workers: 100 files at 100 ms each, target 1.0 s; 10 wanted, maxWorkers is 9"}},
		{"busy workers stay", Input{Max: 9, Backlog: 0, InHand: 2, Running: 5, PerFile: time.Second, DrainTarget: target}, Output{5, WindingDown, "5 workers: 2 files at 1.0 s each, target 10m; the rest end when they are idle"}},
		{"pending workers stay", Input{Max: 9, Backlog: 2, Pending: 5, PerFile: time.Second, DrainTarget: target}, Output{5, WindingDown, "5 workers: 2 files at 1.0 s each, target 10m; the rest end when they are idle"}},
		{"maxWorkers lowered", Input{Max: 2, Backlog: 9, Running: 5, PerFile: time.Second, DrainTarget: target}, Output{2, MaxWorkers, "2 workers: 9 files at 1.0 s each, target 10m; 5 wanted, maxWorkers is 2"}},
		{"maxWorkers lowered, and acted upon", Input{Max: 2, Backlog: 9, Running: 2, Draining: 3, PerFile: time.Second, DrainTarget: target}, Output{2, WindingDown, "2 workers: 9 files at 1.0 s each, target 10m; the rest end when they are idle"}},

		{"more than can be counted", Input{Max: 9, Backlog: math.MaxInt32, PerFile: math.MaxInt64, DrainTarget: 1}, Output{9, MaxWorkers, "9 workers: 2147483647 files at 2562047h47m16s each, target under 1 ms; 2147483647 wanted, maxWorkers is 9"}},
		{"less than nothing", Input{Max: -1, Min: -1, Backlog: -1, InHand: -5, Running: -1, PerFile: -1, Concurrency: -1}, Output{0, Idle, "no workers: no files wait"}},
	}
	for _, tt := range tests {
		if got := Desired(tt.in); got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// random makes an input whose numbers are small enough to meet their bounds often.
func random(rng *rand.Rand) Input {
	duration := func(scale time.Duration) time.Duration { return time.Duration(rng.IntN(4)*rng.IntN(100)) * scale }
	return Input{
		Min: rng.IntN(4), Max: rng.IntN(12), MaxPending: rng.IntN(5), MaxQueued: rng.IntN(3), Suspended: rng.IntN(20) == 0,
		Backlog: rng.IntN(3) * rng.IntN(300), InHand: rng.IntN(2) * rng.IntN(20),
		PerFile: duration(100 * time.Millisecond), Concurrency: rng.IntN(5),
		DrainTarget: duration(time.Second), Startup: duration(100 * time.Millisecond),
		Pending: rng.IntN(2) * rng.IntN(6), Queued: rng.IntN(3), Running: rng.IntN(6),
		Draining: rng.IntN(2) * rng.IntN(3), Held: rng.IntN(3) * rng.IntN(3) / 2, Begun: rng.IntN(4),
	}
}

// act does what the output asks for.
func act(in Input, out Output, rng *rand.Rand) Input {
	for in.current() < out.Workers {
		in.Pending++
	}
	for in.current() > out.Workers {
		if in.Running == 0 || in.Pending > 0 && rng.IntN(2) == 0 {
			in.Pending--
		} else {
			in.Running--
		}
		in.Draining++
	}
	return in
}

// properties hold for every input, its output, and the number of workers that the output starts.
var properties = []struct {
	name  string
	holds func(in Input, out Output, starts int) bool
}{
	{"within 0 and maxWorkers", func(in Input, out Output, _ int) bool {
		return out.Workers >= 0 && out.Workers <= in.Max
	}},
	{"starts none above maxWorkers, those that drain or are held included", func(in Input, out Output, starts int) bool {
		return starts <= 0 || out.Workers+in.Draining+in.Held <= in.Max
	}},
	{"starts none above maxPending", func(in Input, _ Output, starts int) bool {
		return starts <= 0 || in.MaxPending == 0 || starts+in.Pending+in.Held <= in.MaxPending
	}},
	{"starts none above maxPending start-ups", func(in Input, _ Output, starts int) bool {
		return starts <= 0 || in.MaxQueued == 0 || in.Queued < in.MaxQueued
	}},
	{"what waits in a queue is at most twice what has begun", func(in Input, out Output, starts int) bool {
		return starts <= 0 || in.MaxQueued == 0 || out.Workers <= max(in.Min, in.Running+max(1, 2*in.Begun))
	}},
	{"starts no more than there are files", func(in Input, out Output, starts int) bool {
		return starts <= 0 || out.Workers <= max(in.Min, in.Backlog+in.InHand)
	}},
	{"asks no worker to end", func(in Input, out Output, _ int) bool {
		return in.Suspended || out.Workers >= min(in.current(), in.Max)
	}},
	{"no file waits for nobody", func(in Input, out Output, _ int) bool {
		room := in.current()+in.Draining+in.Held < in.Max
		mayWait := (in.MaxPending == 0 || in.Pending+in.Held < in.MaxPending) && (in.MaxQueued == 0 || in.Queued < in.MaxQueued)
		return in.Suspended || !room || !mayWait || in.Backlog == 0 || out.Workers > 0
	}},
	{"explained", func(_ Input, out Output, _ int) bool {
		return out.Reason != "" && out.Message != ""
	}},
}

func TestDesiredProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		in := random(rng)
		out := Desired(in)
		for _, p := range properties {
			if !p.holds(in, out, out.Workers-in.current()) {
				t.Fatalf("%s: not so for %+v of %+v", p.name, out, in)
			}
		}
		if again := Desired(act(in, out, rng)); again.Workers != out.Workers {
			t.Fatalf("after acting on %+v of %+v: %+v", out, in, again)
		}
		more := in
		more.Backlog += 1 + rng.IntN(50)
		if grown := Desired(more); grown.Workers < out.Workers {
			t.Fatalf("fewer for a longer backlog: %+v of %+v, then %+v of %+v", out, in, grown, more)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Microsecond:                      "under 1 ms",
		35 * time.Millisecond:                 "35 ms",
		2 * time.Second:                       "2.0 s",
		15400 * time.Millisecond:              "15 s",
		time.Minute:                           "1m",
		90 * time.Second:                      "1m30s",
		10 * time.Minute:                      "10m",
		2 * time.Hour:                         "2h",
		2*time.Hour + 5*time.Second:           "2h0m5s",
		2*time.Hour + 5*time.Minute:           "2h5m",
		20*time.Hour + 10*time.Minute:         "20h10m",
		59*time.Second + 900*time.Millisecond: "60 s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

func BenchmarkDesired(b *testing.B) {
	in := Input{Max: 9, Backlog: 5000, Running: 2, PerFile: time.Second, DrainTarget: 10 * time.Minute}
	for b.Loop() {
		Desired(in)
	}
}
