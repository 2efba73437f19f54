package quantile

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuantileIsSlightlyAboveTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() float64{
		"even":        random.Float64,
		"exponential": func() float64 { return 60 * random.ExpFloat64() },
		"two kinds": func() float64 {
			if random.IntN(100) < 5 {
				return 3600
			}
			return 0.001
		},
	} {
		t.Run(name, func(t *testing.T) {
			var e Estimator
			values := make([]float64, 10_000)
			for i := range values {
				values[i] = draw()
				e.Add(values[i])
			}
			slices.Sort(values)
			for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
				truth := values[int(math.Ceil(q*float64(len(values))))-1]
				if got := e.Quantile(q); got < truth || got > truth*1.1 {
					t.Errorf("quantile %v is %v, want %v or up to 10 %% more", q, got, truth)
				}
			}
			if e.Count() != uint64(len(values)) {
				t.Errorf("count %d", e.Count())
			}
		})
	}
}

func TestQuantileAtTheEdges(t *testing.T) {
	var e Estimator
	if got := e.Quantile(0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for _, odd := range []float64{0, -1, math.NaN(), 1e-30, 1e30, math.Inf(1)} {
		e.Add(odd)
	}
	if low, high := e.Quantile(0), e.Quantile(1); low <= 0 || low > 1e-5 || math.IsInf(high, 0) || high < 1e6 {
		t.Errorf("from %v to %v", low, high)
	}
}
