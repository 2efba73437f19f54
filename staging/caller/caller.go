// Package caller runs the functions that authors wrote to choose files, in a Python process beside the one that asks: user code
// never runs in a dispatcher.
package caller

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/staging"
	"tigerflow.dev/tigerflow/task/python"
)

const defaultTimeout = time.Minute

// Config says where functions are and what they see. Folders are absolute.
type Config struct {
	Interpreter string        // looked up in PATH; empty is python3
	Dir         string        // where the functions' modules are looked for first; the current folder of the process
	InputDir    string        // that candidates lie in
	OutputDir   string        // of the pipeline
	LibDir      string        // the Python package tigerflow is put there; it is made if need be
	Env         []string      // of the process, NAME=VALUE; nil is that of this one
	Timeout     time.Duration // of a call; 0 is one minute
	Log         io.Writer     // gets what the functions print, and their tracebacks
	Remote      *Remote       // where the process runs; nil is as one of this process, with Env
}

// Remote is another container, with the same folders, in which Serve runs.
type Remote struct {
	Socket string // that Serve listens on
	Log    string // the file to which what functions print there is appended
}

// Caller keeps a Python process, which it starts for the first call and anew after one that failed. It can be used from
// several goroutines.
type Caller struct {
	cfg    Config
	log    *tail
	closed context.Context //nolint:containedctx // it tells Call of Close
	cancel context.CancelFunc

	mu sync.Mutex // held during a call; guards p
	p  process    // nil if none runs
}

// New makes a Caller. No process runs before the first call.
func New(cfg Config) *Caller {
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	c := &Caller{cfg: cfg, log: &tail{to: cfg.Log}}
	c.closed, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends the process, and a call that is under way with an error.
func (c *Caller) Close() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

func (c *Caller) end() {
	if c.p != nil {
		c.p.end()
		c.p = nil
	}
}

// request is what the process is asked.
type request struct {
	Function   string       `json:"function"`
	Candidates []spool.Name `json:"candidates"`
	Staged     int64        `json:"staged"`
	Completed  int64        `json:"completed"`
	Failed     int64        `json:"failed"`
}

// reply is its answer: Names, or what was raised.
type reply struct {
	Names     []spool.Name `json:"names"`
	Type      string       `json:"type"`
	Message   string       `json:"message"`
	Traceback string       `json:"traceback"`
}

// Call has the function MODULE:FUNCTION choose among names in the input folder. An error is one line: what the function raised, or
// what became of its process.
func (c *Caller) Call(ctx context.Context, function string, candidates []string, counts staging.Counts) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := request{Function: function, Candidates: make([]spool.Name, len(candidates)), Staged: counts.Staged, Completed: counts.Completed, Failed: counts.Failed}
	for i, name := range candidates {
		r.Candidates[i] = spool.Name(name)
	}
	answer, err := c.ask(ctx, r)
	if err == nil && answer.Type != "" {
		_, _ = io.WriteString(c.log, answer.Traceback) // a log that cannot be written is no reason to stop
		err = errors.New(strings.Join(strings.Fields(strings.TrimSuffix(answer.Type+": "+answer.Message, ": ")), " "))
	}
	if err != nil {
		c.end() // what mends the function may be a change of its module
		return nil, err
	}
	names := make([]string, len(answer.Names))
	for i, name := range answer.Names {
		names[i] = string(name)
	}
	return names, nil
}

// ask sends a request and waits for the answer, but not for ever.
func (c *Caller) ask(ctx context.Context, r request) (reply, error) {
	if c.closed.Err() != nil {
		return reply{}, errors.New("the process that calls it is being ended")
	}
	if c.p == nil {
		p, err := c.start()
		if err != nil {
			return reply{}, err
		}
		c.p = p
	}
	line, err := json.Marshal(r)
	if err != nil {
		return reply{}, err
	}
	p, answers := c.p, make(chan []byte, 1)
	go func() { answers <- p.exchange(append(line, '\n')) }() // p.end, which follows in all other cases, has it return
	timeout := time.NewTimer(c.cfg.Timeout)
	defer timeout.Stop()
	select {
	case answer := <-answers:
		var got reply
		if err := json.Unmarshal(answer, &got); err != nil {
			p.end()
			return reply{}, fmt.Errorf("the process that calls it has ended, %s", p.how())
		}
		return got, nil
	case <-timeout.C:
		return reply{}, fmt.Errorf("it has not returned after %v, and was ended", c.cfg.Timeout)
	case <-ctx.Done():
		return reply{}, ctx.Err()
	case <-c.closed.Done():
		return reply{}, errors.New("the process that calls it is being ended")
	}
}

// install puts the Python package into LibDir and returns its path.
func (c *Caller) install() (string, error) {
	data, hash, err := python.Zip()
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.cfg.LibDir, "tigerflow-"+hash+".zip")
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, data) {
		return path, nil
	}
	if err := os.MkdirAll(c.cfg.LibDir, 0o777); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(c.cfg.LibDir, ".tigerflow-*")
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return path, nil
}
