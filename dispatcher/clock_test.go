package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestRests: when a folder is listed, by its time, the file system's clock, and what it costs.
func TestRests(t *testing.T) {
	now := time.Now()
	old, young := now.Add(-time.Hour), now.Add(-time.Second)
	for _, c := range []struct {
		name            string
		f               folder
		mtime           time.Time
		known           bool
		young           time.Duration
		complete, rests bool
	}{
		{"never listed", folder{}, old, true, -time.Hour, false, false},
		{"unchanged", folder{mtime: old, listed: young, sure: true}, old, true, -time.Hour, true, true},
		{"changed", folder{mtime: old, listed: young, sure: true}, young, true, time.Second, false, false},
		{"changed, and costly", folder{mtime: old, listed: young, sure: true, took: time.Second}, young, true, time.Second, false, true},
		{"unchanged, but was too young to tell", folder{mtime: young, listed: young}, young, true, -1, false, false},
		{"unchanged, and still too young to tell", folder{mtime: young, listed: young}, young, true, time.Second, false, true},
		{"no clock", folder{mtime: old, listed: young}, old, false, -time.Hour, false, false},
		{"unchanged for long", folder{mtime: old, listed: now.Add(-listEvery), sure: true}, old, true, -time.Hour, false, false},
	} {
		in := discovery{every: listEvery}
		complete, rests := in.rests(&c.f, c.mtime, c.known, c.young, now)
		if complete != c.complete || rests != c.rests {
			t.Errorf("%s: complete %t, rests %t", c.name, complete, rests)
		}
		if rests && !complete && !in.settleAt.After(now) {
			t.Errorf("%s: nobody looks again", c.name)
		}
	}
}

func TestFullListings(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: listEvery, time.Millisecond: listEvery, 500 * time.Millisecond: 25 * time.Minute, 10 * time.Second: listLast,
	} {
		in := discovery{folders: []*folder{{took: took / 2}, {took: took / 2}}}
		if got := in.fullEvery(); got != want {
			t.Errorf("folders that take %s are listed every %s, want %s", took, got, want)
		}
	}
}

// TestCoarseClocks plays writers against looks, on file systems whose clocks tick differently and whose servers' clocks are
// off: a file is never taken while its writer goes on within the settle time, and a change of a folder is never missed.
func TestCoarseClocks(t *testing.T) {
	for _, tick := range []time.Duration{time.Nanosecond, 4 * time.Millisecond, time.Second} {
		t.Run(fmt.Sprint(tick), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(tick), 1))
			for range 2000 {
				d := &Dispatcher{cfg: Config{Settle: 2 * time.Second}, index: newIndex()}
				epoch := time.Unix(1_700_000_000, rng.Int64N(int64(time.Second)))
				stamp := func(at time.Duration) time.Time { return epoch.Add(at).Truncate(tick) }
				wrote := time.Duration(rng.Int64N(int64(5 * time.Second)))
				looked := wrote + time.Duration(rng.Int64N(int64(4*time.Second)))
				read := looked - time.Duration(rng.Int64N(int64(looked)+1)) // the server's clock was read then, off the lease
				clock := stamp(read).Add(looked - read)
				trusted := clock.Sub(stamp(wrote)) >= d.settleTime(stamp(wrote))
				if trusted && looked-wrote < d.cfg.Settle-tick {
					t.Fatalf("taken %s after its last write", looked-wrote)
				}
				// Another change at the very moment of the look, or later, must leave another time.
				if trusted && stamp(looked).Equal(stamp(wrote)) {
					t.Fatalf("a change %s after the first one leaves the same time", looked-wrote)
				}
			}
		})
	}
}
