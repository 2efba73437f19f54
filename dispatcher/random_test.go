package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// chaos drives a rig through events in random order.
type chaos struct {
	*rig
	rng     *rand.Rand
	workers []*script
	made    int // inputs
	births  int
}

// TestRandomOrders has workers, files and the dispatcher itself come and go in random orders. After each round the counts
// are right, and in the end every input has exactly one result.
func TestRandomOrders(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := &chaos{rng: rand.New(rand.NewPCG(uint64(seed), 1))}
			c.rig = newRig(t, func(s *spool.Spec) { s.Retry = spool.Retry{Attempts: 2, CrashLimit: 2} })
			c.begin()
			for range 150 {
				c.step()
			}
			c.end()
		})
	}
}

func (c *chaos) step() {
	c.t.Helper()
	switch n := c.rng.IntN(100); {
	case n < 15:
		c.made++
		c.input(fmt.Sprintf("%04d.txt", c.made))
	case n < 22 && len(c.workers) < 4:
		c.births++
		c.workers = append(c.workers, c.worker(c.births, 1))
	case n < 55:
		c.act()
	case n < 60:
		c.killWorker()
	case n < 63:
		c.restart()
	case n < 65:
		c.removeResult()
	case n < 70:
		c.after(40 * time.Second)
	default:
		c.after(time.Second)
	}
}

// act has one worker do one thing.
func (c *chaos) act() {
	c.t.Helper()
	if len(c.workers) == 0 {
		return
	}
	w := c.workers[c.rng.IntN(len(c.workers))]
	if len(w.held) == 0 || c.rng.IntN(4) == 0 {
		w.claim()
		return
	}
	h := w.held[c.rng.IntN(len(w.held))]
	name := h.open[c.rng.IntN(len(h.open))]
	switch c.rng.IntN(9) {
	case 0:
		w.fail(h, "bad luck", name)
	case 1:
		w.tell(h, spool.Event{Kind: spool.EventBack}, name)
	case 2:
		w.tell(h, spool.Event{Kind: spool.EventCrashed, Failure: &spool.Failure{Type: "Crashed"}}, name)
	case 3:
		w.tell(h, spool.Event{Kind: spool.EventCrashed, Suspects: true, Failure: &spool.Failure{Type: "Crashed"}}, h.open...)
	case 4:
		w.tell(h, spool.Event{Kind: spool.EventGone}, name)
	case 5:
		w.publish(name) // and it may die before it says so
	case 6:
		w.begin(h, name)
	default:
		w.done(h, 0.3, name)
	}
}

// killWorker ends one worker, with a word or without.
func (c *chaos) killWorker() {
	c.t.Helper()
	if len(c.workers) == 0 {
		return
	}
	i := c.rng.IntN(len(c.workers))
	w := c.workers[i]
	c.workers = append(c.workers[:i], c.workers[i+1:]...)
	if c.rng.IntN(2) == 0 {
		w.exit(spool.ExitStopped)
		return
	}
	c.round() // so that the dispatcher knows it
	c.ended(w.id, End{Blame: c.rng.IntN(2) == 0, Message: "signal: killed"})
	c.round()
}

func (c *chaos) restart() {
	c.t.Helper()
	if c.rng.IntN(2) == 0 {
		c.close()
	} else {
		c.dieIn(c.rng.IntN(len(c.d.steps())))
	}
	c.begin()
}

func (c *chaos) removeResult() {
	c.t.Helper()
	entries, err := os.ReadDir(c.out(""))
	must(c.t, err)
	if e := entries[c.rng.IntN(len(entries))]; e.Type().IsRegular() {
		must(c.t, os.Remove(c.out(e.Name())))
	}
}

// end lets everything come to rest, and judges.
func (c *chaos) end() {
	c.t.Helper()
	for len(c.workers) > 0 {
		c.killWorker()
	}
	c.restart()
	s := c.finish(c.worker(0, 1))
	if s.Staged != int64(c.made) {
		c.t.Fatalf("%d files are known, %d were made", s.Staged, c.made)
	}
	var done, failed int64
	for i := 1; i <= c.made; i++ {
		output, errFile := exists(c.out(fmt.Sprintf("%04d.out", i))), exists(c.out(fmt.Sprintf("%04d.err", i)))
		if output == errFile {
			c.t.Errorf("input %d: output is %t, error file is %t", i, output, errFile)
		}
		if output {
			done++
		} else {
			failed++
		}
	}
	c.want(s, 0, 0, done, failed)
}
