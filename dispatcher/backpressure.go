package dispatcher

import (
	"context"
	"errors"
	"math"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

// eater is a child with the outputs that it needs no more, because it is done with them or has failed on them.
type eater struct {
	source
	eaten fileSet
	count int64
}

func (e *eater) eat(f file) {
	if !e.eaten.Has(f) {
		e.eaten.Add(f)
		e.count++
	}
}

func (e *eater) restore(f file) {
	if e.eaten.Has(f) {
		e.eaten.Remove(f)
		e.count--
	}
}

// watchEaters reads how far the children are. One that has no spool yet has eaten nothing.
func (d *Dispatcher) watchEaters(ctx context.Context, _ time.Time) error {
	for _, c := range d.chain.eaters {
		each := func(names []spool.Name, fn func(file)) {
			for _, theirs := range names {
				if name, ok := c.name(c.spec, theirs); ok {
					fn(d.file(name))
				}
			}
		}
		err := c.read(d, func(e spool.Entry) error {
			each(e.Done, c.eat)
			switch e.Kind {
			case spool.EntryFailed:
				each([]spool.Name{e.File}, c.eat)
			case spool.EntryRequeued:
				each(e.Back, c.restore)
			default: // nothing of the last word on a file
			}
			return errors.Join(ctx.Err(), d.keep(time.Now()))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// room is how many more files may be fed before too many outputs wait for the slowest child.
func (d *Dispatcher) room() int64 {
	if len(d.chain.eaters) == 0 {
		return math.MaxInt64
	}
	slowest := int64(math.MaxInt64)
	for _, c := range d.chain.eaters {
		slowest = min(slowest, c.count)
	}
	return max(0, d.cfg.Chain.MaxIntermediates+slowest-d.done-d.inBatches)
}

// heldBack is how many of the files that wait must wait for the children.
func (d *Dispatcher) heldBack() int64 { return max(0, d.waiting-d.room()) }
