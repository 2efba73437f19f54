package standalone

import (
	"bytes"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
	"tigerflow.dev/tigerflow/task/protocol"
)

// The worker's word about a file and the handler's come by different ways: either may be the first.
func TestOrder(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"as it happens", "begin a, print, end a, published a, begin b", "Starting a, print, Success a, Starting b"},
		{"published first", "published a, setup, begin a, print, end a, begin b", "Setting up, Starting a, print, Success a, Starting b"},
		{"published within", "begin a, published a, print, end a, begin b", "Starting a, print, Success a, Starting b"},
		{"failed within", "begin a, givenUp a, print, end a, begin b", "Starting a, print, Failed a, Starting b"},
		{"what follows waits", "begin a, end a, begin b, print", "Starting a"},
		{"each in its place", "begin a, begin b, end b, end a, print, published a, published b", "Starting a, Starting b, Success b, Success a, print"},
		{"again", "begin a, end a, again a, begin a, end a, published a", "Starting a, Starting a, Success a"},
		{"again within", "begin a, again a, end a, begin a, end a, published a", "Starting a, Starting a, Success a"},
		{"cut short", "begin a, givenUp a, print, setup, told a, settle", "Starting a, print, Setting up, Failed a"},
		{"cut short at the end", "begin a, givenUp a, settle", "Starting a, Failed a"},
		{"told of by nobody else", "told a", "Failed a"},
		{"told before its end", "begin a, givenUp a, told a, end a, print", "Starting a, Failed a, print"},
		{"told, and tried once more", "begin a, givenUp a, told a, begin a, end a, published a", "Starting a, Failed a, Starting a, Success a"},
		{"the last", "begin a, published a, settle", "Starting a, Success a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out screen
			term := newTerminal(&out, &out, "/in")
			for step := range strings.SplitSeq(tt.script, ", ") {
				play(term, step)
			}
			got := strings.NewReplacer("INFO     | ", "", "ERROR    | ", "", " task", "", "Successfully processed:", "Success", " processing:", "").Replace(out.shown())
			if got = strings.ReplaceAll(strings.TrimSpace(got), "\n", ", "); got != tt.want {
				t.Errorf("shown: %s\nwant: %s", got, tt.want)
			}
		})
	}
}

// play is one step of a script: an op and the file that it is about, or something else that is shown.
func play(term *terminal, step string) {
	op, file, _ := strings.Cut(step, " ")
	switch op {
	case "print":
		term.take([]byte("print\n"))
	case "told":
		term.gaveUp(spool.Name(file))
	case "settle":
		term.settle()
	default:
		n := protocol.Narration{Op: protocol.Op(op)}
		if file != "" {
			n.Input = spool.Name("/in/" + file)
		}
		var line bytes.Buffer
		protocol.Narrate(&line, n)
		term.take(line.Bytes())
	}
}
