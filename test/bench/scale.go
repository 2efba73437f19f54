package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tigerflow.dev/tigerflow/dispatcher"
	"tigerflow.dev/tigerflow/spool"
)

// flat compares what a Task makes of a bare loop's speed at growing numbers of files with what it makes of it at the first. File
// systems slow down themselves, and the loop with them.
func flat(b *bench) ([]figure, error) {
	numbers, turns := []int{10_000, 100_000}, rounds
	if b.million {
		numbers, turns = append(numbers, 1_000_000), 1
	}
	var list []figure
	var first float64
	for i, n := range numbers {
		var c contest
		g, err := b.newGround(n * (2*turns + 1))
		err = b.on(g, err, n, func(g *ground) (err error) {
			c, err = b.compare(g, readWriteRename, ours{handler: "builtin: echo", durability: "None"}, n, turns)
			return err
		})
		if err != nil {
			return list, err
		}
		if i == 0 {
			first = c.ratio()
			continue
		}
		list = append(list, atLeast(fmt.Sprintf("echo, None: of the raw loop at %d files, of that at %d", n, numbers[0]), c.ratio()/first, 0.8,
			fmt.Sprintf("%.2f of %.2f: %s", c.ratio(), first, c.note(n, g.kind))))
	}
	return list, nil
}

// idleTime is how long a process with nothing to do is watched.
const idleTime = 30 * time.Second

// dispatcherAtScale starts a dispatcher, in a process of its own, on very many inputs: first all to be done, then all done.
func dispatcherAtScale(b *bench) (list []figure, err error) {
	files := 100_000
	if b.million {
		files = 1_000_000
	}
	g, err := b.newGround(100_000)
	err = b.on(g, err, 0, func(g *ground) error {
		if err := g.links("in", ".txt", files); err != nil {
			return err
		}
		first, peak, err := b.firstBatch(g)
		if err != nil {
			return err
		}
		list = append(list, atMost(fmt.Sprintf("dispatcher, %d files: first batch after start", files), first.Seconds(), 5, "s", ""))
		more, err := b.restart(g, files, peak)
		list = append(list, more...)
		return err
	})
	return list, err
}

// links makes files by linking, which is much quicker than writing them.
func (g *ground) links(folder, ext string, files int) error {
	if err := os.MkdirAll(g.path(folder), 0o755); err != nil {
		return err
	}
	const most = 50_000 // ext4 bounds the links of one file
	old := time.Now().Add(-time.Hour)
	for i := range files {
		name := g.path(folder, strings.TrimSuffix(inputName(i), ".txt")+ext)
		if i%most == 0 {
			if err := os.WriteFile(name, []byte("content\n"), 0o644); err != nil {
				return err
			}
			if err := os.Chtimes(name, old, old); err != nil {
				return err
			}
			continue
		}
		if err := os.Link(g.path(folder, strings.TrimSuffix(inputName(i-i%most), ".txt")+ext), name); err != nil {
			return err
		}
	}
	return os.Chtimes(g.path(folder), old, old)
}

func (g *ground) spool(out string) (*spool.Spool, error) {
	spec := g.spec("bench")
	spec.InputDir, spec.OutputDir, spec.OutputExt = spool.Name(g.path("in")), spool.Name(g.path(out)), ".out"
	return spool.Create(spool.Dir(g.path(out), "bench"), benchOwner, spec)
}

// spec is a Task without its directories.
func (g *ground) spec(task string) spool.Spec {
	return spool.Spec{
		Task: task, Type: spool.TypeLocal, WorkDir: spool.Name(g.dir), Concurrency: 1, Durability: spool.None,
		InputExt: ".txt", OutputExt: ".txt", Handler: spool.Handler{Builtin: "echo"}, Retry: spool.Retry{Attempts: 1, CrashLimit: 3},
	}
}

var benchOwner = spool.Owner{Plane: "bench", Name: "bench"}

// firstBatch is the time from the start of a dispatcher's process to its first batch, and the peak of its memory once it
// knows all inputs.
func (b *bench) firstBatch(g *ground) (first time.Duration, peak int64, err error) {
	s, err := g.spool("todo")
	if err != nil {
		return 0, 0, err
	}
	d, err := b.dispatch(s)
	if err != nil {
		return 0, 0, err
	}
	defer d.end()
	for {
		queue, err := s.Queue()
		if err != nil || len(queue) > 0 {
			first = time.Since(d.begun)
			if err == nil {
				err = d.await("listed")
			}
			return first, d.peakMiB(), err
		}
		select {
		case <-b.ctx.Done():
			return 0, 0, b.ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// restart makes a spool whose inputs are all done, has a dispatcher take it up, and watches it idle.
func (b *bench) restart(g *ground, files int, peak int64) ([]figure, error) {
	if err := g.links("done", ".out", files); err != nil {
		return nil, err
	}
	s, err := g.spool("done")
	if err != nil {
		return nil, err
	}
	if err := history(s, files); err != nil {
		return nil, err
	}
	d, err := b.dispatch(s)
	if err != nil {
		return nil, err
	}
	defer d.end()
	if err := d.await("drained"); err != nil {
		return nil, err
	}
	took := time.Since(d.begun)
	idle, err := b.idle(d.pid, idleTime)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("dispatcher, %d files", files)
	return []figure{
		atMost(name+": restart to all known", took.Seconds(), 10, "s", "all done before; output and input folder compared"),
		atMost(name+": peak memory", float64(max(peak, d.peakMiB())), 150, "MiB", ""),
		atMost(name+", all done: idle", idle.percent, 0.03, "% of a core", idle.note),
	}, nil
}

// history writes the ledger of a dispatcher that has seen all files done.
func history(s *spool.Spool, files int) error {
	lock, err := (&spool.Contender{Spool: s, Owner: benchOwner}).Try()
	if err != nil {
		return err
	}
	e := spool.Entry{Kind: spool.EntryAdopted}
	for i := range files {
		if e.Done = append(e.Done, spool.Name(inputName(i))); len(e.Done) == 1000 || i == files-1 {
			if err := lock.Append(e); err != nil {
				return err
			}
			e.Done = nil
		}
	}
	return lock.Close()
}

// dispatching is a dispatcher in a process of its own.
type dispatching struct {
	pid   int
	begun time.Time
	said  *bufio.Scanner
	end   func()
}

func (b *bench) dispatch(s *spool.Spool) (*dispatching, error) {
	cmd := b.start(b.self, "dispatch", s.Path())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d := &dispatching{begun: time.Now(), said: bufio.NewScanner(out)}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d.pid = cmd.Process.Pid
	d.end = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	return d, nil
}

// await waits until the process has said a word.
func (d *dispatching) await(word string) error {
	for d.said.Scan() {
		if d.said.Text() == word {
			return nil
		}
	}
	return fmt.Errorf("the dispatcher has ended before it was %s", word)
}

func (d *dispatching) peakMiB() int64 {
	kib, err := statusKiB(d.pid, "VmHWM")
	if err != nil {
		return 0
	}
	return kib / 1024
}

// dispatch is the process that dispatches. It says when it has listed the inputs, and when nothing is left to do.
func dispatch(dir string, out io.Writer) error {
	s, err := spool.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	lock, err := (&spool.Contender{Spool: s, Owner: benchOwner, TakeOver: true}).Try()
	if err != nil {
		return err
	}
	var d *dispatcher.Dispatcher
	said := map[string]bool{}
	say := func(word string, now bool) {
		if now && !said[word] {
			said[word] = true
			fmt.Fprintln(out, word)
		}
	}
	d = dispatcher.New(lock, dispatcher.Config{
		Settle: 2 * time.Second, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		OnChange: func() {
			snap := d.Snapshot()
			say("listed", snap.Pending > 0 && snap.Settling == 0)
			say("drained", snap.Drained)
		},
	})
	return d.Run(context.Background()) // until it is killed
}
