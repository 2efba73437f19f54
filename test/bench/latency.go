package main

import (
	"fmt"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"
)

// latency moves files, one at a time, into the input folder of a quiet Pipeline of two tasks, and waits for the last output.
func latency(durability string) func(*bench) ([]figure, error) {
	return func(b *bench) (list []figure, err error) {
		g, err := b.newGround(b.late * 4)
		err = b.on(g, err, 1, func(g *ground) error {
			if err := g.chain(durability, b.late); err != nil {
				return err
			}
			times, err := b.throughChain(g)
			if err != nil {
				return err
			}
			note := fmt.Sprintf("%d files, one a second, %s", len(times), g.kind)
			what := "file into a quiet Pipeline of two tasks, " + durability
			list = []figure{
				atMost(what+": median to the last output", milliseconds(median(times)), 20, "ms", note),
				atMost(what+": 99th percentile", milliseconds(quantile(times, 0.99)), 100, "ms", note),
			}
			return nil
		})
		return list, err
	}
}

// chain writes a Pipeline of two tasks, and files to be moved in.
func (g *ground) chain(durability string, files int) error {
	if err := os.MkdirAll(g.path("out", "second"), 0o755); err != nil { // to be watched
		return err
	}
	path, err := ours{handler: "builtin: echo", durability: durability}.writePipeline(g, "in", "out")
	if err != nil {
		return err
	}
	if err := os.Mkdir(g.path("objects"), 0o755); err != nil {
		return err
	}
	if err := os.Rename(path, g.path("objects", "pipeline.yaml")); err != nil {
		return err
	}
	return g.inputs("outside", files)
}

// throughChain returns the times from the move of a file to its last output.
func (b *bench) throughChain(g *ground) (times []time.Duration, err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	defer watcher.Close()
	if err := watcher.Add(g.path("out", "second")); err != nil {
		return nil, err
	}
	p, err := b.up("-f", g.path("objects"))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := b.appears(watcher, g.path("out", "second", inputName(0))); err != nil { // workers have started
		return nil, err
	}
	for i := range b.late {
		select {
		case <-b.ctx.Done():
			return nil, b.ctx.Err()
		case <-time.After(time.Second + time.Duration(i%10)*37*time.Millisecond): // in no step with anyone's timer
		}
		name := "late-" + inputName(i)
		begun := time.Now()
		if err := os.Rename(g.path("outside", inputName(i)), g.path("in", name)); err != nil {
			return nil, err
		}
		if err := b.appears(watcher, g.path("out", "second", name)); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	return times, nil
}

// patience bounds the wait for one file.
const patience = time.Minute

func (b *bench) appears(w *fsnotify.Watcher, path string) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case e := <-w.Events:
			if e.Op.Has(fsnotify.Create) && e.Name == path {
				return nil
			}
		case err := <-w.Errors:
			return err
		case <-late.C:
			return fmt.Errorf("%s does not appear within %s", path, patience)
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
	}
}
