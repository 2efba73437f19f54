package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
	"tigerflow.dev/tigerflow/controllers/task"
)

// collectTimeout bounds how long a scrape waits for the cache.
const collectTimeout = 5 * time.Second

// meters are the metrics of a dispatcher: the files and workers of each of its Tasks. What the process itself costs is in
// controller-runtime's registry already.
type meters struct {
	cached         client.Reader
	tasks          *task.Reconciler
	files, workers *prometheus.Desc
}

func newMeters(cached client.Reader, tasks *task.Reconciler) *meters {
	return &meters{
		cached: cached, tasks: tasks,
		files:   prometheus.NewDesc("tigerflow_task_files", "Input files of a Task by what became of them.", []string{"task", "state"}, nil),
		workers: prometheus.NewDesc("tigerflow_task_workers", "Workers of a Task that have begun and not ended.", []string{"task"}, nil),
	}
}

// Describe and Collect make a prometheus.Collector of what is known anyway.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.files
	ch <- m.workers
}

// Collect sends what is known now.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	list := &v1alpha1.TaskList{}
	if m.cached.List(ctx, list, client.UnsafeDisableDeepCopy) != nil {
		return // before the cache is filled
	}
	for i := range list.Items {
		name := list.Items[i].Name
		s := m.tasks.Snapshot(client.ObjectKeyFromObject(&list.Items[i]))
		if s == nil {
			continue
		}
		for state, n := range map[string]int64{"staged": s.Settling, "pending": s.Pending, "running": s.Running, "done": s.Done, "failed": s.Failed} {
			ch <- prometheus.MustNewConstMetric(m.files, prometheus.GaugeValue, float64(n), name, state)
		}
		ch <- prometheus.MustNewConstMetric(m.workers, prometheus.GaugeValue, float64(len(s.Workers)), name)
	}
}
