// Package faults has seeded random tests of a whole system – dispatchers, workers and user code in many processes on
// several hosts – under faults of processes, hosts, storage and network file system. What judges it, beside spool.Check,
// is a ledger of executions that lies outside the file system under test.
package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// What a run of user code writes into the ledger.
const (
	runBegan   = "began"
	runDone    = "done"
	runFailed  = "failed"  // it tells of a failure of its own
	runStorage = "storage" // the storage failed under it
	runCrashed = "crashed" // it is about to kill its own process
)

// run is a line of the ledger of executions.
type run struct {
	File   string `json:"f"`
	What   string `json:"what"`
	Run    string `json:"run"` // random
	Worker string `json:"w"`
	Host   string `json:"h"`
	PID    int    `json:"pid"`
}

// write appends the line at once.
func (r run) write(path string) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(append(line, '\n'))
	return err
}

// readRuns reads the ledger.
func readRuns(path string) ([]run, error) {
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []run
	for line := range bytes.Lines(data) {
		var r run
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("the ledger of executions: %w", err)
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// output is what a run writes for a file: it names the run, and cannot be cut without notice.
func output(file, runID string, size int) []byte {
	body := file + "\n" + runID + "\n" + strings.Repeat("x", size) + "\n"
	sum := sha256.Sum256([]byte(body))
	return []byte(body + hex.EncodeToString(sum[:]) + "\n")
}

// readOutput tells which run wrote an output, and fails if it is not whole.
func readOutput(file string, data []byte) (string, error) {
	lines := strings.Split(string(data), "\n")
	if len(lines) < 3 || lines[0] != file {
		return "", fmt.Errorf("%d bytes that begin with %.40q", len(data), data)
	}
	if !bytes.Equal(data, output(file, lines[1], len(lines[2]))) {
		return lines[1], fmt.Errorf("run %s left %d bytes that are not whole", lines[1], len(data))
	}
	return lines[1], nil
}
