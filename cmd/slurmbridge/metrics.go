package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tigerflow.dev/tigerflow/executor"
)

// meters are the metrics of a bridge. What the process itself costs, and what the controller does, is in controller-runtime's
// registry already.
type meters struct {
	calls   *prometheus.HistogramVec
	phases  *prometheus.Desc
	renewed *prometheus.Desc

	workers *workers
	lease   *lease
}

func newMeters() *meters {
	return &meters{
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tigerflow_bridge_slurm_call_seconds", Help: "Calls of the commands of Slurm, by tool and outcome (ok or error).",
			Buckets: []float64{.01, .1, 1, 10, 100},
		}, []string{"tool", "outcome"}),
		phases:  prometheus.NewDesc("tigerflow_bridge_workers", "Workers of this bridge in the last listing, by phase.", []string{"phase"}, nil),
		renewed: prometheus.NewDesc("tigerflow_bridge_lease_renewed_timestamp_seconds", "When the bridge last renewed its Lease.", nil, nil),
	}
}

// observe counts one call of a command of Slurm.
func (m *meters) observe(tool string, took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	m.calls.WithLabelValues(tool, outcome).Observe(took.Seconds())
}

// Describe and Collect make a prometheus.Collector of what is known anyway.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	m.calls.Describe(ch)
	ch <- m.phases
	ch <- m.renewed
}

// Collect sends what is known now.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	m.calls.Collect(ch)
	counts := m.workers.counts()
	for _, phase := range executor.Phases() {
		ch <- prometheus.MustNewConstMetric(m.phases, prometheus.GaugeValue, float64(counts[phase]), string(phase))
	}
	if at := m.lease.renewed.Load(); at != nil {
		ch <- prometheus.MustNewConstMetric(m.renewed, prometheus.GaugeValue, float64(at.UnixMilli())/1000)
	}
}
