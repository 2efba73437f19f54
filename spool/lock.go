package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// LeasePeriod is how often a dispatcher shows that it lives.
	LeasePeriod = 5 * time.Second
	// LeasePatience is how long a lease must stand still, by the observer's own clock, before its holder counts as gone.
	LeasePatience = 60 * time.Second
)

// Holder is the content of owner.json: who dispatches in an epoch.
type Holder struct {
	Process
	Nonce string    `json:"nonce"`
	Owner Owner     `json:"owner"`
	Since time.Time `json:"since"` // for people only

	Seen time.Time `json:"-"` // by Dispatching only: its last sign of life, by the file system's clock
}

// Silent reports whether the last sign of life is older than dispatchers wait for each other. It compares two clocks, so it
// is for people only: nothing may be taken from a holder for it.
func (h *Holder) Silent() bool { return time.Since(h.Seen) > LeasePatience }

// HeldError means that another dispatcher works on the spool.
type HeldError struct {
	Holder Holder
	// Left is how long its lease must go on standing still before it is taken over. A lease that moves sets it back.
	Left time.Duration
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the output folder is in use by %s for %s: stop that one first; if it is dead it is taken over in %s",
		e.Holder.Process, e.Holder.Owner, e.Left.Round(time.Second))
}

// ErrSuperseded means that a dispatcher of a higher epoch has taken over: this one must not write any more.
var ErrSuperseded = errors.New("another dispatcher has taken over the spool")

// Contender tries to become the dispatcher of a spool. It remembers how long it has seen the present holder's lease
// stand still, so one Contender is to be used for all tries.
type Contender struct {
	Spool    *Spool
	Owner    Owner
	TakeOver bool             // do not wait for the holder found by the first try, even if it shows no end
	Now      func() time.Time // own, monotonic clock; nil is time.Now

	nonce string // of the lock that it is after
	tried bool
	first int // the highest epoch at the first try
	epoch int
	lease string
	still time.Time // when lease was first seen as it is
}

// Try takes the lock or returns a *HeldError. It is made for calling it again and again, no oftener than each second.
func (c *Contender) Try() (*Lock, error) {
	top, err := c.Spool.topEpoch()
	if err != nil {
		return nil, err
	}
	if !c.tried {
		c.tried, c.first = true, top
	}
	if top > 0 {
		switch err := c.wait(top); {
		case errors.Is(err, errOurs):
			return c.open(top)
		case err != nil:
			return nil, err
		}
	}
	return c.take(top + 1)
}

// errOurs means that an earlier try has made the epoch, and its answer was lost.
var errOurs = errors.New("the epoch is ours")

// wait returns nil if the holder of epoch has ended or may be taken for dead.
func (c *Contender) wait(epoch int) error {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	s := c.Spool
	var h Holder
	if err := readJSON(filepath.Join(s.epochDir(epoch), "owner.json"), &h); err != nil {
		return err
	}
	if c.nonce != "" && h.Nonce == c.nonce {
		return errOurs
	}
	closed, err := s.closed(epoch)
	if err != nil {
		return err
	}
	if closed || c.TakeOver && epoch <= c.first || h.Gone() {
		return nil
	}
	lease, err := os.ReadFile(filepath.Join(s.epochDir(epoch), "lease"))
	if err != nil {
		return err
	}
	if c.epoch != epoch || c.lease != string(lease) {
		c.epoch, c.lease, c.still = epoch, string(lease), now()
	}
	if left := LeasePatience - now().Sub(c.still); left > 0 {
		return &HeldError{Holder: h, Left: left}
	}
	return nil
}

// closed reports whether the ledger of epoch ends in good order. It looks at the end only: ledgers grow long.
func (s *Spool) closed(epoch int) (bool, error) {
	want, err := AppendRecord(nil, Entry{Kind: EntryClosed})
	if err != nil {
		return false, err
	}
	f, err := os.Open(s.ledgerPath(epoch))
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < int64(len(want)) {
		return false, err
	}
	got := make([]byte, len(want))
	_, err = f.ReadAt(got, info.Size()-int64(len(want)))
	return bytes.Equal(got, want), err
}

// take makes the folder of the epoch, which is the lock.
func (c *Contender) take(epoch int) (*Lock, error) {
	s := c.Spool
	if c.nonce == "" {
		c.nonce = nonce()
	}
	h := Holder{Process: Self(), Nonce: c.nonce, Owner: c.Owner, Since: time.Now().UTC().Truncate(time.Second)}
	build := func(dir string) error {
		if err := writeJSON(filepath.Join(dir, "owner.json"), h); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "lease"), leaseText(0), 0o666); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "ledger.jsonl"), nil, 0o666)
	}
	owned := func(dir string) bool {
		var there Holder
		return readJSON(filepath.Join(dir, "owner.json"), &there) == nil && there.Nonce == h.Nonce
	}
	made, err := makeDirOnce(s.path("dispatch"), filepath.Base(s.epochDir(epoch)), build, owned)
	if err != nil {
		return nil, err
	}
	if !made { // another was quicker
		switch err := c.wait(epoch); {
		case errors.Is(err, errOurs):
			return c.open(epoch)
		case err != nil:
			return nil, err
		}
		return c.take(epoch + 1)
	}
	return c.open(epoch)
}

// open takes up an epoch that this Contender has made, and that nobody writes yet.
func (c *Contender) open(epoch int) (*Lock, error) {
	s := c.Spool
	ledger, err := openLog(s.ledgerPath(epoch))
	if err != nil {
		return nil, err
	}
	lease, err := os.OpenFile(filepath.Join(s.epochDir(epoch), "lease"), os.O_WRONLY, 0)
	if err != nil {
		return nil, errors.Join(err, ledger.Close())
	}
	c.nonce = ""
	return &Lock{spool: s, epoch: epoch, ledger: ledger, lease: lease}, nil
}

// Lock is the right to dispatch. Its methods are not safe for use from several goroutines.
type Lock struct {
	spool  *Spool
	epoch  int
	ledger *Log
	lease  *os.File
	beats  int64
	seq    int
}

// Epoch is the number of this dispatcher; it only grows.
func (l *Lock) Epoch() int { return l.epoch }

// Spool is what the lock is of.
func (l *Lock) Spool() *Spool { return l.spool }

// Check returns ErrSuperseded once a higher epoch exists. A dispatcher calls it before each round of writes. Epochs have no
// gaps, so a look at the next one's name is enough.
func (l *Lock) Check() error {
	if _, err := os.Lstat(l.spool.epochDir(l.epoch + 1)); err == nil {
		return ErrSuperseded
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := os.Lstat(l.spool.epochDir(l.epoch))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the spool %s was removed while in use", l.spool.dir)
	}
	return err
}

// Renew shows that this dispatcher lives, and returns the time of the file system's own clock.
func (l *Lock) Renew() (time.Time, error) {
	if _, err := l.lease.WriteAt(leaseText(l.beats+1), 0); err != nil {
		return time.Time{}, fmt.Errorf("renewing the spool's lease: %w", err)
	}
	l.beats++
	info, err := l.lease.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// Append adds an entry to the ledger; Flush or Sync writes it.
func (l *Lock) Append(e Entry) error { return l.ledger.Append(e) }

// Flush writes the entries appended. After an error call it again: nothing is lost.
func (l *Lock) Flush() error { return l.ledger.Flush() }

// Sync is Flush and the wait for the disk.
func (l *Lock) Sync() error { return l.ledger.Sync() }

// Update writes owner and Task into spool.json.
func (l *Lock) Update(owner Owner, spec Spec) error { return l.spool.update(owner, spec) }

// Close ends the epoch in good order: the next dispatcher need not wait.
func (l *Lock) Close() error {
	err := l.Check()
	if err == nil {
		err = errors.Join(l.Append(Entry{Kind: EntryClosed}), l.Sync())
	}
	if errors.Is(err, ErrSuperseded) {
		err = nil
	}
	return errors.Join(err, l.ledger.f.Close(), l.lease.Close())
}

// Abandon lets go of the files without a word, as a crash would: the next dispatcher has to wait or to see this process
// gone. It is for a dispatcher that was superseded.
func (l *Lock) Abandon() { _, _ = l.ledger.f.Close(), l.lease.Close() }

func leaseText(n int64) []byte { return fmt.Appendf(nil, "%020d\n", n) }

// Epochs lists the epochs there were, oldest first.
func (s *Spool) Epochs() ([]int, error) {
	top, err := s.topEpoch()
	epochs := make([]int, 0, top)
	for e := 1; e <= top; e++ {
		epochs = append(epochs, e)
	}
	return epochs, err
}

// topEpoch is the highest epoch, 0 if there was none. Epochs have no gaps: each is made as the one after the highest.
func (s *Spool) topEpoch() (int, error) {
	names, err := listNames(s.path("dispatch"))
	top := 0
	for _, n := range names {
		if e, err := strconv.Atoi(n); err == nil && n == epochName(e) {
			top = max(top, e)
		}
	}
	return top, err
}

// ReadLedger calls fn with each entry of an epoch's ledger.
func (s *Spool) ReadLedger(epoch int, fn func(Entry) error) error {
	_, err := s.ReadLedgerTo(epoch, math.MaxInt64, fn)
	return err
}

// ReadLedgerTo calls fn with the entries of an epoch's ledger that end at the bound or before, and tells where the last of
// them ends.
func (s *Spool) ReadLedgerTo(epoch int, bound int64, fn func(Entry) error) (int64, error) {
	tail := &Tail{path: s.ledgerPath(epoch)}
	err := tail.Read(func(payload []byte, end int64) error {
		if end > bound {
			return errBound
		}
		var e Entry
		if err := json.Unmarshal(payload, &e); err != nil {
			return fmt.Errorf("ledger of epoch %d: %w", epoch, err)
		}
		return fn(e)
	})
	if errors.Is(err, errBound) {
		err = nil
	}
	return tail.Offset(), err
}

var errBound = errors.New("the bound is reached")

// Bounds tells how far the ledgers of the epochs below one count, as far as later ones have taken note of it. What a
// dispatcher wrote behind that, it wrote when it did not know yet that it was superseded: its successor has not read it,
// and has seen to the same things itself.
func (s *Spool) Bounds(below int) (map[int]int64, error) {
	bounds := map[int]int64{}
	for epoch := below - 1; epoch > 0; epoch-- {
		bound, bounded := bounds[epoch]
		if !bounded {
			bound = math.MaxInt64
		}
		_, err := s.ReadLedgerTo(epoch, bound, func(e Entry) error {
			if e.Kind != EntryTook {
				return errBound // they come first
			}
			if _, known := bounds[e.Epoch]; !known {
				bounds[e.Epoch] = e.Offset
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return bounds, nil
}
