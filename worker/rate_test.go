package worker

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// No span of the limit's length has more beginnings than the limit, whatever the moments at which workers look, come and
// are replaced.
func TestPacersTogetherKeepTheLimit(t *testing.T) {
	for _, tt := range []struct {
		limit spool.RateLimit
		least int // beginnings in ten spans
	}{
		{spool.RateLimit{Requests: 2000, Per: spool.Duration(time.Minute), Workers: 3}, 19000},
		{spool.RateLimit{Requests: 10, Per: spool.Duration(time.Second), Workers: 4}, 70}, // a share of 2.5 is 2
		{spool.RateLimit{Requests: 3, Per: spool.Duration(time.Hour), Workers: 3}, 24},
	} {
		t.Run(fmt.Sprintf("%+v", tt.limit), func(t *testing.T) {
			start := time.Now()
			per := time.Duration(tt.limit.Per)
			pacers := make([]*pacer, tt.limit.Workers)
			for i := range pacers {
				pacers[i] = newPacer(&tt.limit, fmt.Sprintf("w.%d.r1", i), start)
			}
			var begun []time.Time
			step := pacers[0].gap / 7
			for now, i := start, 0; now.Sub(start) < 10*per; now, i = now.Add(step), i+1 {
				for j, p := range pacers {
					if i%(1000+j) == 999 { // it ended right after it began a file
						pacers[j] = newPacer(&tt.limit, fmt.Sprintf("w.%d.r2", j), now)
					} else if p.allows(now) {
						p.begin(now)
						begun = append(begun, now)
					}
				}
			}
			for first, last := 0, 0; last < len(begun); last++ {
				for begun[last].Sub(begun[first]) >= per {
					first++
				}
				if n := last - first + 1; n > tt.limit.Requests {
					t.Fatalf("%d files begun within %s of %s", n, per, begun[last].Sub(start))
				}
			}
			if len(begun) < tt.least {
				t.Errorf("%d files begun, want at least %d", len(begun), tt.least)
			}
		})
	}
}

// The limit holds across files in flight at once, and what waits for its turn is nobody else's.
func TestRateLimit(t *testing.T) {
	const gap = 40 * time.Millisecond
	r := newRig(t, func(s *spool.Spec) {
		async(8)(s)
		s.RateLimit = &spool.RateLimit{Requests: 25, Per: spool.Duration(time.Second), Workers: 1}
	})
	r.write("setup.py", "note('ready')")
	script := "import asyncio\nnote(f'begun {time.monotonic()}')\nawait asyncio.sleep(0.1)\n" + ok
	r.feed("a", script, "b", script, "c", script, "d", script, "e", script, "f", script)
	w := r.start(nil)
	w.ends(spool.ExitIdle)
	w.wantFiles("done", "a b c d e f")
	var first, last float64
	n := 0
	for _, note := range r.notes() {
		if at, found := strings.CutPrefix(note, "begun "); found {
			seconds, err := strconv.ParseFloat(at, 64)
			must(t, err)
			if n++; n == 1 {
				first = seconds
			}
			last = seconds
		}
	}
	// A file that was late on its way makes the next look early: over all of them it evens out but for one gap.
	if spread := time.Duration((last - first) * float64(time.Second)); n != 6 || spread < 4*gap {
		t.Errorf("%d files begun within %s, want 6 in at least %s", n, spread, 4*gap)
	}
}
