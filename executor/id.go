package executor

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// WorkerID names one run of one worker for ever: `<key>.<index>.r<restart>`. The key belongs to one spool, so that every
// process, Pod and job of a Task can be found by it. A worker that is started anew gets a new id, never an old one.
type WorkerID struct {
	Key     string // derived from the spool's id: lower-case letters, digits and inner hyphens, at most 40
	Index   int    // the slot that the worker fills: 0 to 999999
	Restart int    // grows each time the slot is filled; workers that are started together share it: 1 to 999999
}

// 40 leaves room for the rest in a Pod's or a job's name.
var idPattern = regexp.MustCompile(`^([a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?)\.(0|[1-9][0-9]{0,5})\.r([1-9][0-9]{0,5})$`)

// String returns the only spelling of the id.
func (id WorkerID) String() string {
	return id.Key + "." + strconv.Itoa(id.Index) + ".r" + strconv.Itoa(id.Restart)
}

// ParseWorkerID reads what String wrote, and nothing else.
func ParseWorkerID(s string) (WorkerID, error) {
	m := idPattern.FindStringSubmatch(s)
	if m == nil {
		return WorkerID{}, fmt.Errorf("worker id %q: want <key>.<index>.r<restart>, like k3f9.0.r1", s)
	}
	index, _ := strconv.Atoi(m[2]) // the pattern leaves nothing that could fail
	restart, _ := strconv.Atoi(m[3])
	return WorkerID{Key: m[1], Index: index, Restart: restart}, nil
}

// Validate says whether the id can be spelled.
func (id WorkerID) Validate() error {
	_, err := ParseWorkerID(id.String())
	return err
}

// Compare orders ids by key, slot and restart, as numbers.
func (id WorkerID) Compare(other WorkerID) int {
	return cmp.Or(
		cmp.Compare(id.Key, other.Key),
		cmp.Compare(id.Index, other.Index),
		cmp.Compare(id.Restart, other.Restart),
	)
}
