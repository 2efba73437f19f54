// Package executor is the boundary between those who decide how many workers a Task has and those who can run them:
// local processes, Pods, Slurm jobs. An executor starts, lists and stops workers; it knows nothing of files. The
// comments of this package are the contract, and executortest checks it against every implementation.
package executor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Executor runs workers of any number of Tasks. Its methods may be called at the same time from anywhere. Each returns
// soon after its context ended, with the context's error; what it had begun may or may not have happened: List tells.
// Errors say by their type what to do next: see StalledError and WaitError; any other error will pass: back off and
// try again.
type Executor interface {
	// Start starts the given workers unless the executor knows their ids already, running or ended: repeating a
	// call, also after an answer that was lost, is harmless. A caller that starts workers of a key is the only one
	// to do so; it holds the lease of the key's spool. When Start fails, some of the workers may have been started.
	Start(ctx context.Context, specs []Spec) error

	// List returns every worker of the executor, whatever its key, in the order of their ids, at the cost of one
	// query however many there are. An error is never "none": without an answer from its backend List fails. Ended
	// workers stay in the list until they are forgotten, or until the backend or, above MaxEnded, the executor drops
	// the oldest. So a worker that is missing is not known to be dead.
	List(ctx context.Context) ([]Worker, error)

	// Stop asks workers to end and returns without waiting for it. Those that are ending, have ended or are unknown
	// are left as they are, except that Kill hastens one that drains where the backend can.
	Stop(ctx context.Context, ids []WorkerID, mode StopMode) error

	// Forget drops ended workers from the list. A caller forgets a worker once it has recorded its end. Those that
	// have not ended, or are unknown, are left as they are.
	Forget(ctx context.Context, ids []WorkerID) error
}

// MaxEnded bounds how many ended workers an executor keeps for a caller that does not forget them.
const MaxEnded = 1000

// Notifier is an executor that can say that its list has changed, so that nobody needs to wait for the next poll.
type Notifier interface {
	// Changes receives after any change of the list since the last receive. It serves one reader.
	Changes() <-chan struct{}
}

// Sweeper is an executor whose workers end with it.
type Sweeper interface {
	// Sweep ends what is left on this host of workers of the key that an earlier executor started, one that was
	// killed, say. When it returns nil none of them runs here any more. It does so once for each key, before the
	// executor's own first worker of that key, and Start calls it where the caller has not.
	Sweep(ctx context.Context, key string) error
}

// Adopter is an executor whose backend may forget workers that live on.
type Adopter interface {
	// Adopt follows a worker that lives by its folder in the spool, but that no list shows. The list has it as Unknown
	// from then on, until its end is known. One that the executor knows is left as it is. ref is what the backend calls
	// the worker, Worker.Ref, as it said itself when it was born; empty if it did not.
	Adopt(id WorkerID, ref string)
}

// Doubter is an executor that may not know for a while whether what it was asked to start is there.
type Doubter interface {
	// Doubts names, as the backend does, what may turn out to have been started for the spool in this folder. Until there is
	// nothing of the kind, that no worker is listed does not mean that there will be none.
	Doubts(spool string) []string
}

// StopMode says how a worker is to end.
type StopMode int

const (
	// Drain lets the worker finish what it has in hand and take no more. After Spec.DrainTimeout it is killed.
	Drain StopMode = iota
	// Kill ends the worker, and everything it started, at once.
	Kill
)

// Spec describes one worker to start. The program it runs, `tigerflow-worker run --spool DIR --id ID ARGS…`, is the
// executor's own matter.
type Spec struct {
	ID           WorkerID
	Task         string        // the author's name of the Task, for what people see of a backend; may be empty
	Spool        string        // the Task's spool folder: absolute
	Args         []string      // further flags of the worker
	Log          string        // the file to which the worker's stdout and stderr are appended: absolute
	Resources    Resources     // what to reserve where a backend reserves; local processes share the machine
	DrainTimeout time.Duration // from asking to drain until killing; 0 kills at once
	WallTime     time.Duration // after which a backend that limits workers ends it; 0 is never. Args tell the worker of it
	Container    Container     // in which the worker runs; zero is the bare environment of its machine
	Slurm        Slurm         // for what runs on a Slurm cluster
	Avoid        []string      // nodes, as Worker.Node has them, that a backend is to keep off where it has others
}

// Container is where a backend that has containers runs a worker.
type Container struct {
	Image         string   // a file (absolute) or a reference; empty is no container
	Binds         []Bind   // what the worker sees of the host
	SetupCommands []string // lines of shell, run on the host before the container starts; those within are the worker's own
}

// Bind is a file or folder of the host that a container has, too.
type Bind struct {
	Path     string // absolute
	At       string // where the container has it, absolute; empty is at the same path
	ReadOnly bool
}

// Slurm is what the author asks of sbatch beyond Resources and WallTime. Empty leaves it to the cluster.
type Slurm struct {
	Partition, Account, QOS string
	Options                 []string // further options of sbatch, as --name=value or -x
}

// Resources is what one worker needs. Zero leaves it to the backend.
type Resources struct {
	CPUs   int
	Memory int64 // bytes
	GPUs   int
}

// Validate checks what no executor could make sense of.
func (s Spec) Validate() error {
	if err := s.ID.Validate(); err != nil {
		return err
	}
	if !filepath.IsAbs(s.Spool) {
		return fmt.Errorf("spool folder %q: want an absolute path", s.Spool)
	}
	if !filepath.IsAbs(s.Log) {
		return fmt.Errorf("log file %q: want an absolute path", s.Log)
	}
	if strings.ContainsRune(s.Spool+s.Log+strings.Join(s.Args, ""), 0) {
		return errors.New("paths and flags of a worker cannot contain NUL")
	}
	if s.DrainTimeout < 0 {
		return fmt.Errorf("drainTimeout %s: want 0 or more", s.DrainTimeout)
	}
	if s.WallTime < 0 {
		return fmt.Errorf("wallTime %s: want 0 or more", s.WallTime)
	}
	return nil
}

// Worker is what an executor knows of one worker.
type Worker struct {
	ID        WorkerID
	Phase     Phase
	Reason    string // the backend's own words for the phase, for people; may be empty
	Ref       string // what the backend calls the worker: a process, a Pod, a job
	Node      string // what the backend calls the machine on which it runs or ran; empty if that is not known
	Witnessed bool   // it has ended for certain: somebody saw its processes end, so that a successor may start
	Exit      *Exit  // how its process ended; nil if that is not known
	// Stall is what a person must mend before it, or the next one like it, can work; nil if nothing is known. Of those that are
	// Held or have ended.
	Stall     *StalledError
	StartedAt time.Time
	EndedAt   time.Time // both zero if not known
}

// Exit is how a process ended: by a code or by a signal.
type Exit struct {
	Code   int
	Signal syscall.Signal // 0 if it exited by itself
}

// String says it as a shell would.
func (e Exit) String() string {
	if e.Signal != 0 {
		return "signal: " + e.Signal.String()
	}
	return "exit status " + strconv.Itoa(e.Code)
}
