package protocol

import (
	"bytes"
	"strconv"

	"tigerflow.dev/tigerflow/spool"
)

// The two messages that pass for every file are first read in exactly the spelling that the Append functions and the
// Python handler give them, at a tenth of the cost of encoding/json. Any other spelling is left to encoding/json.

func quickRun(line []byte) (Run, bool) {
	c := cursor{rest: line, ok: true}
	var r Run
	c.literal(`{"op":"run","id":`)
	r.ID = c.uint()
	c.literal(`,"input":`)
	r.Input = spool.Name(c.text())
	c.literal(`,"output":`)
	r.Output = spool.Name(c.text())
	c.literal(`,"slot":`)
	r.Slot = int(c.uint())
	c.literal(`,"mark":`)
	r.Mark = c.text()
	c.literal(`}`)
	return r, c.ok && len(c.rest) == 0
}

func quickDone(line []byte) (id uint64, seconds float64, ok bool) {
	c := cursor{rest: line, ok: true}
	c.literal(`{"op":"done","id":`)
	id = c.uint()
	c.literal(`,"seconds":`)
	seconds = c.decimal()
	c.literal(`}`)
	return id, seconds, c.ok && len(c.rest) == 0
}

// cursor reads tokens off the front of a line; ok turns false at the first that is not as expected.
type cursor struct {
	rest []byte
	ok   bool
}

func (c *cursor) literal(s string) {
	if c.ok = c.ok && len(c.rest) >= len(s) && string(c.rest[:len(s)]) == s; c.ok {
		c.rest = c.rest[len(s):]
	}
}

// uint reads a whole number of at most 18 digits, which no integer type here overflows.
func (c *cursor) uint() (n uint64) {
	digits := 0
	for digits < len(c.rest) && '0' <= c.rest[digits] && c.rest[digits] <= '9' {
		n = n*10 + uint64(c.rest[digits]-'0')
		digits++
	}
	leadingZero := digits > 1 && c.rest[0] == '0' // not JSON
	c.ok = c.ok && digits > 0 && digits <= 18 && !leadingZero
	c.rest = c.rest[digits:]
	return n
}

// decimal reads digits, a point, digits.
func (c *cursor) decimal() float64 {
	all := c.rest
	c.uint()
	c.literal(".")
	fraction := 0
	for fraction < len(c.rest) && '0' <= c.rest[fraction] && c.rest[fraction] <= '9' {
		fraction++
	}
	c.ok = c.ok && fraction > 0
	c.rest = c.rest[fraction:]
	if !c.ok {
		return 0
	}
	n, err := strconv.ParseFloat(string(all[:len(all)-len(c.rest)]), 64)
	c.ok = err == nil
	return n
}

// text reads a string of printable ASCII without escapes.
func (c *cursor) text() string {
	c.literal(`"`)
	end := bytes.IndexByte(c.rest, '"')
	if c.ok = c.ok && end >= 0; !c.ok {
		return ""
	}
	s := string(c.rest[:end])
	c.ok = plain(s)
	c.rest = c.rest[end+1:]
	return s
}
