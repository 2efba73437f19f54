package slurmbridge

import (
	"encoding/csv"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tigerflow.dev/tigerflow/executor"
)

func TestOutermost(t *testing.T) {
	at := func(p, at string) executor.Bind { return executor.Bind{Path: p, At: at} }
	rw := func(p string) executor.Bind { return at(p, strings.TrimSuffix(p, "/")) }
	ro := func(p string) executor.Bind { return executor.Bind{Path: p, At: p, ReadOnly: true} }
	for name, tt := range map[string]struct{ binds, want []executor.Bind }{
		"none":          {nil, nil},
		"the same":      {[]executor.Bind{ro("/a"), rw("/a/"), ro("/a")}, []executor.Bind{rw("/a")}},
		"below":         {[]executor.Bind{rw("/a/b"), rw("/a"), ro("/a/c")}, []executor.Bind{rw("/a")}},
		"beside":        {[]executor.Bind{rw("/ab"), rw("/a")}, []executor.Bind{rw("/a"), rw("/ab")}},
		"write in read": {[]executor.Bind{rw("/a/b"), ro("/a"), ro("/a/b/c")}, []executor.Bind{ro("/a"), rw("/a/b")}},
		"elsewhere":     {[]executor.Bind{rw("/a"), at("/a", "/w"), at("/a/b", "/w/b")}, []executor.Bind{rw("/a"), at("/a", "/w")}},
		"others below":  {[]executor.Bind{at("/a", "/w"), at("/c", "/w/b"), rw("/w/c")}, []executor.Bind{at("/a", "/w"), at("/c", "/w/b"), rw("/w/c")}},
		"no place":      {[]executor.Bind{{Path: "/a"}, {Path: "/a/b", At: "/a/b"}}, []executor.Bind{rw("/a")}},
		"root":          {[]executor.Bind{ro("/"), ro("/a")}, []executor.Bind{ro("/")}},
	} {
		if got := outermost(tt.binds); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestContainersThatAreNone(t *testing.T) {
	for want, c := range map[string]executor.Container{
		`container image "whisper.sif"`: {Image: "whisper.sif"},
		`bind "data"`:                   {Image: "oci:/images/a", Binds: []executor.Bind{{Path: "data"}}},
		`bind "models"`:                 {Image: "oci:/images/a", Binds: []executor.Bind{{Path: "/data", At: "models"}}},
	} {
		a := array{name: "x", specs: elements(func(s *executor.Spec) { s.Container = c }, 0)}
		_, err := a.script(testConfig)
		if stalled, ok := executor.Stalled(err); !ok || stalled.Reason != ReasonInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What bash hands to Apptainer is a line of CSV with both paths as they are.
func FuzzMount(f *testing.F) {
	f.Add("/scratch/me", "/work space")
	f.Add("/it's, a \"b\"\n$(c)", "")
	f.Add("/a=b,ro", "/\r\x01`x`\\")
	f.Fuzz(func(t *testing.T, path, at string) {
		b := executor.Bind{Path: "/" + path, At: at}
		mount, err := mountOf(b)
		if err != nil {
			if filepath.IsAbs(destination(b)) {
				t.Errorf("%v", err)
			}
			return
		}
		if strings.Contains(path+at, "\x00") || strings.Contains(path+at, "\r\n") { // no path; what package csv makes one character of
			return
		}
		word, err := exec.Command("bash", "-c", "printf %s. "+quote(mount)).Output()
		if err != nil {
			t.Fatal(err)
		}
		fields, err := csv.NewReader(strings.NewReader(strings.TrimSuffix(string(word), "."))).Read()
		if want := []string{"type=bind", "source=" + b.Path, "destination=" + destination(b)}; err != nil || !slices.Equal(fields, want) {
			t.Errorf("Apptainer reads %q, %v, want %q", fields, err, want)
		}
	})
}
