package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Held is a batch that a fenced worker had claimed.
type Held struct {
	ID    BatchID
	Files []Name // none if the batch cannot be read: its names are found again by discovery
	Alone bool
	Begun []Name // those that user code had in hand, by the blame file
}

// Mark is what a handler writes into its slot for the file in hand: a place in a claimed batch, because names are too
// long for slots of a fixed size.
type Mark struct {
	Batch BatchID
	Index int
}

func (m Mark) String() string { return m.Batch.String() + "/" + strconv.Itoa(m.Index) }

// ParseMark reads what String wrote.
func ParseMark(s string) (Mark, error) {
	batch, index, ok := strings.Cut(s, "/")
	id, err := ParseBatchID(batch)
	i, err2 := strconv.Atoi(index)
	m := Mark{Batch: id, Index: i}
	if !ok || err != nil || err2 != nil || i < 0 || m.String() != s {
		return Mark{}, fmt.Errorf("mark %q is not BATCH/INDEX", s)
	}
	return m, nil
}

// Fence makes sure that a worker, dead or not, can neither claim, create nor publish any more, whatever its client
// caches, and tells what it held. First comes the word, for a worker that looks; then claims and temporaries leave their
// folders and the folders go, so that a client which still has a handle on one can put nothing into it. Outputs that the
// worker published before are for the caller to look for, afterwards. Fence can be repeated.
func (l *Lock) Fence(id string) ([]Held, error) {
	s := l.spool
	if err := s.fenceUnborn(id, l.epoch); err != nil {
		return nil, fmt.Errorf("fencing worker %s: %w", id, err)
	}
	if err := s.seizeClaims(id); err != nil {
		return nil, fmt.Errorf("fencing worker %s: taking its claims: %w", id, err)
	}
	if err := removeDir(s.tmpDir(id)); err != nil {
		return nil, fmt.Errorf("fencing worker %s: %w", id, err)
	}
	return s.held(id, s.workerDir(id))
}

// fenceUnborn writes the word. A worker that is yet to be born finds its slot taken.
func (s *Spool) fenceUnborn(id string, epoch int) error {
	err := writeWord(s.fencedPath(id), epoch)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	build := func(dir string) error { return writeWord(filepath.Join(dir, "fenced"), epoch) }
	made, err := makeDirOnce(s.path("workers"), id, build, func(string) bool { return false })
	if err == nil && !made { // born meanwhile
		err = writeWord(s.fencedPath(id), epoch)
	}
	return err
}

// writeWord makes the file that is the word. What stands in it is for people, so that the storage does not take it does not
// matter: the dead worker's temporaries may be what fills the disk, and the client of a network file system tells of a write
// that was once refused at each close.
func writeWord(path string, epoch int) error {
	err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", epoch), 0o666)
	if _, lookErr := os.Lstat(path); lookErr == nil {
		return nil
	}
	return err
}

// seizeClaims moves the batches that a worker holds up into its folder and removes their own. To rename that folder away
// would not do: a client with a handle on it could still move batches in.
func (s *Spool) seizeClaims(id string) error {
	dir := s.claimedDir(id)
	var err error
	for range 100 {
		var ids []BatchID
		if ids, err = listBatches(dir); err != nil {
			return err
		}
		for _, b := range ids {
			name := b.String() + batchSuffix
			err := os.Rename(filepath.Join(dir, name), filepath.Join(s.workerDir(id), name))
			if ignoreNotExist(err) != nil { // the worker may be letting go of it
				return err
			}
		}
		if err = os.Remove(dir); !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
			return ignoreNotExist(err)
		}
	}
	return err
}

// removeDir removes a folder in which somebody may still be making files.
func removeDir(dir string) error {
	var err error
	for range 100 {
		if err = removeAll(dir); !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return err
}

// held reads the batches in dir, which are a worker's claims or what Fence made of them.
func (s *Spool) held(worker, dir string) ([]Held, error) {
	ids, err := listBatches(dir)
	if err != nil {
		return nil, err
	}
	begun, err := s.begun(worker)
	if err != nil {
		return nil, err
	}
	held := make([]Held, 0, len(ids))
	for _, id := range ids {
		h := Held{ID: id}
		b, err := readBatch(filepath.Join(dir, id.String()+batchSuffix))
		if errors.Is(err, fs.ErrNotExist) { // a live worker has let go of it
			continue
		}
		if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrIncomplete) {
			return nil, err
		}
		h.Files, h.Alone = b.Files, b.Alone
		for _, m := range begun {
			if m.Batch == id && m.Index < len(b.Files) {
				h.Begun = append(h.Begun, b.Files[m.Index])
			}
		}
		held = append(held, h)
	}
	return held, nil
}

// begun reads a worker's blame file.
func (s *Spool) begun(worker string) ([]Mark, error) {
	f, err := os.Open(s.currentPath(worker))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	slots, err := readSlots(f)
	var marks []Mark
	for _, slot := range slots {
		if m, err := ParseMark(slot); err == nil {
			marks = append(marks, m)
		}
	}
	return marks, err
}

// IsFenced reports whether a dispatcher has fenced the worker.
func (s *Spool) IsFenced(id string) bool {
	_, err := os.Lstat(s.fencedPath(id))
	return err == nil
}

// Claims lists the batches that a worker holds.
func (s *Spool) Claims(id string) ([]BatchID, error) { return listBatches(s.claimedDir(id)) }

// Holding reads the batches that a worker holds, or held when it was fenced.
func (s *Spool) Holding(id string) ([]Held, error) {
	claimed, err := s.held(id, s.claimedDir(id))
	if err != nil {
		return nil, err
	}
	seized, err := s.held(id, s.workerDir(id))
	return append(claimed, seized...), err
}
