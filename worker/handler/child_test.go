package handler

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A killed worker takes its handler along, even one that does not look at its requests.
func TestHandlerDiesWithTheWorker(t *testing.T) {
	worker := exec.Command(self, "program", "worker", t.TempDir())
	worker.Stderr = os.Stderr
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	handler, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := worker.Wait(); err == nil {
		t.Fatal("the worker ended well")
	}
	// The orphan is ours now.
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(handler, &status, 0, nil); err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("the handler ended with %v, %v; want SIGKILL", status, err)
	}
}

// Pdeathsig is about threads: the end of the one that asked for a handler must not end the handler.
func TestHandlerOutlivesTheThreadThatStartedIt(t *testing.T) {
	f := setUp(t, theProgram("task"))
	started := make(chan Handler, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		h, err := Start(t.Context(), f.config)
		if err != nil {
			t.Error(err)
		}
		started <- h
	}()
	h := <-started
	for range 20 {
		f.run(h, "write x")
		if got := f.result(h); got.Failure != nil {
			t.Fatalf("result %+v", got)
		}
	}
	if err := f.close(h); err != nil {
		t.Error(err)
	}
}

func busyScript(t *testing.T) (path string, writer *os.File) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "script")
	writer, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	if _, err := writer.WriteString("#!/bin/sh\nexit 4\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := fork(canceled(t), launch{argv: []string{path}}); err == nil {
		t.Skip("this kernel starts programs that are open for writing")
	}
	return path, writer
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestStartOfABusyProgram(t *testing.T) {
	path, writer := busyScript(t)
	if _, err := startChild(canceled(t), launch{argv: []string{path}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { writer.Close() })
	c, err := startChild(t.Context(), launch{argv: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	<-c.dead
	if e := c.exit(); e.Code != 4 {
		t.Errorf("exit %+v, want status 4", e)
	}
	c.kill() // of a reaped process reaches nobody
}

func TestMortalReadsTheRestAndEnds(t *testing.T) {
	var ps pipes
	defer ps.close()
	ours, theirs, err := ps.fromChild()
	if err != nil {
		t.Fatal(err)
	}
	readsTheRestAndEnds(t, &mortal{f: ours}, theirs)
}

func TestRepliesAreReadToTheRestAndEnd(t *testing.T) {
	var ps pipes
	defer ps.close()
	replies, theirs, err := ps.replies()
	if err != nil {
		t.Fatal(err)
	}
	readsTheRestAndEnds(t, replies, theirs)
}

// dying is a stream from a process that may have left the pipe to others.
type dying interface {
	io.Reader
	died()
}

func readsTheRestAndEnds(t *testing.T, stream dying, theirs *os.File) {
	t.Helper()
	first := make(chan string)
	rest := make(chan string)
	go func() {
		buf := make([]byte, 10)
		n, _ := stream.Read(buf)
		first <- string(buf[:n])
		content, err := io.ReadAll(stream) // waits, for theirs stays open
		if err != nil {
			t.Error(err)
		}
		rest <- string(content)
	}()
	if _, err := theirs.WriteString("one"); err != nil {
		t.Fatal(err)
	}
	if got := <-first; got != "one" {
		t.Errorf("read %q", got)
	}
	if _, err := theirs.WriteString("two"); err != nil {
		t.Fatal(err)
	}
	stream.died()
	if got := <-rest; got != "two" {
		t.Errorf("read %q after the death, want two", got)
	}
}

// A daemon that writes on and on must not keep a dead process from being reported.
func TestMortalDoesNotReadForEver(t *testing.T) {
	var ps pipes
	defer ps.close()
	ours, theirs, err := ps.fromChild()
	if err != nil {
		t.Fatal(err)
	}
	doesNotReadForEver(t, &mortal{f: ours}, theirs)
	ours.Close()
}

func TestRepliesAreNotReadForEver(t *testing.T) {
	var ps pipes
	defer ps.close()
	replies, theirs, err := ps.replies()
	if err != nil {
		t.Fatal(err)
	}
	doesNotReadForEver(t, replies, theirs)
	replies.close()
}

// TestRepliesEndWithTheWriters: of a handler that has closed its end nothing more is to come, dead or not.
func TestRepliesEndWithTheWriters(t *testing.T) {
	var ps pipes
	defer ps.close()
	replies, theirs, err := ps.replies()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.WriteString("last"); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if content, err := io.ReadAll(replies); err != nil || string(content) != "last" {
		t.Errorf("read %q, %v", content, err)
	}
}

func doesNotReadForEver(t *testing.T, stream dying, theirs *os.File) {
	t.Helper()
	go func() {
		for err := error(nil); err == nil; {
			_, err = theirs.WriteString(strings.Repeat("x", 4096))
		}
	}()
	stream.died()
	if n, err := io.Copy(io.Discard, stream); err != nil || n > largestPipe+64<<10 {
		t.Errorf("read %d bytes, %v", n, err)
	}
}
