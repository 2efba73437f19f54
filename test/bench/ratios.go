package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// rounds is how often contenders take turns.
const rounds = 3

// on gives a fresh file system with inputs to use, and takes it back.
func (b *bench) on(g *ground, err error, inputs int, use func(*ground) error) error {
	if err != nil {
		return err
	}
	if err = g.inputs("in", inputs); err == nil {
		err = use(g)
	}
	return errors.Join(err, g.close())
}

// ofLoop compares files per second with those of a bare loop.
func ofLoop(goal float64, raw loop, o ours) func(*bench) ([]figure, error) {
	return func(b *bench) (list []figure, err error) {
		g, err := b.newGround(b.files * (2*rounds + 1))
		err = b.on(g, err, b.files, func(g *ground) error {
			f, err := b.compare(g, raw, o, b.files, rounds)
			list = []figure{atLeast(fmt.Sprintf("%s, of a bare loop", o), f.ratio(), goal, f.note(b.files, g.kind))}
			return err
		})
		return list, err
	}
}

// pythonCopy is TigerFlow's own case: in memory, against Python.
func pythonCopy(b *bench) (list []figure, err error) {
	o := ours{handler: pythonEcho, durability: "None"}
	g, err := newFolder(memory, "tmpfs")
	err = b.on(g, err, b.files, func(g *ground) error {
		f, err := b.compare(g, pythonLoop, o, b.files, rounds)
		list = []figure{atLeast("Python copy in /dev/shm, of a bare Python loop", f.ratio(), 0.4, f.note(b.files, g.kind))}
		return err
	})
	return list, err
}

func (o ours) String() string {
	name := "echo"
	switch o.handler {
	case pythonEcho:
		name = "Python echo"
	case pythonBusy:
		name = "Python, 1 ms of a core a file"
	}
	return name + ", " + o.durability
}

// contest is what two contenders took.
type contest struct{ base, ours []time.Duration }

func (c contest) ratio() float64 { return median(c.base).Seconds() / median(c.ours).Seconds() }

func (c contest) note(files int, kind string) string {
	return fmt.Sprintf("%s of %s, %d files, %s", perSecond(files, median(c.ours)), perSecond(files, median(c.base)), files, kind)
}

// compare has a bare loop and a Task take turns over the inputs, so many times.
func (b *bench) compare(g *ground, raw loop, o ours, files, turns int) (contest, error) {
	var c contest
	for round := range turns {
		took, err := raw(b.ctx, g.path("in"), g.path(fmt.Sprint("raw-", round)), files)
		if err != nil {
			return c, err
		}
		c.base = append(c.base, took)
		s, err := b.runOurs(g, o, "in", fmt.Sprint("ours-", round), files)
		if err != nil {
			return c, err
		}
		c.ours = append(c.ours, s.work)
	}
	return c, nil
}

// fourWorkers compares four workers that share an output folder with one, over so many times fewer files. A worker of quick
// files, its handler and the dispatcher keep more than one core busy: on two cores four of them can only be no slower.
func fourWorkers(handler string, fewer int, goal float64) func(*bench) ([]figure, error) {
	return func(b *bench) (list []figure, err error) {
		files := b.files / fewer
		g, err := b.newGround(files * (2*rounds + 1))
		err = b.on(g, err, files, func(g *ground) error {
			one, four := ours{handler, "None", 1, ""}, ours{handler, "None", 4, ""}
			var c contest
			var busy []float64
			for round := range rounds {
				base, err := b.runOurs(g, one, "in", fmt.Sprint("one-", round), files)
				if err != nil {
					return err
				}
				s, err := b.runOurs(g, four, "in", fmt.Sprint("four-", round), files)
				if err != nil {
					return err
				}
				c.base, c.ours = append(c.base, base.work), append(c.ours, s.work)
				busy = append(busy, base.cpu.Seconds()/(base.first+base.work+base.after).Seconds())
			}
			note := fmt.Sprintf("%s; the run of one keeps %.1f of %d cores busy", c.note(files, g.kind), slices.Max(busy), runtime.NumCPU())
			list = []figure{atLeast(fmt.Sprintf("%s: four workers, of one", one), c.ratio(), goal, note)}
			return nil
		})
		return list, err
	}
}

// noop is a handler that does nothing and leaves no output.
type noop struct{}

// Run leaves the output empty.
func (noop) Run(context.Context, string, string) error { return nil }

// overhead is the processor time per file, of all processes, when user code costs nothing: in user mode, which is what is
// not system calls, and in all, above that of a program that makes the same empty outputs. What a run costs whatever the
// number of its files is measured by one over one file.
func overhead(b *bench) (list []figure, err error) {
	o := ours{handler: fmt.Sprintf("program: {path: %q}", b.self), durability: "None"}
	g, err := b.newGround(b.files * (2*rounds + 1))
	err = b.on(g, err, b.files, func(g *ground) error {
		if err := g.inputs("one", 1); err != nil {
			return err
		}
		var all, start, raw, user []time.Duration
		for round := range rounds {
			s, err := b.runOurs(g, o, "in", fmt.Sprint("ours-", round), b.files)
			if err != nil {
				return err
			}
			one, err := b.runOurs(g, o, "one", fmt.Sprint("ours-one-", round), 1)
			if err != nil {
				return err
			}
			dir := fmt.Sprint("raw-", round)
			if err := g.inputs(dir, 0); err != nil {
				return err
			}
			least, err := createAndRename(g.path(dir), b.files)
			if err != nil {
				return err
			}
			all, start, raw = append(all, s.cpu), append(start, one.cpu), append(raw, least)
			user = append(user, s.user-one.user)
		}
		files := float64(b.files)
		total, least := milliseconds(median(all)-median(start))*1000/files, milliseconds(median(raw))*1000/files
		note := fmt.Sprintf("%d files; a run's own %.2f s not counted", b.files, median(start).Seconds())
		list = []figure{
			atMost("no-op handler: CPU per file outside system calls", milliseconds(median(user))*1000/files, 30, "µs", note),
			{
				what: "no-op handler: CPU per file above create, close and rename", value: fmt.Sprintf("%.3g µs", total-least),
				note: fmt.Sprintf("%.1f µs in all, %.1f µs of those calls", total, least),
			},
		}
		return nil
	})
	return list, err
}
