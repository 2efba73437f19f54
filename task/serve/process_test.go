package serve

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/task/protocol"
)

const asProgram = "TIGERFLOW_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Serve[Processing]())
	}
	os.Exit(m.Run())
}

// Processing is a task that looks at its own process.
type Processing struct{}

func (Processing) Run(_ context.Context, input, output string) error {
	switch filepath.Base(input) {
	case "hang":
		select {}
	case "child":
		// The child ends by the signal if its disposition is the default one.
		cmd := exec.Command("sh", "-c", `ls /proc/$$/fd; env; kill -TERM $$; kill -INT $$; echo survived`)
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Run(); err == nil {
			return errors.New("the child outlived SIGTERM")
		}
		return os.WriteFile(output, out.Bytes(), 0o600)
	}
	return nil
}

type handlerProcess struct {
	*peer
	cmd *exec.Cmd
}

func startHandler(t *testing.T) *handlerProcess {
	t.Helper()
	requestsR, requests := pipe(t)
	replies, repliesW := pipe(t)
	blame, err := os.Create(filepath.Join(t.TempDir(), "current"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blame.Close() })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=1", protocol.EnvHandler+"=1")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{requestsR, repliesW, blame}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	requestsR.Close()
	repliesW.Close()
	h := &handlerProcess{cmd: cmd, peer: &peer{
		t: t, requests: requests, replies: protocol.NewReader(replies), blame: blame,
	}}
	t.Cleanup(func() { cmd.Process.Kill() })
	h.setup("", 1)
	h.expect(protocol.OpReady)
	return h
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

func TestChildrenOfUserCodeInheritNothing(t *testing.T) {
	h := startHandler(t)
	out := filepath.Join(t.TempDir(), "out")
	h.run(1, "/in/child", out, 0)
	h.expect(protocol.OpDone)
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(content))
	for _, fd := range []string{"3", "4", "5"} {
		if slices.Contains(lines, fd) {
			t.Errorf("the child has descriptor %s", fd)
		}
	}
	if strings.Contains(string(content), protocol.EnvHandler) || strings.Contains(string(content), "survived") {
		t.Errorf("the child saw\n%s", content)
	}
}

func TestSignalsDoNotEndAHandler(t *testing.T) {
	h := startHandler(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
		if err := h.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	h.run(1, "/in/a", "/out/a", 0)
	h.expect(protocol.OpDone)
	h.send(protocol.AppendTeardown(nil))
	h.expect(protocol.OpBye)
	if err := h.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestHandlerEndsWithItsWorker(t *testing.T) {
	h := startHandler(t)
	h.run(1, "/in/hang", "/out/a", 0)
	waitFor(t, func() bool { return len(h.marks()) == 1 })
	h.requests.Close()
	var exit *exec.ExitError
	if err := h.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the handler ended with %v, want exit status 1", err)
	}
}

func TestServeByHand(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=1", protocol.EnvHandler+"=1")
	out, err := cmd.CombinedOutput()
	const want = "TIGERFLOW_HANDLER is set but descriptors 3 to 5 are not open: only a worker starts a handler\n"
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() == 0 || string(out) != want {
		t.Errorf("%v and %q, want %q", err, out, want)
	}
}
