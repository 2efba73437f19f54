package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// zombie is a worker that does not know yet that it is declared dead. It goes by the paths of its folders, or, like the
// client of a network file system, by handles that it got before they changed.
type zombie struct{ queue, claimed, tmp string }

func zombieByPath(_ *testing.T, w *Worker) zombie {
	return zombie{w.spool.queueDir(), w.spool.claimedDir(w.id), w.spool.tmpDir(w.id)}
}

func zombieByHandle(t *testing.T, w *Worker) zombie {
	hold := func(dir string) string {
		d, err := os.Open(dir)
		must(t, err)
		t.Cleanup(func() { d.Close() })
		return filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())))
	}
	by := zombieByPath(t, w)
	return zombie{hold(by.queue), hold(by.claimed), hold(by.tmp)}
}

func (z zombie) create() error {
	f, err := os.OpenFile(filepath.Join(z.tmp, TempName(".out")), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	return f.Close()
}

func (z zombie) publish(tmp, output string) error {
	published, err := publish(filepath.Join(z.tmp, filepath.Base(tmp)), output)
	if err == nil && !published {
		return fs.ErrExist
	}
	return err
}

func (z zombie) claim(id BatchID) error {
	name := id.String() + batchSuffix
	return os.Rename(filepath.Join(z.queue, name), filepath.Join(z.claimed, name))
}

// TestFenceStepByStep lets the zombie act between any two steps of the fence and after the last one.
func TestFenceStepByStep(t *testing.T) {
	steps := []struct {
		name                       string
		step                       func(s *Spool, id string) error
		creates, publishes, claims bool // what a zombie still can after it
	}{
		{"before", func(*Spool, string) error { return nil }, true, true, true},
		{"the word", func(s *Spool, id string) error { return s.fenceUnborn(id, 1) }, true, true, true},
		{"the claims", (*Spool).seizeClaims, true, true, false},
		{"the temporaries", func(s *Spool, id string) error { return removeDir(s.tmpDir(id)) }, false, false, false},
	}
	zombies := map[string]func(*testing.T, *Worker) zombie{"by path": zombieByPath, "by handle": zombieByHandle}
	bothWays(t, func(t *testing.T) {
		for kind, rise := range zombies {
			for point, at := range steps {
				t.Run(kind+"/"+at.name, func(t *testing.T) {
					s := newSpool(t)
					l, w := lock(t, s), bear(t, s, "w.0.r1")
					held, waits := feed(t, l, "held.txt"), feed(t, l, "waits.txt")
					claim(t, w, held)
					ready, late := newTemp(t, w), newTemp(t, w)
					z := rise(t, w)
					for _, done := range steps[:point+1] {
						must(t, done.step(s, w.ID()))
					}
					for what, c := range map[string]struct {
						err  error
						want bool
					}{
						"create":  {z.create(), at.creates},
						"publish": {z.publish(ready, outputOf(s, "held")), at.publishes},
						"claim":   {z.claim(waits), at.claims},
					} {
						if (c.err == nil) != c.want {
							t.Errorf("%s: %v", what, c.err)
						}
					}
					got := fence(t, l, w.ID())
					want := map[bool]int{true: 2, false: 1}[at.claims]
					if len(got) != want || len(queue(t, s)) != 2-want || exists(outputOf(s, "held")) != at.publishes {
						t.Errorf("held %+v, the queue %v", got, queue(t, s))
					}
					wantHarmless(t, z, late, outputOf(s, "late"), waits)
				})
			}
		}
	})
}

// wantHarmless checks that a zombie can do nothing any more.
func wantHarmless(t *testing.T, z zombie, tmp, output string, waits BatchID) {
	t.Helper()
	for what, err := range map[string]error{"create": z.create(), "publish": z.publish(tmp, output), "claim": z.claim(waits)} {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("after the fence, to %s gave %v", what, err)
		}
	}
	if exists(output) {
		t.Errorf("%s was published after the fence", output)
	}
}

// TestFenceWhileZombieWorks fences workers that do all they can meanwhile. Every batch must be in the queue or among what
// was held, and nothing that begins after the fence may succeed.
func TestFenceWhileZombieWorks(t *testing.T) {
	s := newSpool(t)
	l := lock(t, s)
	for round := range 30 {
		w := bear(t, s, fmt.Sprintf("w.%d.r1", round))
		rise := zombieByPath
		if round%2 == 0 {
			rise = zombieByHandle
		}
		z := rise(t, w)
		var batches []BatchID
		var temps []string
		for i := range 8 {
			batches = append(batches, feed(t, l, Name(fmt.Sprintf("%d-%d.txt", round, i))))
			temps = append(temps, newTemp(t, w))
		}
		output := func(i int) string { return outputOf(s, fmt.Sprintf("%d-%d", round, i)) }
		var fenced atomic.Bool
		var wg sync.WaitGroup
		for _, act := range []func(i int) error{
			func(int) error { return z.create() },
			func(i int) error { return z.publish(temps[i], output(i)) },
			func(i int) error { return z.claim(batches[i]) },
		} {
			wg.Go(func() {
				for i, after := 0, false; !after || i < len(batches); i++ {
					if i >= len(batches) {
						i = 0
					}
					after = fenced.Load()
					if act(i) == nil && after {
						t.Errorf("round %d: something succeeded after the fence", round)
					}
				}
			})
		}
		held := fence(t, l, w.ID())
		fenced.Store(true)
		wg.Wait()
		count := map[BatchID]int{}
		for _, id := range append(queue(t, s), batchIDs(held)...) {
			count[id]++
		}
		for _, id := range batches {
			if count[id] != 1 {
				t.Errorf("round %d: batch %s is there %d times", round, id, count[id])
			}
			must(t, os.RemoveAll(s.batchPath(id)))
		}
	}
}
