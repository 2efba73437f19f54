package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/internal/faultfs"
)

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

// tail shows the ends of the logs.
func (s *system) tail() {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "log.*"))
	for _, path := range logs {
		data, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		s.say("%s:\n\t%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-25):], "\n\t"))
	}
}
