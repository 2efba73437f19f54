package main

import (
	"bytes"
	"fmt"
	"os"
	"time"
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
