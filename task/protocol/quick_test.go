package protocol

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestQuickReadsWhatIsSent(t *testing.T) {
	run := Run{ID: 12, Input: "/in/a b.txt", Output: "/out/c.txt", Slot: 3, Mark: "a b.txt"}
	if got, ok := quickRun(onlyLine(t, AppendRun(nil, run))); !ok || got != run {
		t.Errorf("got %+v, %v; want %+v", got, ok, run)
	}
	if id, seconds, ok := quickDone(onlyLine(t, AppendDone(nil, 12, 3.25))); !ok || id != 12 || seconds != 3.25 {
		t.Errorf("got %d, %v, %v; want 12, 3.25", id, seconds, ok)
	}
}

// Whatever the quick way takes, encoding/json takes too, with the same result.
func FuzzQuick(f *testing.F) {
	f.Add(`{"op":"run","id":7,"input":"/i","output":"/o","slot":0,"mark":"m"}`)
	f.Add(`{"op":"done","id":7,"seconds":0.012300}`)
	f.Add(`{"op":"done","id":07,"seconds":1.5}`)
	f.Add(`{"op":"done","id":7,"seconds":.5}`)
	f.Add(`{"op":"done","id":123456789012345678901,"seconds":0.5}`)
	f.Fuzz(func(t *testing.T, line string) {
		if run, ok := quickRun([]byte(line)); ok {
			var want Request
			if err := json.Unmarshal([]byte(line), &want); err != nil || !reflect.DeepEqual(run, want.Run) {
				t.Errorf("%s: quick %+v, json %+v (%v)", line, run, want.Run, err)
			}
		}
		if id, seconds, ok := quickDone([]byte(line)); ok {
			var want Reply
			if err := json.Unmarshal([]byte(line), &want); err != nil || id != want.ID || seconds != want.Seconds {
				t.Errorf("%s: quick %d %v, json %+v (%v)", line, id, seconds, want, err)
			}
		}
	})
}
