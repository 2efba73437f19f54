package slurmbridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// record is a submission that has no clear answer yet. It lies below the spool from before sbatch is called until what came
// of it is known, so that a bridge that comes later does not submit the same work beside a job that is yet to show.
type record struct {
	Name string    `json:"name"` // of the job
	Time time.Time `json:"time"`

	path    string
	since   time.Time // by this process's clock: its answer was lost, or it was found
	without int       // good listings without the job, begun when it could no longer come
}

// recordsDir is the folder of a spool's records.
func recordsDir(spool string) string { return filepath.Join(spool, "slurm") }

func recordPath(spool, name string) string { return filepath.Join(recordsDir(spool), name+".json") }

// writeRecord persists that a job of the name is about to be submitted.
func writeRecord(spool, name string) (*record, error) {
	r := &record{Name: name, Time: time.Now().UTC(), path: recordPath(spool, name)}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(recordsDir(spool), 0o777); err != nil {
		return nil, fmt.Errorf("noting what is about to be submitted: %w", err)
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, fmt.Errorf("noting what is about to be submitted: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("noting what is about to be submitted: %w", err)
	}
	return r, nil
}

// readRecords finds the submissions that another process left without a clear answer. A record that was being written when
// its process ended was not submitted.
func readRecords(spool string) ([]*record, error) {
	entries, err := os.ReadDir(recordsDir(spool))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was submitted before: %w", err)
	}
	var found []*record
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		found = append(found, &record{Name: name, path: filepath.Join(recordsDir(spool), entry.Name()), since: time.Now()})
	}
	return found, nil
}

// remove forgets a submission whose answer is known. One that cannot be removed is looked into again by the next process.
func (r *record) remove() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the note of a submission: %w", err)
	}
	return nil
}
