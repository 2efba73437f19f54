package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"

	"tigerflow.dev/tigerflow/spool"
)

// The Append functions add one message with its newline to dst. Those sent for every file are written by hand: with
// reflection they would cost more than the system call that sends them.

// AppendSetup adds a setup request. Params must hold valid JSON.
func AppendSetup(dst []byte, s Setup) ([]byte, error) {
	if s.Params == nil {
		s.Params = map[string]json.RawMessage{} // an object in any case
	}
	b, err := json.Marshal(struct {
		Op Op `json:"op"`
		Setup
	}{OpSetup, s})
	if err != nil {
		return dst, fmt.Errorf("encoding setup: %w", err)
	}
	if len(b) >= MaxLine {
		return dst, fmt.Errorf("encoding setup: params take %d bytes, at most %d fit", len(b), MaxLine)
	}
	return append(append(dst, b...), '\n'), nil
}

// AppendRun adds a run request.
func AppendRun(dst []byte, r Run) []byte {
	dst = append(dst, `{"op":"run","id":`...)
	dst = strconv.AppendUint(dst, r.ID, 10)
	dst = append(dst, `,"input":`...)
	dst = appendName(dst, r.Input)
	dst = append(dst, `,"output":`...)
	dst = appendName(dst, r.Output)
	dst = append(dst, `,"slot":`...)
	dst = strconv.AppendInt(dst, int64(r.Slot), 10)
	dst = append(dst, `,"mark":`...)
	dst = appendString(dst, r.Mark)
	return append(dst, "}\n"...)
}

// AppendTeardown adds a teardown request.
func AppendTeardown(dst []byte) []byte { return append(dst, `{"op":"teardown"}`+"\n"...) }

// AppendReady adds the reply to a setup that went well.
func AppendReady(dst []byte) []byte { return append(dst, `{"op":"ready"}`+"\n"...) }

// AppendBye adds the reply to a teardown that went well.
func AppendBye(dst []byte) []byte { return append(dst, `{"op":"bye"}`+"\n"...) }

// AppendFailed adds the reply to a setup or teardown that did not go well; long texts are cut.
func AppendFailed(dst []byte, stage Stage, f Failure) []byte {
	dst = append(dst, `{"op":"failed","stage":`...)
	dst = appendString(dst, string(stage))
	return appendFailure(dst, f)
}

// AppendDone adds the reply to a run whose user code returned.
func AppendDone(dst []byte, id uint64, seconds float64) []byte {
	dst = append(dst, `{"op":"done","id":`...)
	dst = appendTiming(dst, id, seconds)
	return append(dst, "}\n"...)
}

// AppendError adds the reply to a run whose user code failed; long texts are cut.
func AppendError(dst []byte, id uint64, seconds float64, f Failure) []byte {
	dst = append(dst, `{"op":"error","id":`...)
	dst = appendTiming(dst, id, seconds)
	return appendFailure(dst, f)
}

func appendTiming(dst []byte, id uint64, seconds float64) []byte {
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, `,"seconds":`...)
	return strconv.AppendFloat(dst, seconds, 'f', 6, 64)
}

func appendFailure(dst []byte, f Failure) []byte {
	dst = append(dst, `,"type":`...)
	dst = appendString(dst, Head(Printable(f.Type), MaxMessage))
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, Head(Printable(f.Message), MaxMessage))
	dst = append(dst, `,"traceback":`...)
	dst = appendString(dst, Tail(Printable(f.Traceback), MaxTraceback))
	if f.Errno != 0 {
		dst = append(dst, `,"errno":`...)
		dst = strconv.AppendInt(dst, int64(f.Errno), 10)
	}
	return append(dst, "}\n"...)
}

func appendName(dst []byte, n spool.Name) []byte {
	if plain(string(n)) {
		return appendString(dst, string(n))
	}
	b, err := n.MarshalJSON()
	if err != nil {
		panic(err) // strings and byte slices always marshal
	}
	return append(dst, b...)
}

func appendString(dst []byte, s string) []byte {
	if plain(s) {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(dst, b...)
}

// plain reports whether s stands for itself between the quotes of JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
