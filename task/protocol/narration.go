package protocol

import (
	"encoding/json"
	"io"

	"tigerflow.dev/tigerflow/spool"
)

// EnvNarrate asks a handler, by the value 1, to tell what happens in its log, in order with what user code prints.
const EnvNarrate = "TIGERFLOW_NARRATE"

// NarrationMark begins an item of narration, of which the rest is JSON and a newline. What user code printed may stand
// before it in its line.
const NarrationMark = 0x1e

// Narration ops of a handler, beside OpSetup, OpReady, OpTeardown and OpBye.
const (
	OpBegin Op = "begin" // user code begins on Input
	OpEnd   Op = "end"   // it has returned or failed; what that means for the file is said by one of the next three
)

// Narration ops of a worker: what became of a file that user code has ended with.
const (
	OpPublished Op = "published" // its output is there
	OpGivenUp   Op = "givenUp"   // this run of it failed
	OpAgain     Op = "again"     // nothing: it is to be run again, or is gone
)

// Narration is one item.
type Narration struct {
	Op    Op         `json:"op"`
	Input spool.Name `json:"input,omitempty"`
	OK    bool       `json:"ok,omitempty"` // of OpEnd
}

// Narrate writes an item, at once. What the writer does not take is lost.
func Narrate(to io.Writer, n Narration) {
	text, err := json.Marshal(n)
	if err != nil {
		return // it has nothing that JSON could not say
	}
	_, _ = to.Write(append(append([]byte{NarrationMark}, text...), '\n'))
}

// DecodeNarration reads an item without its mark.
func DecodeNarration(text []byte) (Narration, error) {
	var n Narration
	err := json.Unmarshal(text, &n)
	return n, err
}
