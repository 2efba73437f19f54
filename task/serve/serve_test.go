package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// Echoing does to a file what its name tells it.
type Echoing struct {
	FailSetup    bool `param:"fail_setup"`
	FailTeardown bool `param:"fail_teardown"`

	seen    int // written by Run, to no effect
	gate    chan struct{}
	running *atomic.Int32
}

func (e *Echoing) Setup(context.Context) error {
	if e.FailSetup {
		return errors.New("no model")
	}
	return nil
}

func (e *Echoing) Teardown(context.Context) error {
	if e.FailTeardown {
		panic("stuck")
	}
	return nil
}

func (e Echoing) Run(_ context.Context, input, output string) error {
	e.seen++
	if e.seen > 1 {
		return errors.New("Run saw what another Run wrote")
	}
	switch filepath.Base(input) {
	case "panic":
		panic("out of cheese")
	case "wait":
		e.running.Add(1)
		<-e.gate
		e.running.Add(-1)
	}
	return os.WriteFile(output, []byte(input), 0o600)
}

// peer is the worker's end of a session.
type peer struct {
	t        *testing.T
	requests io.WriteCloser
	replies  *protocol.Reader
	blame    *os.File
	status   chan int
}

func serveInMemory(t *testing.T, task instance) *peer {
	requestsR, requests := io.Pipe()
	repliesR, replies := io.Pipe()
	blame, err := os.Create(filepath.Join(t.TempDir(), "current"))
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, requests: requests, replies: protocol.NewReader(repliesR), blame: blame, status: make(chan int, 1)}
	go func() {
		p.status <- newSession(requestsR, replies, blame).serve(task)
		replies.Close()
		requestsR.Close()
	}()
	t.Cleanup(func() {
		requests.Close()
		repliesR.Close()
		blame.Close()
	})
	return p
}

func (p *peer) send(line []byte) {
	p.t.Helper()
	if _, err := p.requests.Write(line); err != nil {
		p.t.Error(err)
	}
}

func (p *peer) setup(params string, concurrency int) {
	p.t.Helper()
	s := protocol.Setup{Task: "T", Concurrency: concurrency}
	if params != "" {
		if err := json.Unmarshal([]byte(params), &s.Params); err != nil {
			p.t.Fatal(err)
		}
	}
	line, err := protocol.AppendSetup(nil, s)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(line)
}

func (p *peer) run(id uint64, input, output string, slot int) {
	p.t.Helper()
	p.send(protocol.AppendRun(nil, protocol.Run{
		ID: id, Input: spool.Name(input), Output: spool.Name(output), Slot: slot, Mark: "mark",
	}))
}

func (p *peer) expect(op protocol.Op) protocol.Reply {
	p.t.Helper()
	line, err := p.replies.Next()
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", op, err)
	}
	r, err := protocol.DecodeReply(line)
	if err != nil {
		p.t.Fatal(err)
	}
	if r.Op != op {
		p.t.Fatalf("reply %+v, want %s", r, op)
	}
	return r
}

func (p *peer) expectExit(want int) {
	p.t.Helper()
	if got := <-p.status; got != want {
		p.t.Errorf("exit status %d, want %d", got, want)
	}
}

func (p *peer) marks() map[int]string {
	p.t.Helper()
	content, err := os.ReadFile(p.blame.Name())
	if err != nil {
		p.t.Fatal(err)
	}
	return protocol.ReadMarks(content)
}

func TestServe(t *testing.T) {
	p := serveInMemory(t, newInstance[Echoing]())
	p.setup("", 1)
	p.expect(protocol.OpReady)
	out := filepath.Join(t.TempDir(), "out")
	go func() {
		p.run(1, "/in/a \xff", out, 0)
		p.run(2, "/in/panic", out, 0)
		p.run(3, "/in/b", filepath.Join(out, "absent"), 0)
		p.send(protocol.AppendTeardown(nil))
	}()
	if r := p.expect(protocol.OpDone); r.ID != 1 || r.Seconds < 0 || r.Seconds > 60 {
		t.Errorf("first reply %+v", r)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "/in/a \xff" {
		t.Errorf("output %q, %v", got, err)
	}
	if r := p.expect(protocol.OpError); r.ID != 2 || r.Type != "panic" || r.Message != "out of cheese" ||
		!strings.Contains(r.Traceback, "Echoing.Run") {
		t.Errorf("second reply %+v", r)
	}
	if r := p.expect(protocol.OpError); r.ID != 3 || r.Type != "PathError" || r.Errno == 0 {
		t.Errorf("third reply %+v", r)
	}
	if marks := p.marks(); len(marks) != 0 {
		t.Errorf("marks are left: %v", marks)
	}
	p.expect(protocol.OpBye)
	p.expectExit(0)
}

// Between files that come together a slot is not cleared, but overwritten; behind the last one it is cleared.
func TestServeLeavesTheMarkToTheNext(t *testing.T) {
	task := newInstance[Echoing]()
	e := task.pointer.(*Echoing)
	e.gate, e.running = make(chan struct{}), new(atomic.Int32)
	p := serveInMemory(t, task)
	p.setup("", 1)
	p.expect(protocol.OpReady)
	out := spool.Name(filepath.Join(t.TempDir(), "out"))
	both := protocol.AppendRun(nil, protocol.Run{ID: 1, Input: "/in/a", Output: out, Mark: "first"})
	both = protocol.AppendRun(both, protocol.Run{ID: 2, Input: "/in/wait", Output: out, Mark: "second"})
	go p.send(both)
	p.expect(protocol.OpDone)
	waitFor(t, func() bool { return e.running.Load() == 1 })
	if marks := p.marks(); len(marks) != 1 || marks[0] != "second" {
		t.Errorf("marks are %v, want that of the file in hand", marks)
	}
	close(e.gate)
	p.expect(protocol.OpDone)
	if marks := p.marks(); len(marks) != 0 {
		t.Errorf("marks are left: %v", marks)
	}
	go p.send(protocol.AppendTeardown(nil))
	p.expect(protocol.OpBye)
	p.expectExit(0)
}

func TestServeConcurrently(t *testing.T) {
	const concurrency, files = 3, 7
	task := newInstance[Echoing]()
	e := task.pointer.(*Echoing)
	e.gate, e.running = make(chan struct{}), new(atomic.Int32)
	p := serveInMemory(t, task)
	p.setup("", concurrency)
	p.expect(protocol.OpReady)
	out := filepath.Join(t.TempDir(), "out")
	go func() {
		for id := range files {
			p.run(uint64(id), "/in/wait", out, id%concurrency)
		}
		p.send(protocol.AppendTeardown(nil))
	}()
	for left := files; left > 0; left-- {
		want := int32(min(left, concurrency))
		waitFor(t, func() bool { return e.running.Load() == want })
		if marks := p.marks(); left == files && len(marks) != concurrency {
			t.Errorf("marks are %v, want one for each of %d files in hand", marks, concurrency)
		}
		e.gate <- struct{}{}
		p.expect(protocol.OpDone)
	}
	p.expect(protocol.OpBye)
	p.expectExit(0)
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited 20 s in vain")
		}
	}
}

func TestServeFailsOutsideFiles(t *testing.T) {
	tests := []struct {
		name    string
		task    instance
		params  string
		stage   protocol.Stage
		message string
	}{
		{
			"task by pointer", newInstance[*Echoing](), "", protocol.StageLoad,
			"a task must be a struct type, not *serve.Echoing: give Run a value receiver and name the struct in task.Main[…]()",
		},
		{
			"Setup that would not be called", newInstance[oddSetup](), "", protocol.StageLoad,
			"method Setup of oddSetup must be func(context.Context) error",
		},
		{
			"Teardown that would not be called", newInstance[oddTeardown](), "", protocol.StageLoad,
			"method Teardown of oddTeardown must be func(context.Context) error",
		},
		{"field of no use", newInstance[oddField](), "", protocol.StageLoad, "field F: a param cannot be a func()"},
		{
			"unknown param", newInstance[Echoing](), `{"x": 1}`, protocol.StageParams,
			`unknown param "x": known are fail_setup, fail_teardown`,
		},
		{"setup", newInstance[Echoing](), `{"fail_setup": true}`, protocol.StageSetup, "no model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := serveInMemory(t, tt.task)
			p.setup(tt.params, 1)
			if r := p.expect(protocol.OpFailed); r.Stage != tt.stage || r.Message != tt.message {
				t.Errorf("reply %+v, want stage %s and %q", r, tt.stage, tt.message)
			}
			p.expectExit(1)
		})
	}
}

type idle struct{}

func (idle) Run(context.Context, string, string) error { return nil }

type oddSetup struct{ idle }

func (oddSetup) Setup() {}

type oddTeardown struct{ idle }

func (oddTeardown) Teardown(context.Context) {}

type oddField struct {
	idle
	F func() `param:"f"`
}

func TestServeTeardownFails(t *testing.T) {
	p := serveInMemory(t, newInstance[Echoing]())
	p.setup(`{"fail_teardown": true}`, 1)
	p.expect(protocol.OpReady)
	p.send(protocol.AppendTeardown(nil))
	if r := p.expect(protocol.OpFailed); r.Stage != protocol.StageTeardown || r.Message != "stuck" {
		t.Errorf("reply %+v", r)
	}
	p.expectExit(0)
}

func TestServeLosesTheWorker(t *testing.T) {
	for name, before := range map[string]string{
		"at once":                 "",
		"in the middle of a line": `{"op":"set`,
		"setup is not first":      `{"op":"teardown"}` + "\n",
		"nonsense":                "Hello\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := serveInMemory(t, newInstance[Echoing]())
			if before != "" {
				p.send([]byte(before))
			}
			p.requests.Close()
			p.expectExit(1)
		})
	}
}

// A blame file without room fails the file, with the errno by which the worker knows to wait for space.
func TestServeWithoutRoomForBlame(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	var replies strings.Builder
	s := newSession(strings.NewReader(""), &replies, full)
	ran := false
	task := instance{run: func(context.Context, string, string) error { ran = true; return nil }}
	if err := s.run(t.Context(), task, protocol.Run{ID: 1, Input: "/i", Output: "/o"}, false); err != nil {
		t.Fatal(err)
	}
	if ran {
		t.Error("user code ran without its mark")
	}
	if got := replies.String(); !strings.Contains(got, `"errno":28}`) {
		t.Errorf("reply %s, want errno 28", got)
	}
}
