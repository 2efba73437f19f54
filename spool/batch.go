package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Batch is a piece of the queue: names, relative to the input folder, that one worker takes at once.
type Batch struct {
	Files []Name `json:"files"`
	// Alone files are suspected of having crashed a handler: each runs in a handler of its own.
	Alone bool `json:"alone,omitempty"`
}

// Feed puts a batch into the queue. What a zombie of an older epoch feeds, workers drop.
func (l *Lock) Feed(b Batch) (BatchID, error) {
	l.seq++ // also if it fails: where the answer is lost, the batch may be there
	id := BatchID{Epoch: l.epoch, Seq: l.seq}
	line, err := AppendRecord(nil, b)
	if err != nil {
		return BatchID{}, err
	}
	tmp := filepath.Join(l.spool.queueDir(), newPrefix+id.String())
	if err := os.WriteFile(tmp, line, 0o666); err != nil {
		_ = os.Remove(tmp)
		return BatchID{}, fmt.Errorf("feeding batch %s: %w", id, err)
	}
	if err := rename(tmp, l.spool.batchPath(id)); err != nil {
		_ = os.Remove(tmp)
		return BatchID{}, fmt.Errorf("feeding batch %s: %w", id, err)
	}
	return id, nil
}

// Withdraw takes batches of lower epochs out of the queue: their files are known to be waiting anyhow. It is part of
// taking over.
func (l *Lock) Withdraw() error {
	ids, err := l.spool.Queue()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id.Epoch >= l.epoch {
			continue
		}
		if err := os.Remove(l.spool.batchPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("withdrawing batch %s: %w", id, err)
		}
	}
	return nil
}

// Queue lists the batches that wait, in no order.
func (s *Spool) Queue() ([]BatchID, error) { return listBatches(s.queueDir()) }

func listBatches(dir string) ([]BatchID, error) {
	names, err := listNames(dir)
	var ids []BatchID
	for _, n := range names {
		if id, ok := batchOfFile(n); ok {
			ids = append(ids, id)
		}
	}
	return ids, err
}

func readBatch(path string) (Batch, error) {
	var b Batch
	data, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	payload, _, err := NextRecord(data)
	if err == nil && json.Unmarshal(payload, &b) != nil {
		err = ErrCorrupt
	}
	if err != nil {
		return Batch{}, fmt.Errorf("batch %s: %w", filepath.Base(path), err)
	}
	return b, nil
}
