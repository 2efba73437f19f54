package worker

import (
	"io"
	"sync"

	"tigerflow.dev/tigerflow/task/protocol"
)

// narrator tells what became of files, in order. Who tells it never waits: the reader is a terminal, which its user may stop.
type narrator struct {
	to      io.Writer
	mu      sync.Mutex
	waiting []protocol.Narration
	more    chan struct{} // has a token if something waits
	ended   chan struct{}
}

func newNarrator(to io.Writer) *narrator {
	if to == nil {
		return nil
	}
	n := &narrator{to: to, more: make(chan struct{}, 1), ended: make(chan struct{})}
	go n.run() // ends with close
	return n
}

func (n *narrator) run() {
	defer close(n.ended)
	for range n.more {
		n.mu.Lock()
		told := n.waiting
		n.waiting = nil
		n.mu.Unlock()
		for _, item := range told {
			protocol.Narrate(n.to, item)
		}
	}
}

func (n *narrator) tell(item protocol.Narration) {
	n.mu.Lock()
	n.waiting = append(n.waiting, item)
	n.mu.Unlock()
	select {
	case n.more <- struct{}{}:
	default:
	}
}

// close returns when all is told. A nil narrator has nothing to tell.
func (n *narrator) close() {
	if n == nil {
		return
	}
	close(n.more)
	<-n.ended
}
