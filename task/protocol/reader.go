package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Reader splits a stream into messages.
type Reader struct {
	lines *bufio.Scanner
	more  bool
}

// NewReader reads messages.
func NewReader(from io.Reader) *Reader {
	s := bufio.NewScanner(from)
	s.Buffer(make([]byte, 16<<10), MaxLine)
	r := &Reader{lines: s}
	s.Split(r.completeLine)
	return r
}

// More reports whether the message after the last one has been read already, so that Next will not wait.
func (r *Reader) More() bool { return r.more }

// Next returns the next message without its newline, valid until the call after it. io.EOF ends the stream; bytes
// before it without a newline are no message, their writer died over them.
func (r *Reader) Next() ([]byte, error) {
	if r.lines.Scan() {
		return r.lines.Bytes(), nil
	}
	switch err := r.lines.Err(); {
	case err == nil:
		return nil, io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("a message is longer than %d bytes", MaxLine)
	default:
		return nil, err
	}
}

func (r *Reader) completeLine(data []byte, _ bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		r.more = bytes.IndexByte(data[i+1:], '\n') >= 0
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}
