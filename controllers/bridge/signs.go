package bridge

import (
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
)

// patience is how long a Lease that does not say so may go without a renewal, and how long a bridge may be without a Lease.
const patience = time.Minute

// signs are the last signs of life of bridges. That a Lease changes is one; its time is of another clock.
type signs struct {
	mu    sync.Mutex
	known map[types.NamespacedName]sign
}

type sign struct {
	of [2]string // the versions of the Lease that the cache and the API server showed last; "" if there was none
	at time.Time // when the later of both was first seen
}

// Where a Lease was read.
const (
	cached = iota
	live
)

func newSigns() *signs { return &signs{known: map[types.NamespacedName]sign{}} }

// left is how long the bridge may go on without a further sign before it counts as lost; 0 is that it does. lease is nil if there
// is none; from is where it was read.
func (s *signs) left(bridge types.NamespacedName, from int, lease *coordinationv1.Lease, now time.Time) time.Duration {
	of, duration := "", patience
	if lease != nil {
		of = string(lease.UID) + "/" + lease.ResourceVersion
		if d := lease.Spec.LeaseDurationSeconds; d != nil {
			duration = time.Duration(*d) * time.Second
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.known[bridge]
	if !ok {
		last.of = [2]string{of, of}
	}
	if !ok || last.of[from] != of {
		last.of[from], last.at = of, now
		s.known[bridge] = last
	}
	return max(0, duration-now.Sub(last.at))
}

func (s *signs) forget(bridge types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, bridge)
}
