package dispatcher

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// The pauses before a Pod that has ended by itself is made anew.
const firstPause, lastPause = time.Second, 2 * time.Minute

// pauses are what is left of them, by owner.
type pauses struct {
	lengths workqueue.TypedRateLimiter[Owner]

	mu    sync.Mutex
	known map[Owner]pause
}

type pause struct {
	of    types.UID // the Pod that ended
	until time.Time
}

func newPauses() *pauses {
	return &pauses{
		lengths: workqueue.NewTypedItemExponentialFailureRateLimiter[Owner](firstPause, lastPause),
		known:   map[Owner]pause{},
	}
}

// begin begins a pause for the end of a Pod, each twice as long as the last. The cache may show the same end again and again.
func (p *pauses) begin(o Owner, of types.UID, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[o].of != of {
		p.known[o] = pause{of, now.Add(p.lengths.When(o))}
	}
}

// left is how long the pause still takes.
func (p *pauses) left(o Owner, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.known[o].until.Sub(now))
}

// forget has the next pause be a short one.
func (p *pauses) forget(o Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, o)
	p.lengths.Forget(o)
}
