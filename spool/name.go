package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Name is a file name or path as the kernel has it: any bytes but NUL. In JSON it is a string if it is valid UTF-8 and
// {"b64": "…"} otherwise, because encoding/json would silently replace the bytes it cannot spell.
type Name string

type rawName struct {
	B64 []byte `json:"b64"`
}

// MarshalJSON writes the name without losing a byte.
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(rawName{B64: []byte(n)})
}

// UnmarshalJSON reads both spellings.
func (n *Name) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' && bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b) { // nearly all are, and histories are long
		*n = Name(b[1 : len(b)-1])
		return nil
	}
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*n = Name(s)
		return nil
	}
	var raw rawName
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("a name must be a string or {\"b64\": …}: %w", err)
	}
	*n = Name(raw.B64)
	return nil
}
