package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"tigerflow.dev/tigerflow/spool"
)

const pipelineManifest = `apiVersion: tigerflow.dev/v1alpha1
kind: Pipeline
metadata: {name: bench}
spec:
  workspace: {path: %s}
  input: {directory: %s, extension: .txt}
  output: {directory: %s}
  tasks:
    - {name: first, type: Local, output: {extension: .txt}, handler: {%[4]s}, durability: %[5]s}
    - {name: second, dependsOn: first, type: Local, output: {extension: .txt}, handler: {%[4]s}, durability: %[5]s}
`

// writePipeline writes a Pipeline of two tasks with the same handler and returns its path.
func (o ours) writePipeline(g *ground, in, out string) (string, error) {
	if err := os.WriteFile(g.path("echo.py"), []byte(pythonEchoSource), 0o644); err != nil {
		return "", err
	}
	path := g.path("pipeline.yaml")
	return path, os.WriteFile(path, fmt.Appendf(nil, pipelineManifest, g.dir, in, out, o.handler, o.durability), 0o644)
}

// pipelineRuns measures whole runs of a Pipeline of two Python tasks, from the start of the process to its end, beside a bare
// loop that goes over the files twice.
func pipelineRuns(durability string, raw loop) func(*bench) ([]figure, error) {
	return func(b *bench) (list []figure, err error) {
		sizes := []struct {
			files int
			goal  float64 // seconds
		}{{1_000, 1.5}, {10_000, 6}}
		if b.million {
			sizes = append(sizes, struct {
				files int
				goal  float64
			}{100_000, 60})
		}
		for _, size := range sizes {
			g, err := b.newGround(size.files * (4*rounds + 1))
			err = b.on(g, err, size.files, func(g *ground) error {
				c, err := b.comparePipeline(g, ours{handler: pythonEcho, durability: durability}, raw, size.files)
				if err != nil {
					return err
				}
				what := fmt.Sprintf("pipeline of two Python tasks, %s, %d files", durability, size.files)
				list = append(list,
					atMost(what+": whole run", median(c.ours).Seconds(), size.goal, "s", g.kind),
					figure{what: what + ", of bare loops", value: fmt.Sprintf("%.2f", c.ratio()), note: c.note(size.files, g.kind)})
				return nil
			})
			if err != nil {
				return list, err
			}
		}
		return list, nil
	}
}

func (b *bench) comparePipeline(g *ground, o ours, raw loop, files int) (c contest, err error) {
	for round := range rounds {
		middle := fmt.Sprint("raw-middle-", round)
		first, err := raw(b.ctx, g.path("in"), g.path(middle), files)
		if err != nil {
			return c, err
		}
		second, err := raw(b.ctx, g.path(middle), g.path(fmt.Sprint("raw-", round)), files)
		if err != nil {
			return c, err
		}
		c.base = append(c.base, first+second)
		syscall.Sync() // what the loops have left to be written is not for the next to wait for
		took, err := b.runPipeline(g, o, fmt.Sprint("ours-", round), files)
		if err != nil {
			return c, err
		}
		c.ours = append(c.ours, took)
	}
	return c, nil
}

// runPipeline runs a Pipeline to its end and counts its outputs.
func (b *bench) runPipeline(g *ground, o ours, out string, files int) (time.Duration, error) {
	path, err := o.writePipeline(g, "in", out)
	if err != nil {
		return 0, err
	}
	cmd := b.start(b.tigerflow, "run", path)
	var said bytes.Buffer
	cmd.Stderr = &said
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("tigerflow run: %w: %s", err, said.Bytes())
	}
	took := time.Since(begun)
	_, _, found, err := published(g.path(out, "second"))
	if err == nil && found != files {
		err = fmt.Errorf("%d outputs for %d inputs", found, files)
	}
	return took, err
}

// pipelineRestart starts a Pipeline whose files are all finished but for one, which has come meanwhile, and waits for what becomes
// of that.
func pipelineRestart(b *bench) (list []figure, err error) {
	files := 100_000
	if b.million {
		files = 1_000_000
	}
	g, err := b.newGround(200_000)
	err = b.on(g, err, 0, func(g *ground) error {
		if err := g.finished(files); err != nil {
			return err
		}
		took, peak, err := b.lateFile(g)
		name := fmt.Sprintf("pipeline of two tasks, %d files finished", files)
		list = []figure{
			atMost(name+": start to the output of a late file", took.Seconds(), 15, "s", g.kind),
			{what: name + ": peak memory", value: fmt.Sprintf("%d MiB", peak), note: "of the one process with control plane and dispatchers"},
		}
		return err
	})
	return list, err
}

// finished makes the inputs, outputs and histories of the tasks of pipelineManifest.
func (g *ground) finished(files int) error {
	from, parent := g.path("in"), ""
	if err := g.links("in", ".txt", files); err != nil {
		return err
	}
	for _, task := range []string{"first", "second"} {
		if err := g.links("out/"+task, ".txt", files); err != nil {
			return err
		}
		spec := g.spec(task)
		spec.Parent, spec.InputDir, spec.OutputDir = parent, spool.Name(from), spool.Name(g.path("out", task))
		s, err := spool.Create(spool.Dir(g.path("out"), task), benchOwner, spec)
		if err != nil {
			return err
		}
		if err := history(s, files); err != nil {
			return err
		}
		from, parent = string(spec.OutputDir), task
	}
	return nil
}

// lateFile adds an input and returns the time from the start of a run to its last output, and the peak of the run's memory.
func (b *bench) lateFile(g *ground) (took time.Duration, peak int64, err error) {
	if err := g.inputs("outside", 1); err != nil {
		return 0, 0, err
	}
	const name = "late.txt"
	if err := os.Rename(g.path("outside", inputName(0)), g.path("in", name)); err != nil {
		return 0, 0, err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return 0, 0, err
	}
	defer watcher.Close()
	if err := watcher.Add(g.path("out", "second")); err != nil {
		return 0, 0, err
	}
	path, err := ours{handler: "builtin: echo", durability: "None"}.writePipeline(g, "in", "out")
	if err != nil {
		return 0, 0, err
	}
	cmd := b.start(b.tigerflow, "run", path, "--idle-timeout", "1h")
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // it was told to
	}()
	if err := b.appears(watcher, g.path("out", "second", name)); err != nil {
		return 0, 0, err
	}
	took = time.Since(begun)
	kib, err := statusKiB(cmd.Process.Pid, "VmHWM")
	return took, kib / 1024, err
}
