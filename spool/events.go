package spool

import "time"

// Event is a record of a worker's journal.
type Event struct {
	Kind     EventKind  `json:"t"`
	Batch    string     `json:"b,omitempty"`       // the batch that the files belong to
	Files    []Name     `json:"f,omitempty"`       // what it is about
	Seconds  []float64  `json:"s,omitempty"`       // Done, Failed: wall time of user code, for each of Files
	Suspects bool       `json:"several,omitempty"` // Crashed: there were others in hand, so none is to blame yet
	Failure  *Failure   `json:"err,omitempty"`     // Failed, Crashed, Storage, Paused
	Count    int64      `json:"n,omitempty"`       // Beat: how many there were
	InHand   []InHand   `json:"hand,omitempty"`    // Beat
	Time     *time.Time `json:"time,omitempty"`    // Failed, Crashed: by the worker's clock, for people only
}

// EventKind says what happened.
type EventKind string

// The kinds of journal records.
const (
	EventBeat    EventKind = "beat"    // the worker lives
	EventDone    EventKind = "done"    // the outputs of Files are published
	EventFailed  EventKind = "failed"  // user code failed on the file: one attempt
	EventCrashed EventKind = "crashed" // the handler died with Files in hand
	EventBack    EventKind = "back"    // given back, not begun or not to be blamed
	EventGone    EventKind = "gone"    // the input was not there any more
	EventStorage EventKind = "storage" // the storage failed under user code: no attempt
	EventBad     EventKind = "bad"     // Batch could not be read; all of it is to be fed again
	EventPaused  EventKind = "paused"  // the storage is full or failing; nothing is taken
	EventResumed EventKind = "resumed" // it is well again
)

// InHand is a file that user code works on.
type InHand struct {
	File    Name    `json:"f"`
	Seconds float64 `json:"s"`              // since it was begun
	Slow    bool    `json:"slow,omitempty"` // more than ten times as long as nearly all others took
}

// Failure is why a file or a worker failed, in the words of user code where there are any.
type Failure struct {
	Type      string `json:"type"`
	Message   string `json:"message,omitempty"`
	Traceback string `json:"traceback,omitempty"`
	Errno     int    `json:"errno,omitempty"`
	ExitCode  int    `json:"exitCode,omitempty"`
	Stderr    string `json:"stderr,omitempty"` // the last lines
}

// Entry is a record of a dispatcher's ledger: the durable history of a Task.
type Entry struct {
	Kind     EntryKind `json:"t"`
	Worker   string    `json:"w,omitempty"`    // Fold, Ended: whose journal
	Offset   int64     `json:"o,omitempty"`    // Fold, Ended: how far that journal is folded; Took: how far that ledger was read
	Epoch    int       `json:"e,omitempty"`    // Took: whose ledger
	Done     []Name    `json:"done,omitempty"` // Fold, Ended, Adopted; Deleting: of an earlier run, which kept no outputs
	Seconds  float64   `json:"s,omitempty"`    // Fold: wall time of user code, summed over Done and Attempts
	Tried    []Try     `json:"tried,omitempty"`
	Back     []Name    `json:"back,omitempty"`    // Fold, Ended: to be fed again, nothing counted
	Suspect  []Name    `json:"suspect,omitempty"` // Fold, Ended: to be fed again, each alone
	Gone     []Name    `json:"gone,omitempty"`    // Fold: not there any more, forgotten
	File     Name      `json:"f,omitempty"`       // Failed
	Failure  *Failure  `json:"err,omitempty"`     // Failed
	Attempts int       `json:"n,omitempty"`       // Failed
	Time     time.Time `json:"time,omitzero"`     // Failed: by the dispatcher's clock, for people only
	Deleted  []Name    `json:"del,omitempty"`     // Deleting, DeletingInputs
	Staged   []Name    `json:"staged,omitempty"`  // Staged: in the order in which they are to be fed
	Reason   string    `json:"why,omitempty"`     // Ended, Failed, Requeued, Paused, Resumed
	Request  string    `json:"req,omitempty"`     // Answered: the request's id
	Spec     string    `json:"spec,omitempty"`    // Paused: fingerprint of the Task that failed so often
	From     string    `json:"from,omitempty"`    // Adopted: output directory of an earlier run, all of which is taken over
}

// Try is an attempt that did not succeed.
type Try struct {
	File    Name     `json:"f"`
	Crashed bool     `json:"crashed,omitempty"`
	Storage bool     `json:"storage,omitempty"`
	Failure *Failure `json:"err,omitempty"`
}

// EntryKind says what a ledger record tells.
type EntryKind string

// The kinds of ledger records.
const (
	EntryFold     EntryKind = "fold"     // news of a worker's journal
	EntryEnded    EntryKind = "ended"    // the worker is fenced: what it held is fed again
	EntryAdopted  EntryKind = "adopted"  // outputs found on disk that no journal tells of
	EntryFailed   EntryKind = "failed"   // given up; the error file is written
	EntryRequeued EntryKind = "requeued" // Back is to be run again: an error file or an output was deleted, or retry was asked
	EntryAnswered EntryKind = "answered" // what Request asked for is done
	EntryPaused   EntryKind = "paused"   // Attempts files have failed alike, with Failure: no more are tried
	EntryResumed  EntryKind = "resumed"  // they are tried again
	EntryStaged   EntryKind = "staged"   // of the files that wait, Staged are taken next
	EntryDeleting EntryKind = "deleting" // the outputs of Deleted are about to go: all that needed them are done
	EntryDeleted  EntryKind = "deleted"  // they are gone
	EntryTook     EntryKind = "took"     // how far the ledger of an earlier epoch counts
	EntryClosed   EntryKind = "closed"   // the dispatcher ended in good order

	EntryDeletingInputs EntryKind = "deletingInputs" // likewise the inputs themselves
	EntryDeletedInputs  EntryKind = "deletedInputs"
)
