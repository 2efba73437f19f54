package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

// collectTimeout bounds how long a scrape waits for the cache.
const collectTimeout = 5 * time.Second

// meters are the metrics of a manager: how many Tasks and Pipelines are in which state. What the process itself costs, and what
// the controllers do, is in controller-runtime's registry already.
type meters struct {
	cached           client.Reader
	tasks, pipelines *prometheus.Desc
}

func newMeters(cached client.Reader) *meters {
	return &meters{
		cached:    cached,
		tasks:     prometheus.NewDesc("tigerflow_tasks", "Tasks by type and state, the reason of their condition Ready.", []string{"type", "state"}, nil),
		pipelines: prometheus.NewDesc("tigerflow_pipelines", "Pipelines by state, the reason of their condition Ready.", []string{"state"}, nil),
	}
}

// Describe and Collect make a prometheus.Collector of what the cache has.
func (m *meters) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.tasks
	ch <- m.pipelines
}

// Collect sends what is known now.
func (m *meters) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	tasks, pipelines := &v1alpha1.TaskList{}, &v1alpha1.PipelineList{}
	if m.cached.List(ctx, tasks, client.UnsafeDisableDeepCopy) != nil || m.cached.List(ctx, pipelines, client.UnsafeDisableDeepCopy) != nil {
		return // before the cache is filled
	}
	byState := map[[2]string]float64{}
	for i := range tasks.Items {
		t := &tasks.Items[i]
		byState[[2]string{string(t.Spec.Type), stateOf(t.Status.Conditions)}]++
	}
	for labels, n := range byState {
		ch <- prometheus.MustNewConstMetric(m.tasks, prometheus.GaugeValue, n, labels[:]...)
	}
	count := map[string]float64{}
	for i := range pipelines.Items {
		count[stateOf(pipelines.Items[i].Status.Conditions)]++
	}
	for state, n := range count {
		ch <- prometheus.MustNewConstMetric(m.pipelines, prometheus.GaugeValue, n, state)
	}
}

func stateOf(conditions []metav1.Condition) string {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason
	}
	return "Unknown"
}
