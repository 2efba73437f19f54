// Package kube is what the programs have in common that serve the API server of a cluster.
package kube

import (
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const (
	// CounterPeriod is the least time between two writes of counters that bring nothing new.
	CounterPeriod = 10 * time.Second
	// ShutdownGrace is how long reconciles that are under way have at the end.
	ShutdownGrace = 10 * time.Second

	// The pauses after a failure. controller-runtime's own grow to a quarter of an hour, for which nothing would be scaled.
	firstRetry, lastRetry = 50 * time.Millisecond, 15 * time.Second
)

// Scheme knows Tasks, Pipelines, and what more adds.
func Scheme(more ...func(*runtime.Scheme) error) *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	for _, add := range more {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// NewQueue makes the queue of a controller. It has no name and is not measured: an idle one does not wake up.
func NewQueue[request comparable](string, workqueue.TypedRateLimiter[request]) workqueue.TypedRateLimitingInterface[request] {
	return priorityqueue.New("", func(o *priorityqueue.Opts[request]) {
		o.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[request](firstRetry, lastRetry)
	})
}

// Health is /healthz, which tells that the process lives, and /readyz, which tells what unready does: "" is that all is well.
func Health(unready func() string) map[string]http.Handler {
	return map[string]http.Handler{
		"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") }),
		"/readyz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if why := unready(); why != "" {
				answer(w, http.StatusServiceUnavailable, why)
				return
			}
			answer(w, http.StatusOK, "ok")
		}),
	}
}

func answer(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text) // who has gone needs no answer
}
