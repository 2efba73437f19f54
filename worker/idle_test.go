package worker

import (
	"fmt"
	"testing"
	"time"
)

func TestPollGap(t *testing.T) {
	for _, tt := range []struct {
		slot int
		want time.Duration
	}{{0, 5 * time.Second}, {15, 5 * time.Second}, {16, 10 * time.Second}, {24, 15 * time.Second}, {96, time.Minute}, {999_999, time.Minute}} {
		if got := pollGap(fmt.Sprintf("key.%d.r7", tt.slot)); got != tt.want {
			t.Errorf("slot %d: %s, want %s", tt.slot, got, tt.want)
		}
	}
}

// A large fleet looks little more often than a small one.
func TestPollsOfFleets(t *testing.T) {
	rate := func(size int) (perSecond float64) {
		for slot := range size {
			perSecond += 1 / pollGap(fmt.Sprintf("key.%d.r1", slot)).Seconds()
		}
		return perSecond
	}
	for size, most := range map[int]float64{16: 3.3, 100: 7, 500: 14} {
		if got := rate(size); got > most {
			t.Errorf("%d workers: %.2f looks a second, more than %.2f", size, got, most)
		}
	}
}
