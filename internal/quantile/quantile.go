// Package quantile estimates quantiles of durations in constant memory.
package quantile

import "math"

// A bucket is an eighth of a doubling wide, so an estimate is at most 10 % above the truth.
const (
	perDoubling = 8
	smallest    = -20 // exponent of 2: about a microsecond
	doublings   = 44  // up to half a year
)

// Estimator counts values in buckets that grow by a constant factor. The zero value is empty. It is not safe for use
// from several goroutines.
type Estimator struct {
	buckets [perDoubling * doublings]uint32
	count   uint64
}

// Add takes in a value in seconds. Values out of range count as the nearest in it.
func (e *Estimator) Add(seconds float64) {
	e.buckets[bucketOf(seconds)]++
	e.count++
}

// Count is how many values there were.
func (e *Estimator) Count() uint64 { return e.count }

// Quantile is the upper edge of the bucket in which the share q of the values, from the smallest, is reached; 0 if there
// were none.
func (e *Estimator) Quantile(q float64) float64 {
	if e.count == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(e.count)))
	var seen uint64
	for i, n := range e.buckets {
		if seen += uint64(n); seen >= max(1, rank) {
			return math.Exp2(float64(i+1)/perDoubling + smallest)
		}
	}
	return math.Exp2(smallest + doublings)
}

func bucketOf(seconds float64) int {
	if !(seconds > 0) { // NaN, too
		return 0
	}
	i := int(math.Floor((math.Log2(seconds) - smallest) * perDoubling))
	return min(max(i, 0), perDoubling*doublings-1)
}
