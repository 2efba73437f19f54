package handler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
	"tigerflow.dev/tigerflow/task/serve"
)

// The test binary is also the program of an author: `program NAME`.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		if os.Args[1] == "program" {
			os.Exit(programs()[os.Args[2]]())
		}
	}
	// As a worker does, so that the rest of a killed group is ours to wait for.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// self is the test binary, whatever folder it runs in.
var self, _ = os.Executable()

func programs() map[string]func() int {
	return map[string]func() int{
		"task": serve.Serve[scripted],
		// Programs that are no proper handlers.
		"exits":      func() int { fmt.Println("leaving"); return 3 },
		"mute":       func() int { waitForKill(); return 0 },
		"babbles":    func() int { reply(`Hello`); waitForKill(); return 0 },
		"presumes":   func() int { reply(`{"op":"ready"}`, `{"op":"done","id":99,"seconds":1.0}`); waitForKill(); return 0 },
		"leaves":     func() int { reply(`{"op":"ready"}`, `{"op":"bye"}`); waitForKill(); return 0 },
		"stays":      func() int { reply(`{"op":"ready"}`); awaitTeardown(); reply(`{"op":"bye"}`); waitForKill(); return 0 },
		"wrong word": func() int { reply(`{"op":"bye"}`); waitForKill(); return 0 },
		"deaf": func() int {
			signal.Ignore(syscall.SIGTERM)
			reply(`{"op":"ready"}`)
			waitForKill()
			return 0
		},
		"lingers": func() int { // a daemon of its holds the pipes
			daemon()
			reply(`{"op":"ready"}`)
			return 7
		},
		"worker": func() int { // tells of its handler and waits to be killed
			dir := os.Args[3]
			log, err := os.Create(filepath.Join(dir, "log"))
			if err != nil {
				return 1
			}
			h, err := Start(context.Background(), Config{
				Spec: &spool.Spec{WorkDir: spool.Name(dir), Handler: theProgram("deaf")}, Log: log, Current: log,
				Results: make(chan Result, 1),
			})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			fmt.Println(h.(*served).child.pid)
			waitForKill()
			return 0
		},
	}
}

func waitForKill() {
	for {
		_ = unix.Pause() // the runtime's own signals end it
	}
}

func awaitTeardown() {
	requests := protocol.NewReader(os.NewFile(protocol.RequestFD, "requests"))
	for {
		if line, err := requests.Next(); err != nil || strings.Contains(string(line), `"teardown"`) {
			return
		}
	}
}

func reply(lines ...string) {
	for _, line := range lines {
		if _, err := unix.Write(protocol.ReplyFD, []byte(line+"\n")); err != nil {
			os.Exit(1)
		}
	}
}

// daemon starts a child in a session of its own that keeps every descriptor of the handler, and logs its number.
func daemon() {
	cmd := exec.Command("sleep", "1000")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	for fd := protocol.RequestFD; fd <= protocol.BlameFD; fd++ {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), "inherited"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
}

// scripted does to a file what its content says.
type scripted struct {
	Setups    string `param:"setup" default:""`
	Teardowns string `param:"teardown" default:""`
}

func (s *scripted) Setup(context.Context) error    { return act(s.Setups, "") }
func (s *scripted) Teardown(context.Context) error { return act(s.Teardowns, "") }

func (s scripted) Run(_ context.Context, input, output string) error {
	script, err := os.ReadFile(input)
	if err != nil {
		return err
	}
	return act(string(script), output)
}

func act(script, output string) error {
	verb, rest, _ := strings.Cut(script, " ")
	switch verb {
	case "", "nothing":
		return nil
	case "print":
		fmt.Println(rest)
		return nil
	case "write":
		return os.WriteFile(output, []byte(rest), 0o600)
	case "env":
		return os.WriteFile(output, []byte(os.Getenv(rest)), 0o600)
	case "append": // to a file that tells what happened
		f, err := os.OpenFile(rest, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("x")
		return err
	case "fail":
		return errors.New(rest)
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(5)
	case "kill":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
		waitForKill()
	case "mute": // closes what is not its own
		if err := syscall.Close(protocol.ReplyFD); err != nil {
			return err
		}
		waitForKill()
	case "spawn":
		return spawn(output)
	}
	return fmt.Errorf("cannot %q", verb)
}

// spawn starts a child that outlives everything but a kill of the group, then hangs.
func spawn(output string) error {
	cmd := exec.Command("sh", "-c", "trap '' TERM INT HUP; sleep 1000")
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(output, fmt.Append(nil, cmd.Process.Pid), 0o600); err != nil {
		return err
	}
	waitForKill()
	return nil
}

// fixture is a folder with a Config for it.
type fixture struct {
	*testing.T
	dir     string
	config  Config
	results chan Result
	ended   bool // the last handler's end was received
	next    uint64
}

func setUp(t *testing.T, h spool.Handler) *fixture {
	t.Helper()
	dir := t.TempDir()
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if name == "current" {
			f, err = os.Create(filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	results := make(chan Result, 512)
	return &fixture{T: t, dir: dir, results: results, config: Config{
		Spec:    &spool.Spec{Task: "Scripted", WorkDir: spool.Name(dir), InputExt: ".in", Handler: h, Concurrency: 1},
		Worker:  "key.0.r1",
		Epoch:   "4",
		Results: results,
		Grace:   2 * time.Minute,
		Log:     open("log"),
		Current: open("current"),
	}}
}

// theProgram is a handler that this test binary plays.
func theProgram(name string) spool.Handler {
	return spool.Handler{Program: &spool.ProgramHandler{Path: spool.Name(self), Args: []string{"program", name}}}
}

func (f *fixture) start() Handler {
	f.Helper()
	h, err := Start(f.Context(), f.config)
	if err != nil {
		f.Fatal(err)
	}
	f.ended = false
	f.Cleanup(func() {
		h.Kill()
		for !f.ended {
			f.ended = (<-f.results).Ended
		}
	})
	return h
}

func (f *fixture) startError() error {
	f.Helper()
	h, err := Start(f.Context(), f.config)
	if err == nil {
		h.Kill()
		f.Fatal("it started")
	}
	return err
}

// request makes the files for one run: an input with the content, and an empty output.
func (f *fixture) request(name, content string) Request {
	f.Helper()
	f.next++
	r := Request{
		ID:     f.next,
		Input:  filepath.Join(f.dir, name+".in"),
		Output: filepath.Join(f.dir, fmt.Sprintf("%d.out", f.next)),
		Mark:   fmt.Sprintf("mark %d", f.next),
	}
	for path, content := range map[string]string{r.Input: content, r.Output: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	return r
}

func (f *fixture) run(h Handler, content string) Request {
	f.Helper()
	r := f.request(fmt.Sprintf("in%d", f.next), content)
	if err := h.Run(r); err != nil {
		f.Fatal(err)
	}
	return r
}

// result waits for the next result.
func (f *fixture) result(h Handler) Result {
	f.Helper()
	select {
	case r := <-f.results:
		if r.Ended {
			f.ended = true
			f.Fatalf("results ended: %s, %v", h.Exit(), h.Exit().Err)
		}
		return r
	case <-time.After(2 * time.Minute):
		f.Fatal("no result in 30 s")
	}
	panic("unreachable")
}

// expectDone takes the next result, which must be that of r with this output.
func (f *fixture) expectDone(h Handler, r Request, output string) {
	f.Helper()
	got := f.result(h)
	if got.ID != r.ID || got.Failure != nil || got.Seconds < 0 || got.Crashed || got.ExitCode != 0 {
		f.Errorf("result %+v %+v, want success of file %d", got, got.Failure, r.ID)
	}
	if content := f.read(r.Output); content != output {
		f.Errorf("output %q, want %q", content, output)
	}
}

// expectFailure takes the next result, which must be a failure of r.
func (f *fixture) expectFailure(h Handler, r Request, kind, message string) *protocol.Failure {
	f.Helper()
	got := f.result(h)
	if got.ID != r.ID || got.Failure == nil || got.Failure.Type != kind || !strings.Contains(got.Failure.Message, message) {
		f.Fatalf("result %+v %+v, want %s: %s of file %d", got, got.Failure, kind, message, r.ID)
	}
	return got.Failure
}

func (f *fixture) expectMarks(want ...string) {
	f.Helper()
	got := slices.Collect(maps.Values(protocol.ReadMarks([]byte(f.read("current")))))
	if !slices.Equal(got, want) {
		f.Errorf("marks %q, want %q", got, want)
	}
}

func (f *fixture) expectEnd(h Handler) Exit {
	f.Helper()
	select {
	case r := <-f.results:
		if !r.Ended {
			f.Fatalf("a result %+v, want the end", r)
		}
		f.ended = true
	case <-time.After(2 * time.Minute):
		f.Fatal("no end in 30 s")
	}
	return h.Exit()
}

func (f *fixture) read(path string) string {
	f.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return string(content)
}

func (f *fixture) close(h Handler) error {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return h.Close(ctx)
}

func (f *fixture) waitFor(what string, condition func() bool) {
	f.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("waited 30 s for %s", what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// childOf finds a live child of this process, 0 if there is none.
func childOf(t *testing.T) int {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue // the thread ended
		}
		for pid := range strings.FieldsSeq(string(content)) {
			if stat, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(stat), ") Z ") {
				n, _ := strconv.Atoi(pid)
				return n
			}
		}
	}
	return 0
}
