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
)

const (
	quietRounds = 60 // five minutes of the longest polls, less than from one full listing to the next
	quietBegins = "/dispatcher-test/quiet-begins"
	quietEnds   = "/dispatcher-test/quiet-ends"
	// fileCalls are the system calls that a poll can make, without those of the scheduler.
	fileCalls = "%file,read,pread64,write,pwrite64,fstat,close,getdents64,fcntl,lseek,fsync,epoll_ctl"
)

// roleQuiet takes up the spool of its argument, which has nothing to do, and makes some rounds between two marks that a
// trace of system calls shows.
func roleQuiet(args []string) error {
	s, err := spool.Open(args[0])
	if err != nil {
		return err
	}
	lock, err := (&spool.Contender{Spool: s, Owner: testOwner, TakeOver: true}).Try()
	if err != nil {
		return err
	}
	d := New(lock, Config{Settle: 2 * time.Second, Log: quietLog()})
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
	const alone, each = 12, 6 // calls of a poll: without live workers, and for each of them
	for _, c := range []struct{ files, ended, live int }{{1, 0, 0}, {3000, 50, 0}, {1, 0, 4}, {3000, 50, 4}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			r := newRig(t)
			r.input(numbered(c.files)...)
			for _, n := range numbered(c.files) {
				must(t, os.WriteFile(r.out(strings.TrimSuffix(n, ".txt")+".out"), nil, 0o666))
			}
			for i := range c.ended {
				r.worker(i, 1).exit(spool.ExitIdle)
			}
			for i := range c.live {
				r.worker(100+i, 1)
			}
			r.age(r.in(""), time.Hour)
			r.age(r.s.WorkersDir(), time.Hour)
			r.age(r.s.RequestsDir(), time.Hour)
			trace := filepath.Join(t.TempDir(), "trace")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, strace, "-f", "-o", trace, "-e",
				"trace="+fileCalls, os.Args[0], r.s.Path())
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
			if most := float64(alone + each*c.live); !found || per > most {
				t.Errorf("%.1f system calls a poll (marks: %t), want at most %.0f:\n%s", per, found, most, quiet[:min(len(quiet), 8000)])
			}
		})
	}
}
