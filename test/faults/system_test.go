package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
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

// add makes input files, some of them slowly.
func (s *system) add(inputs []input) error {
	for _, in := range inputs {
		name := fmt.Sprintf("%03d.in", len(s.files))
		s.files[name] = in
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.tree("in", name), data, 0o666); err != nil {
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

func (s *system) act(a action) error {
	if len(s.hosts) == 0 {
		return nil
	}
	h := s.hosts[a.n%uint64(len(s.hosts))]
	switch a.what {
	case "second node":
		if !s.hasNode(h) {
			return s.startNode(h, "")
		}
	case "inputs":
		late := s.late
		s.late = nil
		return s.add(late)
	case "lose host":
		return s.loseHost(h, a)
	case "kill handler", "kill worker", "kill node", "restart node", "stop worker", "stop handler", "stop node":
		s.actOnProcess(h, a)
	default:
		s.actOnStorage(h, a)
	}
	return nil
}

func (s *system) actOnProcess(h *host, a action) {
	role := map[string]string{"handler": "user", "worker": "run"}[a.what[5:]]
	switch a.what {
	case "kill handler", "kill worker":
		if h.hit(role, a.n, syscall.SIGKILL) {
			s.kills++
		}
	case "stop worker", "stop handler":
		if h.hit(role, a.n, syscall.SIGSTOP) && !s.resumeEnd {
			s.later(a.lasts, func() { h.hitAll(role, syscall.SIGCONT) })
		}
	case "kill node":
		h.hitAll("node", syscall.SIGKILL)
	case "stop node":
		h.stopped = h.hitAll("node", syscall.SIGSTOP) > 0
		s.later(a.lasts, func() { h.hitAll("node", syscall.SIGCONT); h.stopped = false })
	case "restart node":
		h.hitAll("node", syscall.SIGTERM)
	}
}

func (s *system) actOnStorage(h *host, a action) {
	switch a.what {
	case "hang":
		h.fs.Hang(a.n%3 == 0)
		s.later(a.lasts, h.fs.Resume)
	case "full":
		s.server.Refuse([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS}[a.n%3])
		s.later(a.lasts, func() { s.server.Refuse(0) })
	case "rates", "slow":
		h.fs.Decide(rates(a.what, a.n).Decider(a.n))
		s.later(a.lasts, func() { h.fs.Decide(nil) })
	case "clock":
		s.server.Clock(s.grain, time.Duration(a.n%7200)*time.Second-time.Hour)
	case "declare lost":
		s.scheduler.down(h.machine)
		s.scheduler.up(h.machine)
	}
}

// loseHost takes a host's mount away, and some time later the host.
func (s *system) loseHost(h *host, a action) error {
	h.fs.Lose([]syscall.Errno{syscall.EIO, syscall.ESTALE}[a.n%2])
	s.hosts = slices.DeleteFunc(s.hosts, func(o *host) bool { return o == h })
	fall := func() {
		_ = h.crash() // close tells
		if s.scheduler != nil {
			s.scheduler.down(h.machine)
		}
	}
	if s.scheduler != nil {
		s.scheduler.down(h.machine)
	}
	if a.n%4 < 2 {
		fall()
	} else {
		s.later(a.lasts, fall)
	}
	return s.boot(s.cache)
}

// finish mends everything, has a last control plane bring the Task to its end, and sees all others out.
func (s *system) finish() error {
	if err := s.add(s.late); err != nil {
		return err
	}
	for _, u := range s.undo {
		u.fn()
	}
	s.server.Refuse(0)
	for _, h := range s.hosts {
		h.fs.Decide(nil)
		h.fs.Resume()
		h.hitAll("node", syscall.SIGKILL)
		if !s.resumeEnd {
			s.wakeUp(h)
		} else if s.scheduler != nil { // what is stopped for good counts as lost
			s.scheduler.down(h.machine)
			s.scheduler.up(h.machine)
		}
	}
	last, err := s.lastHost()
	if err != nil {
		return err
	}
	s.say("the last control plane starts")
	if err := s.startNode(last, ""); err != nil {
		return err
	}
	began := time.Now()
	if err := s.until("the Task's end", func() bool {
		if time.Since(began) > zombieTime {
			s.wakeAll()
		}
		return readStatus(statusPath(s.dir, last.name)).Drained
	}); err != nil {
		return fmt.Errorf("%w: %+v", err, readStatus(statusPath(s.dir, last.name)))
	}
	s.say("all is done")
	last.hitAll("node", syscall.SIGTERM)
	defer func() { s.say("all has ended") }()
	if err := s.until("the control plane's end", func() bool { s.wakeAll(); return !s.hasNode(last) }); err != nil {
		return err
	}
	s.say("the control plane has ended")
	ended, asked := time.Now(), map[int]bool{}
	err = s.until("the workers' ends", func() bool {
		s.wakeAll()
		if time.Since(ended) > zombieTime {
			s.endLatecomers(asked)
		}
		n := 0
		for _, h := range s.hosts {
			n += h.hitAll("run", 0) + h.hitAll("user", 0)
		}
		return n == 0
	})
	if err != nil {
		s.accuse()
	}
	return err
}

// endLatecomers asks workers to end, once each, that no control plane knew: those that were born, after a long stop say, when none
// was there any more wait for the next one.
func (s *system) endLatecomers(asked map[int]bool) {
	var known []byte
	ledgers, _ := filepath.Glob(filepath.Join(s.spool(), "dispatch", "*", "ledger.jsonl"))
	for _, path := range ledgers {
		text, _ := os.ReadFile(path)
		known = append(known, text...)
	}
	for _, h := range s.hosts {
		for _, pid := range descendants(h.cmd.Process.Pid) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			_, id, found := bytes.Cut(line, []byte("\x00--id\x00"))
			id, _, _ = bytes.Cut(id, []byte{0})
			if found && !asked[pid] && !bytes.Contains(known, id) {
				asked[pid] = true
				s.say("%s came too late", id)
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
	}
}

// accuse tells which processes are still there, and has each write to its log what it does.
func (s *system) accuse() {
	for _, h := range s.hosts {
		for _, pid := range descendants(h.cmd.Process.Pid) {
			dir := fmt.Sprintf("/proc/%d/", pid)
			line, _ := os.ReadFile(dir + "cmdline")
			status, _ := os.ReadFile(dir + "status")
			state := regexp.MustCompile(`(?m)^(State|PPid|SigBlk|SigIgn|ShdPnd|SigPnd|NSpid):.*$`).FindAll(status, -1)
			where, _ := os.ReadFile(dir + "stack")
			s.say("%s still runs %d %q: %q\n%s", h.name, pid, bytes.ReplaceAll(line, []byte{0}, []byte{' '}), state, where)
			_ = syscall.Kill(pid, syscall.SIGQUIT) // it may just have ended
		}
		<-time.After(time.Second)
	}
}

// descendants are the processes below one, not itself.
func descendants(pid int) (all []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(append(all, child), descendants(child)...)
			}
		}
	}
	return all
}

// lastHost is where the last control plane runs: a new host, but for Local Tasks, whose workers are known to be dead on
// their own host only.
func (s *system) lastHost() (*host, error) {
	if s.local {
		h := s.hosts[0]
		return h, s.until("the killed control plane's end", func() bool { return !s.hasNode(h) })
	}
	if err := s.boot(faultfs.Options{}); err != nil {
		return nil, err
	}
	return s.hosts[len(s.hosts)-1], nil
}

// wakeAll has what failpoints stopped go on, each second anew: they stop workers also while these end.
func (s *system) wakeAll() {
	if time.Since(s.woken) < time.Second {
		return
	}
	s.woken = time.Now()
	for _, h := range s.hosts {
		s.wakeUp(h)
	}
}

func (s *system) wakeUp(h *host) {
	h.hitAll("run", syscall.SIGCONT)
	h.hitAll("user", syscall.SIGCONT)
}

func (s *system) until(what string, holds func() bool) error {
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited in vain for %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
	return nil
}

func (s *system) close() error {
	var errs []error
	for _, h := range s.past {
		h.fs.Resume() // nothing is left waiting
		if h.machine != nil {
			errs = append(errs, h.crash())
		}
	}
	if err := errors.Join(errs...); err != nil {
		buf := make([]byte, 1<<20)
		s.say("%v; what this process does:\n%s", err, buf[:runtime.Stack(buf, true)])
	}
	for _, h := range s.past {
		errs = append(errs, h.fs.Close())
	}
	if s.scheduler != nil {
		s.scheduler.close()
	}
	return errors.Join(errs...)
}

func (s *system) spool() string { return spool.Dir(s.tree("out"), s.spec.Task) }

// tail shows the ends of the logs.
func (s *system) tail() {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "log.*"))
	for _, path := range logs {
		data, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		s.say("%s:\n\t%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-25):], "\n\t"))
	}
}
