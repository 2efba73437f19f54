package handler

import (
	"context"
	"sync"
)

// AheadMost is how many files more than run at once an engine may hand over before Run has to wait.
const AheadMost = 128

// pool runs files by goroutines of this process, for the handlers that are not one long process.
type pool struct {
	lane     int
	out      chan<- Result
	run      func(Request) (Result, bool) // the result counts only if it is ok; else Kill came first
	finish   func()                       // once, when the last file has ended and nothing was killed
	queue    chan Request
	killed   chan struct{}
	ended    chan struct{} // closed right after the last result
	given    chan struct{} // closed when its end is given up
	sending  sync.Mutex    // of queue: Run sends, Close closes
	closing  bool
	killOnce sync.Once
}

func newPool(c Config) pool {
	return pool{
		lane: c.Lane, out: c.Results,
		queue:  make(chan Request, max(1, c.Spec.Concurrency)+AheadMost),
		killed: make(chan struct{}),
		ended:  make(chan struct{}),
		given:  make(chan struct{}),
		finish: func() {},
	}
}

func (p *pool) work(concurrency int) {
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(p.runQueued)
	}
	workers.Wait()
	if !p.wasKilled() {
		p.finish()
	}
	close(p.ended)
	p.out <- Result{Lane: p.lane, Ended: true}
}

func (p *pool) runQueued() {
	for {
		select {
		case <-p.killed:
			return
		case r, more := <-p.queue:
			if !more {
				return
			}
			result, ok := p.run(r)
			if !ok {
				return
			}
			result.Lane = p.lane
			deliver(p.out, result, p.killed)
		}
	}
}

// Run queues a file.
func (p *pool) Run(r Request) error {
	if _, err := r.message(); err != nil {
		return err
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	if p.closing || p.wasKilled() {
		return ErrEnded
	}
	select {
	case p.queue <- r:
		return nil
	case <-p.killed:
		return ErrEnded
	}
}

// drain lets the files in flight finish and waits for the end. When ctx is done it calls kill.
func (p *pool) drain(ctx context.Context, kill func()) {
	stop := context.AfterFunc(ctx, kill)
	defer stop()
	p.sending.Lock()
	if !p.closing {
		p.closing = true
		close(p.queue)
	}
	p.sending.Unlock()
	select {
	case <-p.ended:
	case <-p.given:
	}
}

func (p *pool) wasKilled() bool {
	select {
	case <-p.killed:
		return true
	default:
		return false
	}
}

// deliver passes a result on. After Kill that is only done where there is room, for nobody may receive any more.
func deliver(results chan<- Result, r Result, killed <-chan struct{}) {
	select {
	case results <- r:
		return
	default:
	}
	select {
	case results <- r:
	case <-killed:
	}
}
