package faultfs

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// Op is an operation of a client.
type Op string

// The operations that a Decider is asked about.
const (
	OpLookup   Op = "lookup"
	OpGetattr  Op = "getattr"
	OpSetattr  Op = "setattr"
	OpOpen     Op = "open"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpFlush    Op = "flush" // at close
	OpFsync    Op = "fsync"
	OpCreate   Op = "create"
	OpMkdir    Op = "mkdir"
	OpSymlink  Op = "symlink"
	OpReadlink Op = "readlink"
	OpUnlink   Op = "unlink"
	OpRmdir    Op = "rmdir"
	OpRename   Op = "rename"
	OpLink     Op = "link"
	OpReaddir  Op = "readdir"
)

// Call is an operation that is about to be done.
type Call struct {
	Op   Op
	Path string // relative to the tree; of Rename and Link the new name
	N    int    // how many calls of this Op the host has had before
}

// Fault is what goes wrong with one operation. The zero Fault is none.
type Fault struct {
	Delay  time.Duration // before it is done
	Before syscall.Errno // it is not done, and answered so
	// Repeat does it twice and gives the second answer, as a client does whose first answer was lost: a rename then says
	// ENOENT, a link or a mkdir EEXIST. The client does not learn of the change: its caches stay as they were.
	Repeat bool
	After  syscall.Errno // it is done, and answered as if it had failed
	Late   time.Duration // between doing and answering
	Short  bool          // a write takes half of the data
}

// lost reports whether the answer to an operation that is done does not come.
func (f Fault) lost() bool { return f.Repeat || f.After != 0 }

// A Decider decides what goes wrong. It is called from several goroutines at once.
type Decider func(Call) Fault

// Rates are the chances of faults per operation, between 0 and 1.
type Rates struct {
	Slow     float64
	SlowFor  time.Duration // the longest delay
	Fail     float64       // an operation fails before it is done
	Errnos   []syscall.Errno
	Lost     float64 // an operation that changes names is repeated
	LostLate float64 // it is done, and answered by one of Errnos
	Short    float64
}

// Decider decides by a hash of seed, operation and its number, whatever the order in which operations come.
func (r Rates) Decider(seed uint64) Decider {
	return func(c Call) Fault {
		h := fnv.New64a()
		_, _ = h.Write(binary.BigEndian.AppendUint64([]byte(c.Op), uint64(c.N))) // never fails
		rng := rand.New(rand.NewPCG(seed, h.Sum64()))
		var f Fault
		if rng.Float64() < r.Slow {
			f.Delay = time.Duration(rng.Float64() * float64(r.SlowFor))
		}
		if rng.Float64() < r.Fail {
			f.Before = r.errno(rng)
		}
		if changesNames(c.Op) {
			f.Repeat = rng.Float64() < r.Lost
			if rng.Float64() < r.LostLate {
				f.After = r.errno(rng)
			}
		}
		f.Short = c.Op == OpWrite && rng.Float64() < r.Short
		return f
	}
}

func (r Rates) errno(rng *rand.Rand) syscall.Errno {
	if len(r.Errnos) == 0 {
		return syscall.EIO
	}
	return r.Errnos[rng.IntN(len(r.Errnos))]
}

func changesNames(op Op) bool {
	return slices.Contains([]Op{OpMkdir, OpUnlink, OpRmdir, OpRename, OpLink}, op)
}
