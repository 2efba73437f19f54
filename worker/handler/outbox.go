package handler

import (
	"io"
	"sync"
)

// outbox writes messages in the order in which they were sent. Who sends never waits for the reader: what comes while a
// write waits for room goes out with the next one, all of it at once.
type outbox struct {
	mu      sync.Mutex
	pending []byte
	closed  bool
	ready   chan struct{} // has a token if there is something to do
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

// send adds a message. Once the outbox is closed, or writing has failed, it is lost: its reader has ended.
func (o *outbox) send(appendTo func([]byte) []byte) {
	o.mu.Lock()
	o.pending = appendTo(o.pending)
	o.mu.Unlock()
	o.wake()
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// run writes until the outbox is closed or writing fails.
func (o *outbox) run(to io.Writer) {
	var writing []byte
	for range o.ready {
		o.mu.Lock()
		writing, o.pending = o.pending, writing[:0]
		closed := o.closed
		o.mu.Unlock()
		if closed {
			return
		}
		if len(writing) == 0 {
			continue
		}
		if _, err := to.Write(writing); err != nil {
			return // its end is seen elsewhere
		}
	}
}
