package spool

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// hardNames are names that file systems take and programs stumble over.
var hardNames = []string{
	"plain.txt", " spaces at both ends .txt ", "line\nbreak.txt", "tab\t\"quote\" <&> \\.txt", "\x01\x7f.txt", "Ünïcödé 文字.txt",
	"\u2028\u2029\ufffd.txt", "half a character \xc3.txt", "\xff\xfe.txt", "lone surrogate \xed\xa0\x80.txt",
	strings.Repeat("n", 251) + ".txt", strings.Repeat("\xff", 251) + ".txt", "{\"b64\":\"eA==\"}.txt", "-rf.txt", "~.txt",
}

func TestNameRoundTrip(t *testing.T) {
	dir := t.TempDir()
	for _, want := range hardNames {
		if path := filepath.Join(dir, want); len(want) > 255 || os.WriteFile(path, nil, 0o666) != nil {
			t.Fatalf("%q is no file name here: the test says nothing", want)
		}
		data, err := json.Marshal(Name(want))
		must(t, err)
		if !utf8.Valid(data) {
			t.Errorf("%q is spelt %q, which is no JSON", want, data)
		}
		var got Name
		must(t, json.Unmarshal(data, &got))
		if string(got) != want {
			t.Errorf("%q comes back as %q from %s", want, got, data)
		}
	}
}

func TestNameSpelling(t *testing.T) {
	for _, c := range []struct {
		json string
		want Name
		ok   bool
	}{
		{`"a"`, "a", true},
		{`"\u00fc"`, "ü", true},
		{`{"b64":"/w=="}`, "\xff", true},
		{`{"b64":"YQ=="}`, "a", true},
		{`""`, "", true},
		{`{"b64":"not base64!"}`, "", false},
		{`{"b64":7}`, "", false},
		{`7`, "", false},
		{`["a"]`, "", false},
	} {
		var got Name
		err := json.Unmarshal([]byte(c.json), &got)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%s reads as %q, %v", c.json, got, err)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, n := range hardNames {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, want string) {
		data, err := json.Marshal(struct{ N []Name }{[]Name{Name(want), "next"}})
		must(t, err)
		var got struct{ N []Name }
		must(t, json.Unmarshal(data, &got))
		if len(got.N) != 2 || string(got.N[0]) != want || got.N[1] != "next" {
			t.Fatalf("%q comes back as %q from %s", want, got.N, data)
		}
	})
}

func FuzzNameUnmarshal(f *testing.F) {
	f.Add([]byte(`"a"`))
	f.Add([]byte(`{"b64":"/w=="}`))
	f.Add([]byte(`{"b64":`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second Name
		if json.Unmarshal(data, &first) != nil {
			return
		}
		again, err := json.Marshal(first)
		must(t, err)
		must(t, json.Unmarshal(again, &second))
		if first != second {
			t.Fatalf("%s reads as %q and, written anew, as %q", data, first, second)
		}
	})
}

func TestMatchInput(t *testing.T) {
	for _, c := range []struct {
		name, ext, stem string
		ok              bool
	}{
		{"a.txt", ".txt", "a", true},
		{"a.b.txt", ".txt", "a.b", true},
		{"a.tar.gz", ".tar.gz", "a", true},
		{".hidden.txt", ".txt", ".hidden", true},
		{"\xff.txt", ".txt", "\xff", true},
		{"a.TXT", ".txt", "", false},
		{"a.txt.bak", ".txt", "", false},
		{".txt", ".txt", "", false},
		{TempPrefix + "0123456789abcdef.txt", ".txt", "", false},
		{"", ".txt", "", false},
	} {
		stem, ok := MatchInput(c.name, c.ext)
		if ok != c.ok || ok && stem != c.stem {
			t.Errorf("MatchInput(%q, %q) = %q, %t", c.name, c.ext, stem, ok)
		}
		if ok && stem+c.ext != c.name {
			t.Errorf("the stem of %q is %q", c.name, stem)
		}
	}
}

func TestErrName(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("n", 251)
	seen := map[string]string{}
	for _, stem := range []string{
		"a", "a b\n", "\xff", long, long + "n", long + "nn", long + "nnnn", long + "nnno",
		strings.Repeat("文", 85), strings.Repeat("x文", 63) + "yyy", strings.Repeat("\x80", 255),
	} {
		name := ErrName(stem)
		if other, taken := seen[name]; taken {
			t.Errorf("%q and %q have the same error file", stem, other)
		}
		seen[name] = stem
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Errorf("the error file of %q cannot be made: %v", stem, err)
		}
		if !strings.HasSuffix(name, ErrExt) || len(stem) <= 251 && name != stem+ErrExt {
			t.Errorf("the error file of %q is %q", stem, name)
		}
		if utf8.ValidString(stem) != utf8.ValidString(name) {
			t.Errorf("the error file of %q is %q, which cuts a character in two", stem, name)
		}
	}
}

func TestTempName(t *testing.T) {
	a, b := TempName(".json"), TempName(".json")
	if a == b || !strings.HasPrefix(a, TempPrefix) || filepath.Ext(a) != ".json" {
		t.Errorf("names of temporaries: %q, %q", a, b)
	}
}

func TestBatchID(t *testing.T) {
	for _, c := range []struct {
		s    string
		want BatchID
	}{
		{"000001-00000001", BatchID{1, 1}},
		{"999999-99999999", BatchID{999999, 99999999}},
		{"1000000-100000000", BatchID{1000000, 100000000}},
	} {
		got, err := ParseBatchID(c.s)
		if err != nil || got != c.want || got.String() != c.s {
			t.Errorf("ParseBatchID(%q) = %v, %v", c.s, got, err)
		}
	}
	for _, s := range []string{
		"", "1-1", "000001", "000001-0000001", "000001-00000001.batch", "0000001-00000001", "000001-000000001",
		"-00001-00000001", "000001-00000001\n", "٠٠٠٠٠١-00000001",
	} {
		if id, err := ParseBatchID(s); err == nil {
			t.Errorf("ParseBatchID(%q) = %v, want an error", s, id)
		}
	}
	if (BatchID{1, 9}).Compare(BatchID{2, 1}) >= 0 || (BatchID{1, 2}).Compare(BatchID{1, 1}) <= 0 || (BatchID{1, 1}).Compare(BatchID{1, 1}) != 0 {
		t.Error("batches are not ordered by age")
	}
}

func FuzzParseBatchID(f *testing.F) {
	f.Add("000001-00000001")
	f.Add("0000001-00000001")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseBatchID(s)
		if err == nil && id.String() != s {
			t.Fatalf("%q reads as %v", s, id)
		}
		fromFile, ok := batchOfFile(s + batchSuffix)
		if ok != (err == nil) || ok && fromFile != id {
			t.Fatalf("%q: as a file %v %t, as an id %v %v", s, fromFile, ok, id, err)
		}
	})
}

func FuzzParseMark(f *testing.F) {
	f.Add("000001-00000001/0")
	f.Add("000001-00000001/00")
	f.Add("000001-00000001/+1")
	f.Add("000001-00000001/9223372036854775808")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMark(s)
		if err == nil && (m.String() != s || m.Index < 0) {
			t.Fatalf("%q reads as %v", s, m)
		}
		if err == nil && len(s) > SlotSize {
			t.Fatalf("%q is a mark and too long for a slot", s)
		}
	})
}

func TestValidWorker(t *testing.T) {
	for id, want := range map[string]bool{
		"demo-4f1c2d3e.0.r1": true, "a.0.r1": true, "a.999999.r999999": true, strings.Repeat("k", 63) + ".1.r1": true,
		"": false, "a": false, "a.0": false, "a.0.1": false, "A.0.r1": false, "-a.0.r1": false, "a-.0.r1": false, "a.b.0.r1": false,
		"../a.0.r1": false, "a/b.0.r1": false, "a.0.r1\n": false, ".new-0123": false, strings.Repeat("k", 64) + ".1.r1": false, "a.1234567.r1": false,
	} {
		if ValidWorker(id) != want {
			t.Errorf("ValidWorker(%q) is %t", id, !want)
		}
	}
}
