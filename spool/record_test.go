package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// frame spells a record as the specification has it, without the code under test.
func frame(payload []byte) []byte {
	sum := crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli))
	return fmt.Appendf(nil, "%08x %08x %s\n", len(payload), sum, payload)
}

func record(t testing.TB, v any) []byte {
	t.Helper()
	b, err := AppendRecord(nil, v)
	must(t, err)
	return b
}

func TestRecordBytes(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{Entry{Kind: EntryClosed}, "0000000e b4718b17 {\"t\":\"closed\"}\n"},
		{Event{Kind: EventBack, Files: []Name{"a\nb"}}, string(frame([]byte(`{"t":"back","f":["a\nb"]}`)))},
		{Event{Kind: EventBack, Files: []Name{"\xff"}}, string(frame([]byte(`{"t":"back","f":[{"b64":"/w=="}]}`)))},
		{"", string(frame([]byte(`""`)))},
	} {
		if got := record(t, c.value); string(got) != c.want {
			t.Errorf("record of %v is %q, want %q", c.value, got, c.want)
		}
	}
}

func TestRecordSplitsOff(t *testing.T) {
	one, two := record(t, "one"), record(t, strings.Repeat("long ", 1000))
	b := append(bytes.Clone(one), two...)
	payload, n, err := NextRecord(b)
	if err != nil || string(payload) != `"one"` || n != len(one) {
		t.Fatalf("first record: %q, %d, %v", payload, n, err)
	}
	payload, n, err = NextRecord(b[n:])
	if err != nil || len(payload) != 5002 || n != len(two) {
		t.Fatalf("second record: %d bytes, %d, %v", len(payload), n, err)
	}
}

func TestRecordTruncated(t *testing.T) {
	whole := record(t, Event{Kind: EventDone, Batch: "000001-00000001", Files: []Name{"a.txt", "\xff.txt"}})
	for n := range whole {
		if payload, _, err := NextRecord(whole[:n]); !errors.Is(err, ErrIncomplete) || payload != nil {
			t.Fatalf("%d of %d bytes: payload %q, error %v, want ErrIncomplete", n, len(whole), payload, err)
		}
	}
}

func TestRecordWithOneByteWrong(t *testing.T) {
	whole := record(t, Event{Kind: EventDone, Batch: "000001-00000001", Files: []Name{"a.txt"}})
	for _, behind := range [][]byte{nil, whole, bytes.Repeat([]byte{0}, 1<<10)} {
		for i := range whole {
			for flip := 1; flip < 256; flip++ {
				b := append(bytes.Clone(whole), behind...)
				b[i] ^= byte(flip)
				if payload, _, err := NextRecord(b); err == nil {
					t.Fatalf("byte %d changed by %#x reads as record %q", i, flip, payload)
				}
			}
		}
	}
}

func TestRecordTailOfNULs(t *testing.T) {
	for n := 1; n < 200; n++ {
		_, _, err := NextRecord(make([]byte, n))
		if want := map[bool]error{true: ErrIncomplete, false: ErrCorrupt}[n < recordHeader]; !errors.Is(err, want) {
			t.Fatalf("%d NULs: %v, want %v", n, err, want)
		}
	}
	// A page that is not visible yet, in the midst of a record.
	b := record(t, strings.Repeat("x", 10000))
	clear(b[4096:8192])
	if _, _, err := NextRecord(b); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a page of NULs: %v, want ErrCorrupt", err)
	}
}

func TestRecordLimit(t *testing.T) {
	before := record(t, "before")
	most := strings.Repeat("x", maxRecord-2) // and two quotes
	b, err := AppendRecord(bytes.Clone(before), most)
	must(t, err)
	if payload, _, err := NextRecord(b[len(before):]); err != nil || len(payload) != maxRecord {
		t.Fatalf("the longest record: %d bytes, %v", len(payload), err)
	}
	b, err = AppendRecord(bytes.Clone(before), most+"x")
	if err == nil || !bytes.Equal(b, before) {
		t.Fatalf("a record over the limit: error %v, %d bytes left of %d", err, len(b), len(before))
	}
	if _, _, err := NextRecord([]byte("01000001 00000000 ")); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("a length over the limit: %v, want ErrCorrupt, for no reader may wait for it", err)
	}
	if b, err := AppendRecord(bytes.Clone(before), func() {}); err == nil || !bytes.Equal(b, before) {
		t.Fatalf("a value without JSON: error %v", err)
	}
}

func FuzzNextRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add(record(f, Entry{Kind: EntryClosed}))
	f.Add(append(record(f, "a"), record(f, "b")...))
	f.Add([]byte("0000000E B4718B17 {\"t\":\"closed\"}\n")) // capitals
	f.Add([]byte("ffffffff 00000000 x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, n, err := NextRecord(b)
		if err != nil {
			if payload != nil || n != 0 || !errors.Is(err, ErrIncomplete) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v with payload %q, length %d", err, payload, n)
			}
			return
		}
		if want := frame(payload); !bytes.Equal(b[:n], want) {
			t.Fatalf("%q reads as a record but is spelt %q", b[:n], want)
		}
		if _, _, err := NextRecord(b[:n-1]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("the record less its last byte: %v", err)
		}
	})
}

func FuzzAppendRecord(f *testing.F) {
	f.Add("", []byte(""))
	f.Add("name\nwith \xff and \x00", []byte("0000000e b4718b17 "))
	f.Fuzz(func(t *testing.T, name string, behind []byte) {
		b := append(record(t, Name(name)), behind...)
		payload, n, err := NextRecord(b)
		must(t, err)
		var back Name
		must(t, json.Unmarshal(payload, &back))
		if string(back) != name || !bytes.Equal(b[n:], behind) || bytes.IndexByte(b[:n], '\n') != n-1 {
			t.Fatalf("wrote %q, read %q, left %q", name, back, b[n:])
		}
	})
}
