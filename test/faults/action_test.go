package faults

import (
	"slices"
	"syscall"
	"time"
)

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
