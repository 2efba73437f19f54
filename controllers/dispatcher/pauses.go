package dispatcher

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// The pauses before a Pod that has ended by itself is made anew.
const firstPause, lastPause = time.Second, 2 * time.Minute

// pauses are what is left of them, by owner.
type pauses struct {
	lengths workqueue.TypedRateLimiter[Owner]

	mu    sync.Mutex
	until map[Owner]time.Time
}

func newPauses() *pauses {
	return &pauses{
		lengths: workqueue.NewTypedItemExponentialFailureRateLimiter[Owner](firstPause, lastPause),
		until:   map[Owner]time.Time{},
	}
}

// begin begins a pause, each twice as long as the last.
func (p *pauses) begin(o Owner, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until[o] = now.Add(p.lengths.When(o))
}

// left is how long the pause still takes.
func (p *pauses) left(o Owner, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.until[o].Sub(now))
}

// forget has the next pause be a short one.
func (p *pauses) forget(o Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.until, o)
	p.lengths.Forget(o)
}
