package protocol

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/spool"
)

func TestRequestsRoundTrip(t *testing.T) {
	setup := Setup{
		Task:        "Greet <&> \"x\"",
		Params:      map[string]json.RawMessage{"n": json.RawMessage("12345678901234567890"), "s": json.RawMessage(`"é"`)},
		Concurrency: 3,
	}
	tests := []struct {
		name string
		want Request
	}{
		{"setup", Request{Op: OpSetup, Setup: setup}},
		{"run", Request{Op: OpRun, Run: Run{ID: 7, Input: "/in/a.txt", Output: "/tmp/.~tf_x.out", Slot: 2, Mark: "a.txt"}}},
		{"run with odd names", Request{Op: OpRun, Run: Run{
			ID: 1<<64 - 1, Input: "/in/\xff\n\"\\.txt", Output: "/out/é\x00…", Mark: "tab\t<é>",
		}}},
		{"teardown", Request{Op: OpTeardown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			line := encodeRequest(t, tt.want)
			got, err := DecodeRequest(onlyLine(t, line))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRepliesRoundTrip(t *testing.T) {
	failure := Failure{Type: "ValueError", Message: "no \"é\"\n", Traceback: "Traceback…\n", Errno: 28}
	for _, want := range []Reply{
		{Op: OpReady},
		{Op: OpFailed, Stage: StageLoad, Failure: failure},
		{Op: OpDone, ID: 1 << 63, Seconds: 0.012345},
		{Op: OpError, ID: 3, Seconds: 86400.5, Failure: failure},
		{Op: OpBye},
	} {
		t.Run(string(want.Op), func(t *testing.T) {
			got, err := DecodeReply(onlyLine(t, encodeReply(want)))
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	requests := []struct{ line, want string }{
		{`{"op":"setup","concurrency":0}`, "concurrency is 0"},
		{`{"op":"run","id":4,"input":"","output":"/o"}`, "input and output must be set"},
		{`{"op":"run","id":4,"input":"/i","output":"/o","slot":-1}`, "slot is -1"},
		{`{"op":"run","id":4,"input":"/i","output":"/o","mark":"a\nb"}`, "at most 127 bytes"},
		{`{"op":"run","id":-4}`, "decoding request"},
		{`{"op":"done"}`, `unknown request "done"`},
		{``, "decoding request"},
	}
	for _, tt := range requests {
		if _, err := DecodeRequest([]byte(tt.line)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("request %s: error %v, want one with %q", tt.line, err, tt.want)
		}
	}
	replies := []struct{ line, want string }{
		{`{"op":"run"}`, `unknown reply "run"`},
		{`Hello`, "decoding reply"},
		{`{"op":"done","id":"7"}`, "decoding reply"},
	}
	for _, tt := range replies {
		if _, err := DecodeReply([]byte(tt.line)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("reply %s: error %v, want one with %q", tt.line, err, tt.want)
		}
	}
}

func TestAppendSetupRefusesWhatFitsNoLine(t *testing.T) {
	big := json.RawMessage(`"` + strings.Repeat("x", MaxLine) + `"`)
	dst := []byte("kept")
	got, err := AppendSetup(dst, Setup{Concurrency: 1, Params: map[string]json.RawMessage{"big": big}})
	if err == nil || !strings.Contains(err.Error(), "params take") {
		t.Errorf("error %v, want one about the size of params", err)
	}
	if string(got) != "kept" {
		t.Errorf("dst became %q", got)
	}
}

// The worst texts, each byte of which JSON spells with six, must still fit a line.
func TestFailureIsCutToFitALine(t *testing.T) {
	long := strings.Repeat("\x01", MaxLine)
	line := AppendError(nil, 1, 0, Failure{Type: long, Message: "head" + long, Traceback: long + "tail"})
	if len(line) > MaxLine {
		t.Fatalf("line of %d bytes", len(line))
	}
	got, err := DecodeReply(onlyLine(t, line))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Message) != MaxMessage || !strings.HasPrefix(got.Message, "head") {
		t.Errorf("message of %d bytes begins with %.10q", len(got.Message), got.Message)
	}
	if len(got.Traceback) != MaxTraceback || !strings.HasSuffix(got.Traceback, "tail") {
		t.Errorf("traceback of %d bytes", len(got.Traceback))
	}
}

func encodeRequest(t testing.TB, r Request) []byte {
	switch r.Op {
	case OpSetup:
		line, err := AppendSetup(nil, r.Setup)
		if err != nil {
			t.Fatal(err)
		}
		return line
	case OpRun:
		return AppendRun(nil, r.Run)
	default:
		return AppendTeardown(nil)
	}
}

func encodeReply(r Reply) []byte {
	switch r.Op {
	case OpReady:
		return AppendReady(nil)
	case OpFailed:
		return AppendFailed(nil, r.Stage, r.Failure)
	case OpDone:
		return AppendDone(nil, r.ID, r.Seconds)
	case OpError:
		return AppendError(nil, r.ID, r.Seconds, r.Failure)
	default:
		return AppendBye(nil)
	}
}

func onlyLine(t *testing.T, message []byte) []byte {
	t.Helper()
	line, rest, found := bytes.Cut(message, []byte("\n"))
	if !found || len(rest) > 0 {
		t.Fatalf("%q is not one line", message)
	}
	return line
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"op":"setup","task":"T","params":{"a":1},"concurrency":1}`))
	f.Add([]byte(`{"op":"run","id":7,"input":{"b64":"/w=="},"output":"/o","slot":0,"mark":"m"}`))
	f.Add([]byte(`{"op":"teardown"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := DecodeRequest(line)
		if err != nil || r.Op != OpRun {
			return
		}
		r = Request{Op: OpRun, Run: r.Run} // fields of setup beside a run mean nothing
		again, err := DecodeRequest(onlyLine(t, AppendRun(nil, r.Run)))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%q became %+v, then %+v (%v)", line, r, again, err)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte(`{"op":"done","id":7,"seconds":0.0123}`))
	f.Add([]byte(`{"op":"error","id":7,"seconds":1e-9,"type":"E","message":"m","traceback":"t","errno":28}`))
	f.Add([]byte(`{"op":"failed","stage":"load","type":"E"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if r, err := DecodeReply(line); err == nil {
			if _, err := DecodeReply(onlyLine(t, encodeReply(r))); err != nil {
				t.Errorf("%q does not survive encoding: %v", line, err)
			}
		}
	})
}

// A name is any bytes: what goes out must come in.
func FuzzAppendRun(f *testing.F) {
	f.Add("/in/a.txt", "/out/\xff", "mark")
	f.Fuzz(func(t *testing.T, input, output, mark string) {
		r := Run{ID: 1, Input: spool.Name(input), Output: spool.Name(output), Mark: Printable(mark)}
		if r.Validate() != nil {
			return
		}
		got, err := DecodeRequest(onlyLine(t, AppendRun(nil, r)))
		if err != nil || got.Run != r {
			t.Errorf("sent %+v, got %+v (%v)", r, got.Run, err)
		}
	})
}

var benchRun = Run{
	ID: 12345, Mark: "7501870786337115434.mp4",
	Input:  "/scratch/someone/project/videos/7501870786337115434.mp4",
	Output: "/scratch/someone/project/results/.tigerflow/workers/k.0.r1/tmp/.~tf_abcdefgh.txt",
}

func BenchmarkAppendRun(b *testing.B) {
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRun(buf[:0], benchRun)
	}
}

func BenchmarkAppendDone(b *testing.B) {
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendDone(buf[:0], 12345, 0.012345)
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	line := bytes.TrimSpace(AppendRun(nil, benchRun))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRequest(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeReply(b *testing.B) {
	line := bytes.TrimSpace(AppendDone(nil, 12345, 0.012345))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeReply(line); err != nil {
			b.Fatal(err)
		}
	}
}
