package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tigerflow.dev/tigerflow/internal/wake"
	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
)

const (
	quietRounds = 60 // five minutes of the longest polls, less than from one full listing to the next
	quietBegins = "/dispatcher-test/quiet-begins"
	quietEnds   = "/dispatcher-test/quiet-ends"
	// fileCalls are the system calls that a poll can make, without those of the scheduler.
	fileCalls = "%file,read,pread64,write,pwrite64,fstat,close,getdents64,fcntl,lseek,fsync,epoll_ctl"
)

// roleQuiet takes up the spool of its first argument, which has nothing to do, and makes some rounds between two marks that a
// trace of system calls shows. If there are more arguments, it leads the tasks with those spools.
func roleQuiet(args []string) error {
	s, err := spool.Open(args[0])
	if err != nil {
		return err
	}
	lock, err := (&spool.Contender{Spool: s, Owner: testOwner, TakeOver: true}).Try()
	if err != nil {
		return err
	}
	var chain Chain
	if len(args) > 1 {
		steps, err := staging.Compile([]staging.Step{{MaxStaged: 10}})
		if err != nil {
			return err
		}
		chain.Lead = &Lead{Tasks: []Member{{Name: "demo", Dir: args[0]}}, Staging: steps}
		for i, dir := range args[1:] {
			chain.Lead.Tasks = append(chain.Lead.Tasks, Member{Name: fmt.Sprint(i), Dir: dir})
		}
	}
	d := New(lock, Config{Chain: chain, Settle: 2 * time.Second, Log: quietLog()})
	d.wake = wake.New()
	defer d.wake.Close()
	ctx, now := context.Background(), time.Now()
	if err := d.recover(ctx); err != nil {
		return err
	}
	round := func() error {
		_, err := d.round(ctx, now)
		now = now.Add(pollLast)
		return err
	}
	for range 3 {
		if err := round(); err != nil {
			return err
		}
	}
	if !d.Snapshot().Drained {
		return fmt.Errorf("not drained: %+v", d.Snapshot())
	}
	mark := func(path string) { _, _ = os.Lstat(path) } // only the trace sees it
	mark(quietBegins)
	for range quietRounds {
		err = errors.Join(err, round())
	}
	mark(quietEnds)
	return errors.Join(err, lock.Close())
}

// TestQuietPollsAreCheap counts the system calls of polls without news: few, and none for each file or ended worker.
func TestQuietPollsAreCheap(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no strace to count system calls with: use make test, which installs it")
		}
		t.Skip("there is no strace to count system calls with")
	}
	const alone, each, led = 12, 6, 13 // calls of a poll: without live workers, for each of them, and for each task of a lead
	for _, c := range []struct{ files, ended, live, led int }{
		{1, 0, 0, 0}, {3000, 50, 0, 0}, {1, 0, 4, 0}, {3000, 50, 4, 0}, {1, 0, 0, 3}, {3000, 50, 0, 3},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			r := newRig(t)
			r.input(numbered(c.files)...)
			r.results(numbered(c.files))
			for i := range c.ended {
				r.worker(i, 1).exit(spool.ExitIdle)
			}
			for i := range c.live {
				r.worker(100+i, 1)
			}
			r.age(r.in(""), time.Hour)
			r.age(r.s.WorkersDir(), time.Hour)
			r.age(r.s.RequestsDir(), time.Hour)
			role := []string{r.s.Path()}
			for range max(0, c.led-1) {
				role = append(role, r.finishedSibling().s.Path())
			}
			trace := filepath.Join(t.TempDir(), "trace")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, strace, append([]string{"-f", "-o", trace, "-e", "trace=" + fileCalls, os.Args[0]}, role...)...)
			cmd.Env = append(os.Environ(), roleVar+"=quiet")
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			text, err := os.ReadFile(trace)
			must(t, err)
			_, quiet, _ := strings.Cut(string(text), quietBegins)
			quiet, _, found := strings.Cut(quiet, quietEnds)
			calls := strings.Count(quiet, "\n") - strings.Count(quiet, " resumed>")
			per := float64(calls) / quietRounds
			t.Logf("%.1f system calls a poll", per)
			if most := float64(alone + each*c.live + led*c.led); !found || per > most {
				t.Errorf("%.1f system calls a poll (marks: %t), want at most %.0f:\n%s", per, found, most, quiet[:min(len(quiet), 8000)])
			}
		})
	}
}

// results makes the outputs of inputs.
func (r *rig) results(inputs []string) {
	r.t.Helper()
	for _, n := range inputs {
		must(r.t, os.WriteFile(r.out(strings.TrimSuffix(n, ".txt")+".out"), nil, 0o666))
	}
}

// finishedSibling is a Task that has done all of the same inputs.
func (r *rig) finishedSibling() *rig {
	r.t.Helper()
	other := newRigIn(r.t, r.t.TempDir(), func(s *spool.Spec) { s.InputDir = r.s.Spec().InputDir })
	other.results(r.inputs())
	other.begin()
	other.drained()
	other.close()
	return other
}

// TestTogether: dispatchers that rest for as long as they may look at the same times from then on, others at some of these.
func TestTogether(t *testing.T) {
	const longest = 2 * time.Second
	began := time.Unix(1_000_000, 0)
	for _, c := range []struct{ after, respite, want time.Duration }{
		{0, longest, longest},
		{time.Millisecond, longest, longest - time.Millisecond},
		{1999 * time.Millisecond, longest, time.Millisecond},
		{700 * time.Millisecond, 1500 * time.Millisecond, 1300 * time.Millisecond},
		{700 * time.Millisecond, 600 * time.Millisecond, 300 * time.Millisecond},
		{0, 0, 0},
	} {
		if got := together(began.Add(c.after), c.respite, longest); got != c.want {
			t.Errorf("%s after the full second, for %s: %s, want %s", c.after, c.respite, got, c.want)
		}
	}
	if got := together(time.Now(), time.Nanosecond, longest); got != time.Nanosecond {
		t.Errorf("the shortest respite becomes %s", got)
	}
}
