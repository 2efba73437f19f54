package executortest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tigerflow.dev/tigerflow/internal/inpod"
	"tigerflow.dev/tigerflow/internal/tether"
)

// Main is the TestMain of a package that calls Run: it makes the test binary a worker program as well. Started as
// `<test binary> run --spool DIR --id ID …` it behaves as its further flags say, else it runs the tests.
//
//	--print TEXT   writes the text to stdout
//	--exit N       ends at once with this code
//	--raise N      ends at once by this signal
//	--brood        starts children in other process groups and sessions that would outlive it
//	--deaf         ignores SIGTERM
//	--wall-time D, --elapsed D   are those of a worker; it does not heed them
//
// Started as `<test binary> sweep --id ID` it ends what a worker has left, as the worker program does, and as `<test binary>
// install DIR` it installs itself.
//
// Without --exit and --raise it works until SIGTERM, then exits 0. Like a real worker it does nothing if the folder of
// its id is there already, and if its lifeline ends it ends with all that it started.
func Main(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "install":
			if err := inpod.Install(os.Args[2], "version"); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "version":
			os.Exit(0)
		case "run":
			os.Exit(work(os.Args[2:]))
		case "hold":
			hold(os.Args[2])
		case "sweep": // --id ID
			if err := tether.EndWorkerOf(context.Background(), os.Args[3], os.Getppid()); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	// With the race detector each worker would sleep for a second before it exits.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// Report is what a scripted worker writes when it has come to work.
type Report struct {
	Args   []string // all its flags, from --spool on
	Cookie string   // the worker's id from its environment
}

type script struct {
	spool, id, print string
	exit, raise      int
	brood, deaf      bool
}

func parse(args []string) (script, error) {
	var s script
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.StringVar(&s.spool, "spool", "", "")
	flags.StringVar(&s.id, "id", "", "")
	flags.StringVar(&s.print, "print", "", "")
	flags.IntVar(&s.exit, "exit", -1, "")
	flags.IntVar(&s.raise, "raise", 0, "")
	flags.BoolVar(&s.brood, "brood", false, "")
	flags.BoolVar(&s.deaf, "deaf", false, "")
	flags.Duration("wall-time", 0, "")
	flags.Duration("elapsed", 0, "")
	return s, flags.Parse(args)
}

func work(args []string) int {
	s, err := parse(args)
	if err != nil {
		return 2
	}
	parentGone, err := tether.Lifeline()
	if err == nil {
		err = inpod.Log()
	}
	if err != nil {
		return s.fail(err)
	}
	switch err := os.Mkdir(folder(s.spool, s.id), 0o777); {
	case errors.Is(err, fs.ErrExist):
		return 0
	case err != nil:
		return s.fail(err)
	}
	return s.work(args, parentGone)
}

// work is the life of a worker that has its folder.
func (s script) work(args []string, parentGone <-chan struct{}) int {
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	err := s.comeToWork(args)
	if err != nil {
		return s.fail(err)
	}
	if s.raise != 0 {
		return s.raiseSignal()
	}
	if s.exit >= 0 {
		return s.exit
	}
	if s.deaf {
		terminate = nil
	}
	select {
	case <-terminate:
		return 0
	case <-parentGone:
		if err := tether.EndWorker(context.Background(), s.id, os.Getpid()); err != nil {
			return s.fail(err)
		}
		return 1
	}
}

// raiseSignal ends the process by a signal. No signal of its own ends the first process of a container: that one exits as is
// told of such an end.
func (s script) raiseSignal() int {
	if os.Getpid() == 1 {
		return 128 + s.raise
	}
	if err := syscall.Kill(os.Getpid(), syscall.Signal(s.raise)); err != nil {
		return s.fail(err)
	}
	select {} // until it comes
}

func (s script) fail(err error) int {
	fmt.Fprintf(os.Stderr, "worker %s: %v\n", s.id, err)
	return 1
}

func folder(spool, id string) string { return filepath.Join(spool, "workers", id) }

func (s script) comeToWork(args []string) error {
	if _, err := os.Stdout.WriteString(s.print); err != nil {
		return err
	}
	if s.brood {
		if err := s.breed(); err != nil {
			return err
		}
	}
	text, err := json.Marshal(Report{Args: args, Cookie: os.Getenv(tether.CookieEnv)})
	if err != nil {
		return err
	}
	path := filepath.Join(folder(s.spool, s.id), "report")
	if err := os.WriteFile(path+".tmp", text, 0o666); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// breed starts children that are hard to find: in a group of their own, in a session of their own, without the cookie.
func (s script) breed() error {
	lock := filepath.Join(folder(s.spool, s.id), "brood")
	if err := os.WriteFile(lock, nil, 0o666); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var bare []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, tether.CookieEnv+"=") {
			bare = append(bare, entry)
		}
	}
	for _, child := range []*exec.Cmd{
		{SysProcAttr: &syscall.SysProcAttr{Setpgid: true}},
		{SysProcAttr: &syscall.SysProcAttr{Setsid: true}},
		{SysProcAttr: &syscall.SysProcAttr{Setpgid: true}, Env: bare},
	} {
		child.Path, child.Args = self, []string{self, "hold", lock}
		ready, err := child.StdoutPipe()
		if err != nil {
			return err
		}
		if err := child.Start(); err != nil {
			return err
		}
		if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
			return fmt.Errorf("waiting for a child to hold %s: %w", lock, err)
		}
	}
	return nil
}

// hold shares a lock on the file for as long as the process lives, so that any host can see whether it does.
func hold(path string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	f, err := os.Open(path)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("held\n")
	for {
		_ = syscall.Pause()
	}
}

// Bred reports whether a child of the worker, started by --brood, still lives.
func Bred(spool, id string) (bool, error) {
	f, err := os.Open(filepath.Join(folder(spool, id), "brood"))
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
