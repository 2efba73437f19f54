package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/cli"
	"tigerflow.dev/tigerflow/spool"
)

// prints appends to the log of a worker, as one does that others append to as well.
func (b *books) prints(task, worker, text string) {
	b.Helper()
	f, err := os.OpenFile(b.locks[task].Spool().LogPath(worker), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	b.must(err)
	_, err = f.WriteString(text)
	b.must(err)
	b.must(f.Close())
}

// rotate makes room in a log.
func (b *books) rotate(task, worker string) {
	b.Helper()
	path := b.locks[task].Spool().LogPath(worker)
	text, err := os.ReadFile(path)
	b.must(err)
	b.must(os.WriteFile(spool.OldLogPath(path), text, 0o666))
	b.must(os.Truncate(path, 0))
}

func (b *books) written(task, worker string, ago time.Duration) {
	b.Helper()
	at := time.Now().Add(-ago)
	b.must(os.Chtimes(b.locks[task].Spool().LogPath(worker), at, at))
}

func TestLogs(t *testing.T) {
	b := newBooks(t)
	b.want(b.tigerflow(0, "logs", b.path("out")), "")
	b.want(b.tigerflow(cli.ExitUsage, "logs", b.path("out"), "--worker", "x"), "error: --worker x: no worker has left a log\n")
	b.prints("scan", "k.0.r1", "old\n")
	b.rotate("scan", "k.0.r1")
	b.prints("scan", "k.0.r1", "one\ntwo")
	b.want(b.tigerflow(0, "logs", b.path("out")), "old\none\ntwo\n")
	b.prints("count", "k.0.r1", "three\n-\nfour\n")
	b.prints("count", "k.1.r2", "five\n")
	b.written("count", "k.0.r1", time.Hour)
	b.written("count", "k.1.r2", 2*time.Hour)
	b.put("out/.tigerflow/tasks/count/logs/odd")
	b.want(b.tigerflow(0, "logs", b.path("out")), `count/1.r2: five
count/0.r1: three
count/0.r1: -
count/0.r1: four
scan/0.r1: old
scan/0.r1: one
scan/0.r1: two
`)
	b.want(b.tigerflow(0, "logs", b.path("out"), "--task", "count", "--worker", "1.r2"), "five\n")
	b.want(b.tigerflow(0, "logs", b.path("out"), "--worker", "k.1.r2"), "five\n")
	b.want(b.tigerflow(cli.ExitUsage, "logs", b.path("out"), "--worker", "7.r7"), "error: --worker 7.r7: there are logs of count/1.r2, count/0.r1, scan/0.r1\n")
}

// TestLogsFollow: whole lines as they come, over rotations, and those of new workers and Tasks.
func TestLogsFollow(t *testing.T) {
	b := newBooks(t)
	b.prints("scan", "k.0.r1", "one\ntw")
	out, ended := &paper{}, make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- run(ctx, []string{"logs", b.path("out"), "-f"}, out, out) }()
	shown := "scan/0.r1: one\n"
	out.wait(b, shown)
	b.prints("scan", "k.0.r1", "o\nthree\n")
	shown += "scan/0.r1: two\nscan/0.r1: three\n"
	out.wait(b, shown)
	b.prints("scan", "k.0.r1", "fou")
	b.rotate("scan", "k.0.r1")
	b.prints("scan", "k.0.r1", "r\n")
	shown += "scan/0.r1: four\n"
	out.wait(b, shown)
	for i := range 3 {
		b.prints("shout", fmt.Sprintf("k.%d.r1", i), "hello\n")
		shown += fmt.Sprintf("shout/%d.r1: hello\n", i)
		out.wait(b, shown)
	}
	b.dispatch("late", "scan", ".txt", ".late", b.path("out", "late"))
	b.prints("late", "k.0.r1", "no end")
	b.prints("late", "k.1.r1", "seen\n")
	shown += "late/1.r1: seen\n"
	out.wait(b, shown)
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.want(out.String(), shown+"late/0.r1: no end\n")
}
