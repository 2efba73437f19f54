package faults

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"tigerflow.dev/tigerflow/executor"
	"tigerflow.dev/tigerflow/internal/failpoint"
	"tigerflow.dev/tigerflow/internal/tether"
)

// jobs is an executor over a scheduler that runs workers on any host, as Slurm does. Control planes come and go; the
// scheduler, which is the test, stays.
type jobs struct{ socket string }

type jobRequest struct {
	Op    string
	Specs []executor.Spec
	IDs   []executor.WorkerID
	Kill  bool
}

type jobReply struct {
	Workers []executor.Worker
	Err     string
}

func (j *jobs) ask(ctx context.Context, r jobRequest) ([]executor.Worker, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", j.socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var reply jobReply
	if err := errors.Join(json.NewEncoder(c).Encode(r), json.NewDecoder(c).Decode(&reply)); err != nil {
		return nil, err
	}
	if reply.Err != "" {
		return nil, errors.New(reply.Err)
	}
	return reply.Workers, nil
}

func (j *jobs) Start(ctx context.Context, specs []executor.Spec) error {
	_, err := j.ask(ctx, jobRequest{Op: "start", Specs: specs})
	return err
}

func (j *jobs) List(ctx context.Context) ([]executor.Worker, error) {
	return j.ask(ctx, jobRequest{Op: "list"})
}

func (j *jobs) Stop(ctx context.Context, ids []executor.WorkerID, mode executor.StopMode) error {
	_, err := j.ask(ctx, jobRequest{Op: "stop", IDs: ids, Kill: mode == executor.Kill})
	return err
}

func (j *jobs) Forget(ctx context.Context, ids []executor.WorkerID) error {
	_, err := j.ask(ctx, jobRequest{Op: "forget", IDs: ids})
	return err
}

// job is a worker as the scheduler knows it.
type job struct {
	executor.Worker
	host *machine
}

// scheduler runs jobs on the hosts that are up.
type scheduler struct {
	binary string
	log    string
	listen net.Listener
	done   sync.WaitGroup

	mu     sync.Mutex
	hosts  []*machine
	jobs   map[executor.WorkerID]*job
	points []string // failpoints of the first jobs
	next   int
}

func newScheduler(socket, binary, log string, points []string) (*scheduler, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	s := &scheduler{binary: binary, log: log, listen: l, jobs: map[executor.WorkerID]*job{}, points: points}
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() { s.answer(c) })
		}
	})
	return s, nil
}

func (s *scheduler) close() {
	_ = s.listen.Close() // nothing is lost
	s.done.Wait()
}

func (s *scheduler) answer(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience)) // a stopped node asks for nothing
	var r jobRequest
	if json.NewDecoder(c).Decode(&r) != nil {
		return
	}
	_ = json.NewEncoder(c).Encode(s.do(r)) // it may be killed meanwhile
}

func (s *scheduler) do(r jobRequest) jobReply {
	s.mu.Lock()
	defer s.mu.Unlock()
	var reply jobReply
	switch r.Op {
	case "start":
		if len(s.hosts) == 0 {
			return jobReply{Err: "no host is up"}
		}
		for _, spec := range r.Specs {
			s.start(spec)
		}
	case "list":
		for _, j := range s.jobs {
			reply.Workers = append(reply.Workers, j.Worker)
		}
		slices.SortFunc(reply.Workers, func(a, b executor.Worker) int { return a.ID.Compare(b.ID) })
	case "stop":
		for _, id := range r.IDs {
			if j := s.jobs[id]; j != nil && !j.Phase.Terminal() {
				j.Phase = executor.Terminating
				signal := syscall.SIGTERM
				if r.Kill {
					signal = syscall.SIGKILL
				}
				j.host.order(order{Op: "signal", ID: id.String(), Signal: int(signal)})
			}
		}
	case "forget":
		for _, id := range r.IDs {
			if j := s.jobs[id]; j != nil && j.Phase.Terminal() {
				delete(s.jobs, id)
			}
		}
	}
	return reply
}

func (s *scheduler) start(spec executor.Spec) {
	if s.jobs[spec.ID] != nil {
		return
	}
	m := s.hosts[s.next%len(s.hosts)]
	s.next++
	env := []string{tether.CookieEnv + "=" + spec.ID.String()}
	if len(s.points) > 0 {
		env = append(env, failpoint.Env+"="+s.points[0])
		s.points = s.points[1:]
	}
	s.jobs[spec.ID] = &job{Worker: executor.Worker{ID: spec.ID, Phase: executor.Running, StartedAt: time.Now()}, host: m}
	m.order(order{
		Op: "start", ID: spec.ID.String(), Env: env, Log: s.log,
		Argv: append([]string{s.binary, "run", "--spool", spec.Spool, "--id", spec.ID.String()}, spec.Args...),
	})
}

// ended notes the end of a process.
func (s *scheduler) ended(n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := executor.ParseWorkerID(n.Ended)
	j := s.jobs[id]
	if err != nil || j == nil || j.Phase.Terminal() {
		return
	}
	switch {
	case j.Phase == executor.Terminating && n.Signal == int(syscall.SIGKILL):
		j.Phase = executor.Stopped
	case n.Code == 0 && n.Signal == 0:
		j.Phase = executor.Succeeded
	default:
		j.Phase = executor.Failed
	}
	j.Exit = &executor.Exit{Code: n.Code, Signal: syscall.Signal(n.Signal)}
	j.Witnessed, j.EndedAt = true, time.Now()
}

// up takes a host in.
func (s *scheduler) up(m *machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts = append(s.hosts, m)
}

// down gives up a host: it starts nothing there, and says that its jobs are lost, whether they have ended or not.
func (s *scheduler) down(m *machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts = slices.DeleteFunc(s.hosts, func(h *machine) bool { return h == m })
	for _, j := range s.jobs {
		if j.host == m && !j.Phase.Terminal() {
			j.Phase, j.Reason = executor.Lost, "NODE_FAIL"
		}
	}
}
