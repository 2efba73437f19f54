package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/internal/faultfs"
	"tigerflow.dev/tigerflow/spool"
)

// zombieTime is how long what is stopped stays so while the last control plane works.
const zombieTime = 5 * time.Second

// host is a machine with its mount.
type host struct {
	*machine
	fs      *faultfs.Host
	stopped bool // its control plane is
}

// system is a Task with all that works on it.
type system struct {
	plan
	dir, self, binary string
	began             time.Time
	server            *faultfs.Server
	scheduler         *scheduler
	hosts             []*host // that are up
	past              []*host
	files             map[string]input
	undo              []undo
	rng               *rand.Rand // for failpoints of control planes, drawn in the order of their starts
	kills             int        // of workers and handlers, which may count as crashes
	generation        int
	woken             time.Time // when what was stopped was last told to go on

	mu        sync.Mutex
	nodes     map[*machine]bool // that have a control plane
	published map[string][]faultfs.Event
	trace     strings.Builder
}

type undo struct {
	at time.Time
	fn func()
}

// runSeed runs a seed and returns what is wrong, and what happened.
func runSeed(root, binary string, seed uint64) (findings []string, trace string) {
	dir, err := os.MkdirTemp(root, fmt.Sprintf("%d-", seed))
	if err != nil {
		return []string{err.Error()}, ""
	}
	self, err := os.Executable()
	if err != nil {
		return []string{err.Error()}, ""
	}
	s := &system{
		plan: newPlan(seed, dir, self), dir: dir, self: self, binary: binary, began: time.Now(), files: map[string]input{},
		nodes: map[*machine]bool{}, published: map[string][]faultfs.Event{}, rng: rand.New(rand.NewPCG(seed, 21)),
	}
	err = s.run()
	err = errors.Join(err, s.close())
	if err != nil {
		findings = append(findings, err.Error())
	} else {
		findings = s.judge()
	}
	if len(findings) > 0 {
		s.tail()
	}
	if len(findings) == 0 || !*keep {
		_ = os.RemoveAll(dir) // the next run's temporary folder is another
	} else {
		s.say("kept %s", dir)
	}
	return findings, s.trace.String()
}

func (s *system) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.trace, "%8.3f "+format+"\n", append([]any{time.Since(s.began).Seconds()}, args...)...)
}

func (s *system) tree(name ...string) string {
	return filepath.Join(append([]string{s.dir, "tree"}, name...)...)
}

func (s *system) run() error {
	for _, name := range []string{"in", "out"} {
		if err := os.MkdirAll(s.tree(name), 0o777); err != nil {
			return err
		}
	}
	var err error
	if s.server, err = faultfs.NewServer(s.tree()); err != nil {
		return err
	}
	s.server.Clock(s.grain, 0)
	s.server.OnName(s.named)
	s.say("type %s, durability %s, %d workers, concurrency %d, %d attempts, %d crashes, scheduler %t, cache %+v, grain %s, points %q", s.spec.Type,
		s.spec.Durability, s.workers, s.spec.Concurrency, s.spec.Retry.Attempts, s.spec.Retry.CrashLimit, s.plan.scheduler, s.cache, s.grain, s.points)
	for _, p := range s.points {
		if strings.Contains(p, "kill") {
			s.kills++
		}
	}
	if s.plan.scheduler {
		if s.scheduler, err = newScheduler(filepath.Join(s.dir, "sock"), s.binary, filepath.Join(s.dir, "log.workers"), s.points); err != nil {
			return err
		}
	}
	if err := s.add(s.inputs); err != nil {
		return err
	}
	for range map[bool]int{true: 1, false: 2}[s.local] {
		if err := s.boot(s.cache); err != nil {
			return err
		}
	}
	if err := s.firstRun(); err != nil {
		return err
	}
	if err := s.trouble(); err != nil {
		return err
	}
	return s.finish()
}

// trouble has everything happen that is planned.
func (s *system) trouble() error {
	for _, a := range s.actions {
		if err := s.wait(time.Now().Add(a.after)); err != nil {
			return err
		}
		s.say("%s, lasts %s, %x", a.what, a.lasts, a.n)
		if err := s.act(a); err != nil {
			return err
		}
	}
	return s.wait(time.Now().Add(300 * time.Millisecond))
}

// firstRun waits until work has begun; but faults may well come before it.
func (s *system) firstRun() error {
	if s.seed%4 == 0 {
		return nil
	}
	for deadline := time.Now().Add(zombieTime); time.Now().Before(deadline); {
		if _, err := os.Stat(filepath.Join(s.dir, "runs")); err == nil {
			return nil
		}
		if err := s.wait(time.Now().Add(20 * time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// wait goes on until a time; meanwhile what is to end ends, and there is a control plane.
func (s *system) wait(until time.Time) error {
	for {
		now := time.Now()
		s.undo = slices.DeleteFunc(s.undo, func(u undo) bool {
			due := !now.Before(u.at)
			if due {
				u.fn()
			}
			return due
		})
		if err := s.ensureNode(); err != nil {
			return err
		}
		if !now.Before(until) {
			return nil
		}
		<-time.After(min(until.Sub(now), 20*time.Millisecond))
	}
}

func (s *system) later(d time.Duration, fn func()) {
	s.undo = append(s.undo, undo{time.Now().Add(d), fn})
}

// boot brings a new host up.
func (s *system) boot(opts faultfs.Options) error {
	s.generation++
	name := fmt.Sprintf("h%d", s.generation)
	mount := filepath.Join(s.dir, name)
	if err := os.Mkdir(mount, 0o777); err != nil {
		return err
	}
	fs, err := s.server.Mount(name, mount, opts)
	if err != nil {
		return err
	}
	h := &host{fs: fs}
	s.past = append(s.past, h)
	h.machine, err = startMachine(s.self, name, mount, s.tree(), func(n notice) { s.ended(h, n) })
	if err != nil {
		return err
	}
	s.hosts = append(s.hosts, h)
	if s.scheduler != nil {
		s.scheduler.up(h.machine)
	}
	return nil
}

func (s *system) ended(h *host, n notice) {
	if n.Ended != "node" {
		if s.scheduler != nil {
			s.scheduler.ended(n)
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nodes, h.machine)
}

func (s *system) hasNode(h *host) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[h.machine]
}

// ensureNode starts a control plane if none is at work.
func (s *system) ensureNode() error {
	for _, h := range s.hosts {
		if s.hasNode(h) && !h.stopped {
			return nil
		}
	}
	free := slices.DeleteFunc(slices.Clone(s.hosts), s.hasNode)
	if len(free) == 0 {
		return nil
	}
	point := ""
	if s.rng.IntN(3) == 0 {
		point = drawPoint(s.rng, "dispatcher", []string{"kill", "delay:100ms"})
	}
	return s.startNode(free[s.rng.IntN(len(free))], point)
}

func (s *system) startNode(h *host, point string) error {
	s.say("a control plane starts on %s, %q", h.name, point)
	config := nodeConfig{
		Spec: s.spec, TakeOver: true, Settle: 100*time.Millisecond + s.grain + s.cache.Listings, Workers: s.workers, Binary: s.binary, Status: statusPath(s.dir, h.name),
	}
	if s.scheduler != nil {
		config.Scheduler = s.scheduler.listen.Addr().String()
	} else {
		config.WorkerPoints, s.points = s.points, nil
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	_ = os.Remove(config.Status) // of the one before
	path := filepath.Join(s.dir, "config."+h.name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		return err
	}
	s.mu.Lock()
	s.nodes[h.machine] = true
	s.mu.Unlock()
	h.stopped = false
	h.order(order{
		Op: "start", ID: "node", Argv: []string{s.self, "node", path}, Log: filepath.Join(s.dir, "log."+h.name),
		Env: []string{failpoint.Env + "=" + point, "GORACE=atexit_sleep_ms=0"},
	})
	return nil
}

// add makes input files.
func (s *system) add(inputs []input) error {
	for _, in := range inputs {
		name := fmt.Sprintf("%03d.in", len(s.files))
		s.files[name] = in
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		if err := moveIn(s.tree("in", name), data); err != nil {
			return err
		}
		if err := s.server.Touch(filepath.Join("in", name)); err != nil {
			return err
		}
	}
	return nil
}

// named keeps what was published.
func (s *system) named(e faultfs.Event) {
	if dir, name := filepath.Split(e.Path); dir == "out/" && strings.HasSuffix(name, ".out") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.published[name] = append(s.published[name], e)
	}
}

func (s *system) spool() string { return spool.Dir(s.tree("out"), s.spec.Task) }
