package worker

import (
	"strings"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// pacer spaces the beginnings of files evenly, so that no span of the limit's length has more than this worker's share.
type pacer struct {
	gap  time.Duration
	next time.Time
}

// newPacer gives a worker its share of a Task's limit. The successor of another worker waits for one gap first, for its
// predecessor may have begun a file right before it ended.
func newPacer(limit *spool.RateLimit, id string, now time.Time) *pacer {
	if limit == nil {
		return nil
	}
	p := &pacer{gap: limit.Gap(), next: now}
	if !strings.HasSuffix(id, ".r1") {
		p.next = now.Add(p.gap)
	}
	return p
}

// allows reports whether a file may begin now.
func (p *pacer) allows(now time.Time) bool { return p == nil || !now.Before(p.next) }

// begin notes that a file begins.
func (p *pacer) begin(now time.Time) {
	if p != nil {
		p.next = now.Add(p.gap)
	}
}
