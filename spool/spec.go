package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// Spec is what a worker needs to know of its Task. It lies in spool.json, so that a worker needs nothing but the shared
// file system. All paths are absolute, those of the Task's dispatcher and workers.
type Spec struct {
	Task          string                     `json:"task"` // the author's name, for logs and --task-name
	Type          string                     `json:"type"`
	Revision      string                     `json:"revision,omitempty"` // changes with whatever makes running workers out of date
	Parent        string                     `json:"parent,omitempty"`   // the task of the same pipeline whose outputs are the inputs
	WorkDir       Name                       `json:"workDir"`            // current folder of user code: the workspace
	InputDir      Name                       `json:"inputDir"`
	InputExt      string                     `json:"inputExt"`
	Recursive     bool                       `json:"recursive,omitempty"` // inputs lie in folders of InputDir, too; so do outputs
	OutputDir     Name                       `json:"outputDir"`
	OutputExt     string                     `json:"outputExt"`
	Handler       Handler                    `json:"handler"`
	Params        map[string]json.RawMessage `json:"params,omitempty"`
	SetupCommands []string                   `json:"setupCommands,omitempty"` // shell lines run before the handler, in its shell
	Entrypoint    []string                   `json:"entrypoint,omitempty"`    // put before the handler's command line
	Env           []EnvVar                   `json:"env,omitempty"`
	EnvFile       Name                       `json:"envFile,omitempty"`
	Concurrency   int                        `json:"concurrency"`         // files in hand at once, at least 1, in each process
	Processes     int                        `json:"processes,omitempty"` // handler processes of a worker; 0 is 1
	RateLimit     *RateLimit                 `json:"rateLimit,omitempty"`
	Durability    Durability                 `json:"durability"`
	Timeout       Duration                   `json:"timeout,omitempty"` // per file; 0 is none
	Retry         Retry                      `json:"retry"`
	Breaker       Breaker                    `json:"failureBreaker,omitzero"`
}

// Fingerprint changes with whatever is asked of the Task. It is no longer than need be to tell apart what a person changes.
func (s *Spec) Fingerprint() string {
	text, err := json.Marshal(s)
	if err != nil { // not with these types
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// The types of Tasks. Workers of a Local Task must never be two at once.
const (
	TypeLocal      = "Local"
	TypeLocalAsync = "LocalAsync"
	TypeSlurm      = "Slurm"
)

// Handler says what runs the files: exactly one field is set.
type Handler struct {
	Python  *PythonHandler  `json:"python,omitempty"`
	Builtin string          `json:"builtin,omitempty"` // a task of the worker's own library
	Program *ProgramHandler `json:"program,omitempty"`
	Command []string        `json:"command,omitempty"` // run once per file
}

// PythonHandler is a TigerFlow module.
type PythonHandler struct {
	Module      string `json:"module"`      // path relative to WorkDir, or dotted; an optional ":Class" behind it
	Interpreter string `json:"interpreter"` // looked up in PATH after the setup commands
}

// ProgramHandler is a binary built with the Go SDK.
type ProgramHandler struct {
	Path Name     `json:"path"` // absolute, or a name that is looked up in PATH after the setup commands
	Args []string `json:"args,omitempty"`
}

// EnvVar is one variable of the environment of user code.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Retry bounds how often a file is run.
type Retry struct {
	Attempts   int      `json:"attempts"`   // runs in all before a failure is final, at least 1
	Backoff    Duration `json:"backoff"`    // least time between two runs of one file
	CrashLimit int      `json:"crashLimit"` // crashes with the file in hand before it is given up
}

// RateLimit bounds how many files the workers of a Task begin in a time.
type RateLimit struct {
	Requests int      `json:"requests"` // files begun in each span of Per, by all workers together
	Per      Duration `json:"per"`
	Workers  int      `json:"workers"` // the most that there may be: each keeps to its share
}

// Gap is the least time between two files that one worker begins, so that no span of Per has more than its share.
func (r *RateLimit) Gap() time.Duration {
	share := max(1, r.Requests/max(1, r.Workers))
	return (time.Duration(r.Per) + time.Duration(share) - 1) / time.Duration(share)
}

// Share is how many files a second one worker may begin.
func (r *RateLimit) Share() float64 { return 1 / r.Gap().Seconds() }

// InHand is how many files a worker has in hand at most.
func (s *Spec) InHand() int { return max(1, s.Concurrency) * max(1, s.Processes) }

// Breaker says when so many files have failed alike that the rest is not tried. 0 is never.
type Breaker struct {
	First  int `json:"first,omitempty"`  // the first files that were brought to an end, all of them
	InARow int `json:"inARow,omitempty"` // files, one after the other
}

// Durability says what an output has survived when it is published.
type Durability string

const (
	// Fsync publishes after the data and the folder are on disk, in groups.
	Fsync Durability = "Fsync"
	// None leaves writing to the kernel: a power cut may cost outputs already reported.
	None Durability = "None"
)

// Duration is a time.Duration that JSON spells like "1m30s".
type Duration time.Duration

// MarshalText spells the duration in Go's syntax.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads Go's syntax.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
