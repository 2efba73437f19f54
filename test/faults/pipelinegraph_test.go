package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/flow"
	"tigerflow.dev/tigerflow/spool"
)

// member is a task of the pipeline of these tests: two roots, three branches, four tasks deep. The first is the lead.
type member struct{ name, parent string }

var graph = []member{{"a", ""}, {"b", ""}, {"c", "a"}, {"d", "a"}, {"e", "c"}, {"f", "b"}, {"g", "e"}}

const rootExt = ".in"

func childrenOf(parent string) (list []member) {
	for _, m := range graph {
		if m.parent == parent {
			list = append(list, m)
		}
	}
	return list
}

// pipelineConfig is what a control plane of the pipeline is told.
type pipelineConfig struct {
	Seed         uint64
	Dir          string // of the seed, beside the tree
	Self, Binary string
	Status       string
	DeleteInputs bool
	DeleteMiddle bool
	Limit        int64 // maxIntermediates
}

func (c *pipelineConfig) records() string { return filepath.Join(c.Dir, "tree", "out") }

func (c *pipelineConfig) deletes(m member) bool {
	return c.DeleteMiddle && len(childrenOf(m.name)) > 0
}

func (c *pipelineConfig) outputs(m member) string {
	if c.deletes(m) {
		return spool.OutputsDir(c.records(), m.name)
	}
	return filepath.Join(c.records(), m.name)
}

func (c *pipelineConfig) inputs(m member) (dir, ext string) {
	for _, p := range graph {
		if p.name == m.parent {
			return c.outputs(p), "." + p.name
		}
	}
	return filepath.Join(c.Dir, "tree", "in"), rootExt
}

func (c *pipelineConfig) spool(m member) string { return spool.Dir(c.records(), m.name) }

func (c *pipelineConfig) spec(m member) spool.Spec {
	in, ext := c.inputs(m)
	quote := func(s string) json.RawMessage { return fmt.Appendf(nil, "%q", s) }
	return spool.Spec{
		Task: m.name, Type: spool.TypeLocalAsync, WorkDir: spool.Name(c.Dir), Parent: m.parent,
		InputDir: spool.Name(in), InputExt: ext, OutputDir: spool.Name(c.outputs(m)), OutputExt: "." + m.name,
		Handler: spool.Handler{Program: &spool.ProgramHandler{Path: spool.Name(c.Self), Args: []string{"stage"}}},
		Params: map[string]json.RawMessage{
			"name": quote(m.name), "ext": quote(ext), "marks": quote(filepath.Join(c.Dir, "marks")), "seed": fmt.Appendf(nil, "%d", c.Seed),
		},
		Concurrency: 4, Durability: spool.None,
		// What is killed is not to be given up: which files fail is known beforehand.
		Retry: spool.Retry{Attempts: 2, CrashLimit: 1000, Backoff: spool.Duration(20 * time.Millisecond)},
	}
}

func (c *pipelineConfig) pipeline(m member) *flow.Pipeline {
	chain := dispatcher.Chain{DeleteOutputs: c.deletes(m), MaxIntermediates: c.Limit}
	for _, child := range childrenOf(m.name) {
		chain.Children = append(chain.Children, c.spool(child))
	}
	if m.parent == "" {
		chain.DeleteInputs = c.DeleteInputs
		for _, other := range childrenOf("") {
			if other != m {
				chain.Siblings = append(chain.Siblings, c.spool(other))
			}
		}
	}
	for _, p := range graph {
		if p.name == m.parent {
			chain.Parent = c.spool(p)
		}
	}
	if m == graph[0] {
		chain.Lead = &dispatcher.Lead{}
		for _, t := range graph {
			chain.Lead.Tasks = append(chain.Lead.Tasks, dispatcher.Member{Name: t.name, Dir: c.spool(t), Parent: t.parent})
		}
	}
	return &flow.Pipeline{Records: c.records(), RootExt: rootExt, Chain: chain}
}

// Fates of a file in a task.
const (
	fateOK    = iota
	fateFail  // always
	fateOnce  // the first time
	fateCrash // the first time, with its process
)

func fate(seed uint64, task, stem string) int {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%s", seed, task, stem) // never fails
	switch h.Sum64() % 100 {
	case 0, 1, 2:
		return fateFail
	case 3, 4:
		return fateOnce
	case 5:
		return fateCrash
	}
	return fateOK
}

// stage is the author's code of all tasks: it adds the task's name to what it reads.
type stage struct {
	Name  string `param:"name" help:"Task"`
	Ext   string `param:"ext" help:"Extension of the inputs"`
	Marks string `param:"marks" help:"Folder of what happened once"`
	Seed  int    `param:"seed" help:"Seed"`
}

// Run meets the file's fate.
func (s stage) Run(_ context.Context, in, out string) error {
	stem := strings.TrimSuffix(filepath.Base(in), s.Ext)
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	switch fate(uint64(s.Seed), s.Name, stem) {
	case fateFail:
		return errors.New("it is to fail")
	case fateOnce:
		if s.once(stem) {
			return errors.New("it is to fail once")
		}
	case fateCrash:
		if s.once(stem) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	return os.WriteFile(out, fmt.Appendf(data, "%s\n", s.Name), 0o666)
}

// once reports whether it is called for the first time, over all processes.
func (s stage) once(stem string) bool {
	return os.Mkdir(filepath.Join(s.Marks, s.Name+"-"+stem), 0o777) == nil
}
