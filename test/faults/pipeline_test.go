package faults

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/internal/faultfs"
)

var (
	pipelines     = flag.Int("pipelines", 2, "how many seeds of pipelines to run")
	pipelineFiles = flag.Int("pipeline-files", 150, "inputs of each pipeline; more than 1000 lie on a plain disk always")
)

// plainFrom is how many files are too many for the misbehaving file system.
const plainFrom = 1000

// TestPipelines runs seeds, each a pipeline whose control plane, workers and hosts are killed.
func TestPipelines(t *testing.T) {
	root, binary := prepare(t)
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range min(*parallel, 2) { // each has many processes
		wg.Go(func() {
			for seed := range next {
				began := time.Now()
				findings, trace := runPipeline(root, binary, seed)
				if *verbose || len(findings) > 0 {
					t.Logf("pipeline seed %d took %s\n%s", seed, time.Since(began).Round(time.Millisecond), trace)
				}
				for _, f := range findings {
					t.Errorf("pipeline seed %d: %s", seed, f)
				}
				if len(findings) > 0 {
					t.Errorf("to repeat it: go test -race ./test/faults -run TestPipelines -from %d -pipelines 1 -pipeline-files %d -keep", seed, *pipelineFiles)
				}
			}
		})
	}
	for seed := *from; seed < *from+uint64(*pipelines); seed++ {
		next <- seed
	}
	close(next)
	wg.Wait()
}

// pipelineRun is a pipeline with all that works on it. One host is up at a time.
type pipelineRun struct {
	pipelineConfig
	rng    *rand.Rand
	server *faultfs.Server // nil on a plain disk
	cache  faultfs.Options
	hosts  []*host
	system // for its trace, and the ends of control planes
}

func runPipeline(root, binary string, seed uint64) (findings []string, trace string) {
	dir, err := os.MkdirTemp(root, fmt.Sprintf("p%d-", seed))
	if err != nil {
		return []string{err.Error()}, ""
	}
	self, err := os.Executable()
	if err != nil {
		return []string{err.Error()}, ""
	}
	rng := rand.New(rand.NewPCG(seed, 30))
	r := &pipelineRun{
		pipelineConfig: pipelineConfig{
			Seed: seed, Dir: dir, Self: self, Binary: binary, Status: filepath.Join(dir, "status"),
			DeleteInputs: rng.IntN(2) == 0, DeleteMiddle: rng.IntN(2) == 0, Limit: []int64{0, 0, 20}[rng.IntN(3)],
		},
		rng: rng, system: system{dir: dir, began: time.Now(), nodes: map[*machine]bool{}, published: map[string][]faultfs.Event{}},
	}
	if plain := rng.IntN(2) == 0; !plain && *pipelineFiles <= plainFrom {
		upTo := func(most int) time.Duration { return time.Duration(rng.IntN(most)) * time.Millisecond }
		r.cache = faultfs.Options{Attrs: upTo(100), Names: upTo(100), Listings: upTo(100), WriteBack: 1 + upTo(100), LaterFirst: rng.IntN(2) == 0}
		if r.server, err = r.serve(); err != nil {
			return []string{err.Error()}, ""
		}
	}
	err = r.run()
	if err = errors.Join(err, r.close()); err == nil {
		findings = r.judge()
	} else {
		findings = []string{err.Error()}
	}
	if len(findings) > 0 {
		r.tail()
	}
	if len(findings) == 0 || !*keep {
		_ = os.RemoveAll(dir) // the next run's temporary folder is another
	}
	return findings, r.trace.String()
}

func (r *pipelineRun) serve() (*faultfs.Server, error) {
	if err := os.MkdirAll(r.tree(), 0o777); err != nil {
		return nil, err
	}
	server, err := faultfs.NewServer(r.tree())
	if err == nil {
		server.OnName(r.named)
	}
	return server, err
}

// named keeps what was published into the folders of outputs.
func (r *pipelineRun) named(e faultfs.Event) {
	dir, name := filepath.Split(e.Path)
	for _, m := range graph {
		if filepath.Join(r.tree(), dir) == r.outputs(m) && strings.HasSuffix(name, "."+m.name) {
			r.mu.Lock()
			r.published[name] = append(r.published[name], e)
			r.mu.Unlock()
		}
	}
}

func (r *pipelineRun) run() error {
	for _, dir := range []string{r.tree("in"), r.records(), filepath.Join(r.Dir, "marks")} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	r.say("inputs are deleted %t, intermediates %t, at most %d wait, plain disk %t, cache %+v", r.DeleteInputs, r.DeleteMiddle, r.Limit, r.server == nil, r.cache)
	half := *pipelineFiles / 2
	if err := r.add(0, half); err != nil {
		return err
	}
	if err := r.boot(); err != nil {
		return err
	}
	events := 4 + r.rng.IntN(10)
	for i := range events {
		if i == events/2 {
			if err := r.add(half, *pipelineFiles); err != nil {
				return err
			}
		}
		if err := r.trouble(time.Duration(100+r.rng.IntN(1200)) * time.Millisecond); err != nil {
			return err
		}
	}
	r.say("no more trouble")
	if err := r.until("the pipeline's end", func() bool {
		return r.ensure("") == nil && readStatus(r.Status).Drained
	}); err != nil {
		return fmt.Errorf("%w: %+v", err, readStatus(r.Status))
	}
	r.say("all is done")
	h := r.last()
	h.hitAll("pipeline", syscall.SIGTERM)
	return r.until("the control plane's end", func() bool { return !r.hasNode(h) })
}

func stemOf(i int) string { return fmt.Sprintf("%05d", i) }

// add makes some of the inputs.
func (r *pipelineRun) add(from, to int) error {
	for i := from; i < to; i++ {
		if err := moveIn(r.tree("in", stemOf(i)+rootExt), []byte(stemOf(i)+"\n")); err != nil {
			return err
		}
	}
	return nil
}

// moveIn puts an input into its folder whole. One that is written there is taken when it has not changed for two seconds, and
// on a busy machine a test may take longer than that to go on.
func moveIn(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o666); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (r *pipelineRun) last() *host { return r.hosts[len(r.hosts)-1] }

// boot brings up the next host.
func (r *pipelineRun) boot() error {
	name := fmt.Sprintf("h%d", len(r.hosts)+1)
	h, mount := &host{}, r.tree()
	if r.server != nil {
		mount = filepath.Join(r.Dir, name)
		if err := os.Mkdir(mount, 0o777); err != nil {
			return err
		}
		var err error
		if h.fs, err = r.server.Mount(name, mount, r.cache); err != nil {
			return err
		}
	}
	r.hosts = append(r.hosts, h)
	var err error
	h.machine, err = startMachine(r.Self, name, mount, r.tree(), func(n notice) { r.ended(h, n) })
	return err
}

// ensure starts a control plane if there is none.
func (r *pipelineRun) ensure(point string) error {
	h := r.last()
	if r.hasNode(h) {
		return nil
	}
	r.say("a control plane starts on %s, %q", h.name, point)
	data, err := json.Marshal(r.pipelineConfig)
	if err != nil {
		return err
	}
	_ = os.Remove(r.Status) // of the one before
	path := filepath.Join(r.Dir, "config."+h.name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		return err
	}
	r.mu.Lock()
	r.nodes[h.machine] = true
	r.mu.Unlock()
	h.order(order{
		Op: "start", ID: "node", Argv: []string{r.Self, "pipeline", path}, Log: filepath.Join(r.Dir, "log."+h.name),
		Env: []string{failpoint.Env + "=" + point, "GORACE=atexit_sleep_ms=0"},
	})
	return nil
}

// trouble lets the pipeline work for a while, and then something die.
func (r *pipelineRun) trouble(after time.Duration) error {
	for until := time.Now().Add(after); time.Now().Before(until); <-time.After(20 * time.Millisecond) {
		point := ""
		if r.rng.IntN(2) == 0 {
			point = drawPoint(r.rng, "dispatcher", []string{"kill", "delay:100ms"})
		}
		if err := r.ensure(point); err != nil {
			return err
		}
	}
	h, n := r.last(), r.rng.Uint64()
	what := []string{"kill node", "restart node", "kill worker", "kill worker", "kill handler", "kill handler", "lose host"}[r.rng.IntN(7)]
	r.say("%s", what)
	switch what {
	case "kill node":
		h.hitAll("pipeline", syscall.SIGKILL)
	case "restart node":
		h.hitAll("pipeline", syscall.SIGTERM)
	case "kill worker":
		h.hit("run", n, syscall.SIGKILL)
	case "kill handler":
		h.hit("stage", n, syscall.SIGKILL)
	case "lose host":
		if h.fs != nil {
			h.fs.Lose([]syscall.Errno{syscall.EIO, syscall.ESTALE}[n%2])
		}
		return errors.Join(h.crash(), r.boot())
	}
	return nil
}

func (r *pipelineRun) close() error {
	var errs []error
	for _, h := range r.hosts {
		if h.machine != nil {
			errs = append(errs, h.crash())
		}
		if h.fs != nil {
			errs = append(errs, h.fs.Close())
		}
	}
	return errors.Join(errs...)
}
