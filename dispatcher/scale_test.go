package dispatcher

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/spool"
)

var (
	scaleFiles = flag.Int("scale.files", 100_000, "inputs of BenchmarkScale")
	scaleIdle  = flag.Duration("scale.idle", 10*time.Second, "how long BenchmarkScale watches a dispatcher that has nothing to do")
)

const late = 1000 // inputs that come while no dispatcher runs

// BenchmarkScale takes a Task through its life, each time in a process of its own: found, worked off, restarted, idle. It
// prints the greatest resident size of each phase, and how long a worker waits for its first batch. The worker is a
// scripted one: it links outputs, so the rate is the dispatcher's and the file system's.
func BenchmarkScale(b *testing.B) {
	for b.Loop() {
		files := *scaleFiles
		r := newRig(b)
		links := &linker{r: r}
		for i := range files {
			links.link(r.in(recording(i, ".txt")))
		}
		r.age(r.in(""), time.Hour)

		p := startScale(b, r.s.Path(), files)
		b.ReportMetric(p.await("first"), "first-batch-s")
		b.ReportMetric(p.await("known"), "all-known-s")
		b.ReportMetric(p.peak(), "found-MB")
		began := time.Now()
		links.work(r.worker(0, 1), func() bool { return p.told("drained") })
		b.ReportMetric(float64(files)/time.Since(began).Seconds(), "worked-files/s")
		b.ReportMetric(p.peak(), "worked-MB")
		p.stop()

		for i := range late {
			links.link(r.in(recording(files+i, ".txt")))
		}
		r.age(r.in(""), time.Hour)
		p = startScale(b, r.s.Path(), files+late)
		b.ReportMetric(p.await("first"), "restart-first-batch-s")
		b.ReportMetric(p.await("known"), "restart-all-known-s")
		links.work(r.worker(1, 1), func() bool { return p.told("drained") })
		b.ReportMetric(p.peak(), "restarted-MB")
		share, calls := p.idle(*scaleIdle)
		b.ReportMetric(100*share, "idle-%")
		b.ReportMetric(calls, "idle-calls/poll")
		b.ReportMetric(p.peak(), "idle-MB")
		p.stop()
	}
	b.ReportMetric(0, "ns/op") // means nothing here
}

func recording(i int, ext string) string { return fmt.Sprintf("recording-%07d%s", i, ext) }

// linker makes files cheaply.
type linker struct {
	r    *rig
	made int
}

func (l *linker) link(path string) {
	l.r.t.Helper()
	seed := filepath.Join(l.r.root, "seed")
	if l.made%10_000 == 0 { // file systems bound the links of one file
		_ = os.Remove(seed)
		must(l.r.t, os.WriteFile(seed, nil, 0o666))
		l.r.age(seed, time.Hour)
	}
	l.made++
	must(l.r.t, os.Link(seed, path))
}

// work does what the queue has until the Task is drained.
func (l *linker) work(c *script, drained func() bool) {
	l.r.t.Helper()
	seconds := slices.Repeat([]float64{1e-6}, batchMost)
	eventually(l.r.t, "the Task to be drained", func() bool {
		for h := c.claim(); h != nil; h = c.claim() {
			for _, name := range h.files {
				l.link(l.r.out(strings.TrimSuffix(string(name), ".txt") + ".out"))
			}
			c.tell(h, spool.Event{Kind: spool.EventDone, Seconds: seconds[:len(h.files)]}, h.files...)
		}
		return drained()
	})
	c.exit(spool.ExitIdle)
}

// roleScale dispatches, tells what it sees with the seconds since its start, and ends when its stdin does.
func roleScale(args []string) error {
	began := time.Now()
	files, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	s, err := spool.Open(args[0])
	if err != nil {
		return err
	}
	lock, err := (&spool.Contender{Spool: s, Owner: testOwner, TakeOver: true}).Try()
	if err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	d := New(lock, Config{Settle: 2 * time.Second, Log: quietLog(), OnChange: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- d.Run(ctx) }()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	conditions := []struct {
		what  string
		holds func() bool
	}{
		{"first", func() bool { ids, err := s.Queue(); return err == nil && len(ids) > 0 }},
		{"known", func() bool { return d.Snapshot().Staged == files }},
		{"drained", func() bool { return d.Snapshot().Staged == files && d.Snapshot().Drained }},
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, c := range conditions {
		for !c.holds() {
			select {
			case <-tick.C:
			case <-changed:
			case err := <-result:
				return errors.Join(err, lock.Close())
			}
		}
		fmt.Printf("%s %.3f\n", c.what, time.Since(began).Seconds())
	}
	tick.Stop()
	return errors.Join(<-result, lock.Close())
}

// scale is such a process.
type scale struct {
	b      *testing.B
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string
	events map[string]float64
}

func startScale(b *testing.B, dir string, files int) *scale {
	b.Helper()
	p := &scale{b: b, cmd: exec.CommandContext(b.Context(), os.Args[0], dir, strconv.Itoa(files)), lines: make(chan string, 10), events: map[string]float64{}}
	p.cmd.Env = append(os.Environ(), roleVar+"=scale")
	p.cmd.Stderr = os.Stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	must(b, err)
	out, err := p.cmd.StdoutPipe()
	must(b, err)
	must(b, p.cmd.Start())
	go func() { // ends with the process
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// told reports whether the process has told of something.
func (p *scale) told(what string) bool {
	select {
	case line := <-p.lines:
		p.take(line)
	default:
	}
	_, ok := p.events[what]
	return ok
}

func (p *scale) take(line string) {
	p.b.Helper()
	what, at, _ := strings.Cut(line, " ")
	seconds, err := strconv.ParseFloat(at, 64)
	must(p.b, err)
	p.events[what] = seconds
}

// await waits until the process tells of something; it returns the seconds since its start.
func (p *scale) await(what string) float64 {
	p.b.Helper()
	for {
		if at, ok := p.events[what]; ok {
			return at
		}
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.b.Fatalf("the dispatcher has ended before it said %q", what)
			}
			p.take(line)
		case <-time.After(10 * time.Minute):
			p.b.Fatalf("waited in vain for %q", what)
		}
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the greatest resident size so far, in 10⁶ bytes.
func (p *scale) peak() float64 {
	p.b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(p.b, err)
	kB, err := strconv.ParseFloat(highWater.FindStringSubmatch(string(status))[1], 64)
	must(p.b, err)
	return kB * 1024 / 1e6
}

// idle measures the share of a core that the process uses, and the system calls of a poll, which renews the lease once;
// -1 if there is no strace.
func (p *scale) idle(span time.Duration) (share, calls float64) {
	p.b.Helper()
	<-time.After(15 * time.Second) // polls are as far apart as they get
	before := p.cpu()
	<-time.After(span)
	share = (p.cpu() - before).Seconds() / span.Seconds()
	trace := filepath.Join(p.b.TempDir(), "trace")
	ctx, cancel := context.WithTimeout(p.b.Context(), span)
	defer cancel()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-e", "trace="+fileCalls, "-o", trace, "-p", strconv.Itoa(p.cmd.Process.Pid))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	_ = cmd.Run() // it is interrupted
	text, err := os.ReadFile(trace)
	if err != nil {
		return share, -1
	}
	return share, float64(strings.Count(string(text), "\n")) / float64(max(1, strings.Count(string(text), "pwrite64")))
}

// cpu is the time that the threads of the process have run.
func (p *scale) cpu() time.Duration {
	p.b.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	must(p.b, err)
	var total time.Duration
	for _, path := range stats {
		text, err := os.ReadFile(path)
		must(p.b, err)
		ran, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		must(p.b, err)
		total += time.Duration(ns)
	}
	return total
}

func (p *scale) stop() {
	p.b.Helper()
	must(p.b, p.in.Close())
	for range p.lines { // till its end
	}
	must(p.b, p.cmd.Wait())
}
