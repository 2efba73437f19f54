package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Repair mends what Check finds and needs no guess, and lists what it mended. It takes the lock for the time, and returns
// a *HeldError if somebody may hold it. What people ask for stays asked, and what only a dispatcher can judge is left to
// the next one.
func (s *Spool) Repair() (mended []Problem, err error) {
	c := Contender{Spool: s, Owner: s.Owner()}
	lock, err := c.Try()
	if err != nil {
		return nil, fmt.Errorf("taking the spool's lock: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	r := &repairer{lock: lock, spool: s, spec: s.Spec()}
	for _, step := range []func() error{r.batches, r.workers, r.outputs} {
		if err := step(); err != nil {
			return r.mended, err
		}
	}
	return r.mended, nil
}

type repairer struct {
	lock   *Lock
	spool  *Spool
	spec   *Spec
	mended []Problem
}

func (r *repairer) note(kind ProblemKind, path, what string) {
	r.mended = append(r.mended, Problem{kind, path, what})
}

// batches takes those of ended dispatchers out of the queue: their files are found again by the next one.
func (r *repairer) batches() error {
	ids, err := r.spool.Queue()
	if err != nil {
		return err
	}
	if err := r.lock.Withdraw(); err != nil {
		return err
	}
	for _, id := range ids {
		if id.Epoch == r.lock.epoch-1 { // of the last dispatcher, which may end with a full queue
			continue
		}
		r.note(ProblemStale, r.spool.batchPath(id), "withdrawn")
	}
	return nil
}

// workers fences those again that have ended, which takes away what they left. One that may live is left alone.
func (r *repairer) workers() error {
	ids, err := r.spool.Workers()
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, exitErr := os.Lstat(r.spool.exitPath(id))
		if exitErr != nil && !r.spool.IsFenced(id) {
			continue
		}
		claims, err := r.spool.Claims(id)
		if err != nil {
			return err
		}
		temps, err := readFolder(r.spool.tmpDir(id))
		if err != nil {
			return err
		}
		if len(claims)+len(temps) == 0 {
			continue
		}
		if _, err := r.lock.Fence(id); err != nil {
			return err
		}
		if len(temps) > 0 {
			r.note(ProblemTemp, r.spool.tmpDir(id), "removed")
		}
		if len(claims) > 0 {
			r.note(ProblemClaim, r.spool.claimedDir(id), "taken from the worker")
		}
	}
	return nil
}

// outputs removes temporaries, and error files beside an output, wherever Check looks for them.
func (r *repairer) outputs() error {
	dir := filepath.Clean(string(r.spec.OutputDir))
	var faults []error
	err := walk(dir, r.spec.Recursive, nil, func(name string, e fs.DirEntry) {
		if isTemp(e.Name(), r.spec.OutputExt) && e.Type().IsRegular() {
			faults = append(faults, r.remove(ProblemStray, filepath.Join(dir, name), "removed"))
		} else if stem, ok := MatchInput(name, r.spec.OutputExt); ok {
			faults = append(faults, r.remove(ProblemBoth, filepath.Join(dir, ErrName(stem)), "removed: there is an output"))
		}
	})
	return errors.Join(err, errors.Join(faults...))
}

// remove removes a file, and notes it if there was one.
func (r *repairer) remove(kind ProblemKind, path, what string) error {
	err := os.Remove(path)
	if err == nil {
		r.note(kind, path, what)
	}
	return ignoreNotExist(err)
}

// isTemp reports whether a name is one that TempName makes, and not just similar.
func isTemp(name, ext string) bool {
	random, ok := strings.CutPrefix(name, TempPrefix)
	random, hasExt := strings.CutSuffix(random, ext)
	return ok && hasExt && len(random) == 16 && strings.Trim(random, "0123456789abcdef") == ""
}
