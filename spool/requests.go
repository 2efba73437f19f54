package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Request is what somebody asks of a Task: the content of a file in requests/. Anybody may ask, from any host and while
// nothing runs. The dispatcher answers, or the next one does.
type Request struct {
	ID    string      `json:"-"` // the stem of the file's name
	Kind  RequestKind `json:"kind"`
	Match string      `json:"match,omitempty"` // Retry: a pattern of path.Match; empty is every failed file
	Epoch int         `json:"epoch,omitempty"` // Drain, Stop: the dispatcher that is meant; a later one has nothing to end
	By    Process     `json:"by"`              // for people only
	Time  time.Time   `json:"time"`            // likewise, by the asker's clock
}

// RequestKind says what is asked.
type RequestKind string

// The kinds of requests.
const (
	RequestRetry  RequestKind = "retry"  // run failed files again, as if they never had been
	RequestResume RequestKind = "resume" // go on after a pause, a drain or a stop
	RequestDrain  RequestKind = "drain"  // take no more, finish what is in hand
	RequestStop   RequestKind = "stop"   // end at once
)

// Matches reports whether a Retry means this file, by its name or by its path relative to the input folder.
func (r Request) Matches(name Name) bool {
	if r.Match == "" {
		return true
	}
	base, _ := path.Match(r.Match, path.Base(string(name))) // Ask has refused bad patterns
	whole, _ := path.Match(r.Match, string(name))
	return base || whole
}

// Ask puts a request down. It fills in who asks and returns the request's id.
func (s *Spool) Ask(r Request) (string, error) {
	if _, err := path.Match(r.Match, ""); err != nil {
		return "", fmt.Errorf("pattern %q: %w", r.Match, err)
	}
	if r.Kind == RequestDrain || r.Kind == RequestStop {
		top, err := s.topEpoch()
		if err != nil {
			return "", err
		}
		r.Epoch = top
	}
	r.By, r.Time = Self(), time.Now().UTC()
	id := nonce()
	if err := os.MkdirAll(s.RequestsDir(), 0o777); err != nil {
		return "", err
	}
	if err := writeJSON(s.requestPath(id), r); err != nil {
		return "", fmt.Errorf("asking for a %s: %w", r.Kind, err)
	}
	return id, SyncDir(s.RequestsDir())
}

// Requests lists what is asked and not yet answered, oldest first as far as clocks agree. One that cannot be understood
// has only its ID.
func (s *Spool) Requests() ([]Request, error) {
	names, err := listNames(s.RequestsDir())
	if err != nil {
		return nil, err
	}
	var list []Request
	for _, n := range names {
		id, ok := strings.CutSuffix(n, requestSuffix)
		if !ok {
			continue
		}
		var r Request
		err := readJSON(filepath.Join(s.RequestsDir(), n), &r)
		if errors.Is(err, fs.ErrNotExist) { // answered meanwhile
			continue
		}
		if IsStorage(err) {
			return nil, err
		}
		if err != nil {
			r = Request{}
		}
		r.ID = id
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Request) int { return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID)) })
	return list, nil
}

// Answer takes a request away. That it was answered stands in the ledger by then, so that a crash before this does not
// have it answered twice.
func (l *Lock) Answer(id string) error {
	err := ignoreNotExist(os.Remove(l.spool.requestPath(id)))
	if err != nil {
		return fmt.Errorf("answering request %s: %w", id, err)
	}
	return nil
}

// Recall takes a batch back out of the queue and reports whether no worker was quicker.
func (l *Lock) Recall(id BatchID) (bool, error) {
	err := os.Remove(l.spool.batchPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("recalling batch %s: %w", id, err)
	}
	return true, nil
}

// Dispatching tells who dispatches the spool, as far as can be told from here: nil if nobody does, because the last one
// ended in good order, or has certainly died, or there was none.
func (s *Spool) Dispatching() (*Holder, error) {
	top, err := s.topEpoch()
	if err != nil || top == 0 {
		return nil, err
	}
	var h Holder
	if err := readJSON(filepath.Join(s.epochDir(top), "owner.json"), &h); err != nil {
		return nil, err
	}
	closed, err := s.closed(top)
	if err != nil || closed || h.Gone() {
		return nil, err
	}
	lease, err := os.Stat(filepath.Join(s.epochDir(top), "lease"))
	if err != nil {
		return nil, err
	}
	h.Seen = lease.ModTime()
	return &h, nil
}
