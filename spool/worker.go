package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SlotSize is the length in bytes of a slot of the blame file.
const SlotSize = 128

// Born is the content of born.json.
type Born struct {
	Process
	Nonce    string    `json:"nonce"`
	Revision string    `json:"revision,omitempty"`
	Job      string    `json:"job,omitempty"`  // the scheduler's name for it
	Node     string    `json:"node,omitempty"` // and for where it runs
	Time     time.Time `json:"time"`
}

// Exit is the content of exit.json: a worker's own word on why it ended.
type Exit struct {
	Reason  ExitReason `json:"reason"`
	Failure *Failure   `json:"err,omitempty"`
	Time    time.Time  `json:"time"`
}

// ExitReason says why a worker ended.
type ExitReason string

// Why workers end.
const (
	ExitIdle          ExitReason = "Idle"          // nothing to do for the idle time-out
	ExitDrained       ExitReason = "Drained"       // asked to take no more
	ExitStopped       ExitReason = "Stopped"       // asked to stop working
	ExitWallTime      ExitReason = "WallTime"      // what is left of its time is too short for another file
	ExitFenced        ExitReason = "Fenced"        // declared dead
	ExitInvalid       ExitReason = "Invalid"       // the handler cannot be loaded
	ExitInvalidParams ExitReason = "InvalidParams" // it refuses its params
	ExitNotFound      ExitReason = "NotFound"      // interpreter, program or module is absent
	ExitNoShell       ExitReason = "NoShell"       // there are setup commands and no shell
	ExitSetupFailed   ExitReason = "SetupFailed"   // the author's setup or a setup command failed
	ExitHandlerFailed ExitReason = "HandlerFailed" // the handler keeps dying without a file in hand
	// ExitInputNotVisible is for an input that is a link which leads out of what the container has.
	ExitInputNotVisible ExitReason = "InputNotVisible"
	ExitParentGone      ExitReason = "ParentGone"  // the process that started it has ended
	ExitNoHeartbeat     ExitReason = "NoHeartbeat" // it could not write for too long
	ExitError           ExitReason = "Error"       // the engine failed
)

// Worker is a worker's own folder. Only the process that was born into it writes there.
type Worker struct {
	spool   *Spool
	id      string
	Journal *Log
	Current *os.File
}

// Bear makes the folder of worker id with this process in it. It returns false if the slot is taken: then a second
// process was started for it, which has to leave without touching anything.
func (s *Spool) Bear(id string, born Born) (*Worker, bool, error) {
	if !ValidWorker(id) {
		return nil, false, fmt.Errorf("worker id %q is not KEY.INDEX.rN", id)
	}
	if over, err := s.succeeded(id); err != nil || over {
		return nil, false, err
	}
	born.Nonce, born.Process = nonce(), Self()
	build := func(dir string) error {
		for _, sub := range []string{"claimed", "tmp"} {
			if err := os.Mkdir(filepath.Join(dir, sub), 0o777); err != nil {
				return err
			}
		}
		for _, name := range []string{"journal.jsonl", "current"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				return err
			}
		}
		return writeJSON(filepath.Join(dir, "born.json"), born)
	}
	owned := func(dir string) bool {
		var there Born
		return readJSON(filepath.Join(dir, "born.json"), &there) == nil && there.Nonce == born.Nonce
	}
	made, err := makeDirOnce(s.path("workers"), id, build, owned)
	if err != nil || !made {
		return nil, made, err
	}
	w := &Worker{spool: s, id: id}
	if w.Journal, err = openLog(s.journalPath(id)); err != nil {
		return nil, true, err
	}
	if w.Current, err = os.OpenFile(s.currentPath(id), os.O_RDWR, 0); err != nil {
		return nil, true, errors.Join(err, w.Journal.Close())
	}
	return w, true, nil
}

// ID is the worker's name.
func (w *Worker) ID() string { return w.id }

// Fenced reports whether a dispatcher has declared this worker dead, or has taken its folder away altogether.
func (w *Worker) Fenced() bool {
	if _, err := os.Lstat(w.spool.fencedPath(w.id)); err == nil {
		return true
	}
	_, err := os.Lstat(w.spool.tmpDir(w.id))
	return errors.Is(err, fs.ErrNotExist)
}

// Claim takes a batch out of the queue. It returns false if another was quicker, and with an error if nobody knows: the
// claim may have succeeded, and to repeat it tells.
func (w *Worker) Claim(id BatchID) (Batch, bool, error) {
	name := id.String() + batchSuffix
	mine := filepath.Join(w.spool.claimedDir(w.id), name)
	if err := os.Rename(w.spool.batchPath(id), mine); err != nil {
		_, lookErr := os.Lstat(mine) // it is ours if only the answer was lost
		switch {
		case lookErr == nil:
		case errors.Is(err, fs.ErrNotExist) && errors.Is(lookErr, fs.ErrNotExist):
			return Batch{}, false, nil
		default:
			return Batch{}, false, fmt.Errorf("claiming batch %s: %w", id, err)
		}
	}
	b, err := readBatch(mine)
	return b, true, err
}

// Drop lets go of a batch whose last event is in the journal, or that an old epoch made.
func (w *Worker) Drop(id BatchID) error {
	err := os.Remove(filepath.Join(w.spool.claimedDir(w.id), id.String()+batchSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Epoch is the highest epoch of the spool. A worker drops batches of lower ones.
func (w *Worker) Epoch() (int, error) { return w.spool.topEpoch() }

// Exit writes why the worker ends, and closes its files. It comes after the journal's last record.
func (w *Worker) Exit(reason ExitReason, failure *Failure) error {
	err := w.Journal.Sync()
	if err == nil {
		err = writeJSON(w.spool.exitPath(w.id), Exit{Reason: reason, Failure: failure, Time: time.Now().UTC()})
	}
	_ = w.Current.Close() // storage may refuse its slots late, which tell nothing behind an exit record
	return errors.Join(err, w.Journal.f.Close())
}

// Blamed reads the slots of the blame file: the marks of the files that user code had in hand.
func (w *Worker) Blamed() ([]string, error) { return readSlots(w.Current) }

// ClearMarks empties n slots of the blame file from one on.
func (w *Worker) ClearMarks(from, n int) error {
	blank := bytes.Repeat([]byte(strings.Repeat(" ", SlotSize-1)+"\n"), n)
	_, err := w.Current.WriteAt(blank, int64(from)*SlotSize)
	return err
}

func readSlots(f *os.File) ([]string, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) { // it is emptied for each new handler
		return nil, err
	}
	data = data[:n]
	var marks []string
	for ; len(data) >= SlotSize; data = data[SlotSize:] {
		if mark := strings.Trim(string(data[:SlotSize]), " \n\x00"); mark != "" {
			marks = append(marks, mark)
		}
	}
	return marks, nil
}

// ReadBorn reads who was born into a worker's folder.
func (s *Spool) ReadBorn(id string) (Born, error) {
	var b Born
	return b, readJSON(s.bornPath(id), &b)
}

// ReadExit reads a worker's exit record; fs.ErrNotExist if it has written none.
func (s *Spool) ReadExit(id string) (Exit, error) {
	var e Exit
	return e, readJSON(s.exitPath(id), &e)
}

// Workers lists the folders of all workers there ever were.
func (s *Spool) Workers() ([]string, error) {
	names, err := listNames(s.path("workers"))
	kept := names[:0]
	for _, n := range names {
		if ValidWorker(n) {
			kept = append(kept, n)
		}
	}
	return kept, err
}

// Living lists the workers that have been born and have not ended, as far as can be told from here: a worker of another host
// that was killed is among them until it is fenced.
func (s *Spool) Living() ([]string, error) {
	ids, err := s.Workers()
	living := ids[:0]
	for _, id := range ids {
		if s.IsFenced(id) {
			continue
		}
		if _, err := os.Lstat(s.exitPath(id)); err == nil {
			continue
		}
		if born, err := s.ReadBorn(id); err == nil && !born.Gone() {
			living = append(living, id)
		}
	}
	return living, err
}

// JournalTail reads a worker's journal from an offset on.
func (s *Spool) JournalTail(id string, offset int64) *Tail {
	return &Tail{path: s.journalPath(id), off: offset}
}

// Room probes whether the storage takes data again, by writing and syncing a piece of 64 KiB into the worker's tmp.
func (w *Worker) Room() error {
	path := filepath.Join(w.spool.tmpDir(w.id), newPrefix+"probe")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	err = errors.Join(err, f.Sync(), f.Close())
	return errors.Join(err, ignoreNotExist(syscall.Unlink(path)))
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
