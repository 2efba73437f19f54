// Package protocol is the line protocol between a worker and the handler process that runs the author's code: one JSON
// object a line over two inherited pipes, and the blame file that outlives a killed handler. The page
// docs/handler-protocol.md describes it for other languages.
package protocol

import (
	"encoding/json"
	"fmt"

	"tigerflow.dev/tigerflow/spool"
)

// Descriptors that a handler inherits besides the standard ones.
const (
	RequestFD = 3 // read end: requests of the worker
	ReplyFD   = 4 // write end: replies of the handler
	BlameFD   = 5 // the blame file, open for writing
)

// Environment of a handler.
const (
	EnvHandler = "TIGERFLOW_HANDLER" // "1": the descriptors above are open
	EnvTask    = "TIGERFLOW_TASK"    // name of the task, for user code
	EnvWorker  = "TIGERFLOW_WORKER"  // id of the worker, for user code
	EnvEpoch   = "TIGERFLOW_EPOCH"   // epoch of the dispatcher, for user code that fences a database
)

// Environment of a worker, by those who start one elsewhere.
const (
	EnvJob       = "TIGERFLOW_JOB"       // what a scheduler calls the worker's job
	EnvNode      = "TIGERFLOW_NODE"      // and the node on which it runs
	EnvContainer = "TIGERFLOW_CONTAINER" // "1": it sees of the host only what was bound
)

// Limits in bytes. Escaped as JSON, a failure with texts at their limits still fits a line.
const (
	MaxLine      = 1 << 20  // one message with its newline
	MaxMessage   = 16 << 10 // message of a failure
	MaxTraceback = 64 << 10 // traceback of a failure
)

// Op names the kind of a message.
type Op string

// Requests, then replies.
const (
	OpSetup    Op = "setup"
	OpRun      Op = "run"
	OpTeardown Op = "teardown"

	OpReady  Op = "ready"
	OpFailed Op = "failed"
	OpDone   Op = "done"
	OpError  Op = "error"
	OpBye    Op = "bye"
)

// Stage says what a handler was doing when it failed outside a file.
type Stage string

// The stages, in their order.
const (
	StageLoad     Stage = "load"     // no module, no task in it, or several
	StageParams   Stage = "params"   // unknown, missing or not convertible
	StageSetup    Stage = "setup"    // the author's setup
	StageTeardown Stage = "teardown" // the author's teardown
)

// TypeModuleAbsent is the type of a failure at stage load that says that there is no such module here.
const TypeModuleAbsent = "ModuleAbsent"

// Setup is the first request.
type Setup struct {
	Task        string                     `json:"task"`
	Params      map[string]json.RawMessage `json:"params"`
	Concurrency int                        `json:"concurrency"` // files to run at once, at least 1
}

// Run hands over one file.
type Run struct {
	ID     uint64     `json:"id"`
	Input  spool.Name `json:"input"`
	Output spool.Name `json:"output"` // exists as an empty regular file
	Slot   int        `json:"slot"`   // blame slot, see Blame
	Mark   string     `json:"mark"`   // text for the blame slot, at most MaxMark bytes
}

// Failure is what user code raised.
type Failure struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
	Errno     int    `json:"errno,omitempty"` // of an operating-system error, else 0
}

// Request is any message to a handler; Setup and Run are set according to Op.
type Request struct {
	Op Op `json:"op"`
	Setup
	Run
}

// Reply is any message of a handler.
type Reply struct {
	Op      Op      `json:"op"`
	ID      uint64  `json:"id"`      // of the run, for done and error
	Seconds float64 `json:"seconds"` // wall time of user code, for done and error
	Stage   Stage   `json:"stage"`   // for failed
	Failure         // for failed and error
}

// DecodeRequest reads one line of a worker.
func DecodeRequest(line []byte) (Request, error) {
	if run, ok := quickRun(line); ok {
		return Request{Op: OpRun, Run: run}, run.Validate()
	}
	var r Request
	if err := json.Unmarshal(line, &r); err != nil {
		return Request{}, fmt.Errorf("decoding request: %w", err)
	}
	return r, r.validate()
}

func (r *Request) validate() error {
	switch r.Op {
	case OpSetup:
		if r.Concurrency < 1 {
			return fmt.Errorf("request setup: concurrency is %d, must be at least 1", r.Concurrency)
		}
	case OpRun:
		return r.Run.Validate()
	case OpTeardown:
	default:
		return fmt.Errorf("unknown request %q", r.Op)
	}
	return nil
}

// Validate reports what a handler could not obey.
func (r *Run) Validate() error {
	switch {
	case r.Input == "" || r.Output == "":
		return fmt.Errorf("request run %d: input and output must be set", r.ID)
	case r.Slot < 0:
		return fmt.Errorf("request run %d: slot is %d, must not be negative", r.ID, r.Slot)
	}
	return checkMark(r.Mark)
}

// DecodeReply reads one line of a handler.
func DecodeReply(line []byte) (Reply, error) {
	if id, seconds, ok := quickDone(line); ok {
		return Reply{Op: OpDone, ID: id, Seconds: seconds}, nil
	}
	var r Reply
	if err := json.Unmarshal(line, &r); err != nil {
		return Reply{}, fmt.Errorf("decoding reply: %w", err)
	}
	switch r.Op {
	case OpReady, OpFailed, OpDone, OpError, OpBye:
		return r, nil
	default:
		return Reply{}, fmt.Errorf("unknown reply %q", r.Op)
	}
}
